"""Which values of a tally each view reads."""

from __future__ import annotations

from klero.analysis import tallied
from klero.analysis.samples import Sample
from klero.v1.results_pb2 import ResultsView
from tests.analysis.known import amounts, conversions, filling, metric, tally

LIVE, SETTLED = ResultsView.RESULTS_VIEW_LIVE, ResultsView.RESULTS_VIEW_SETTLED
VISIT = [metric()]


def test_a_metric_with_a_window_has_two_views() -> None:
    """Live is everyone so far, settled is who had the same time."""
    counted = filling({"c": (30, 100)}, {"c": (20, 60)})
    live, settled = (tallied.read(counted.arms, VISIT, view).pooled("c", "visit") for view in (LIVE, SETTLED))

    assert (100, 30, 40) == (live.n, live.converted, live.unsettled)
    assert (60, 20, 0) == (settled.n, settled.converted, settled.unsettled)


def test_a_metric_without_a_window_has_one() -> None:
    """Unset is not empty: all of its entities count in both views."""
    counted = tally({(1, "c"): {"visit": conversions(30, 100)}})

    for view in (LIVE, SETTLED):
        found = tallied.read(counted.arms, VISIT, view).pooled("c", "visit")
        assert (100, 0) == (found.n, found.unsettled)


def test_no_window_has_closed() -> None:
    """Nobody is settled, which must not be read as a metric without window."""
    counted = filling({"c": (30, 100)}, {"c": (0, 0)})
    found = tallied.read(counted.arms, VISIT, SETTLED)

    assert (0, 100, 0) == (found.pooled("c", "visit").n, found.enrolled("c"), found.settled("c"))


def test_entities_that_are_left_out_are_settled_too() -> None:
    """An entity without outcome is done when its window has closed."""
    spend = [metric("spend", type=2)]
    live, settled = (Sample(amounts(n, 1.0, 1.0).values, n, n, missing) for n, missing in ((70, 30), (50, 40)))
    counted = tally({(1, "c"): {"spend": live}}, settled={(1, "c"): {"spend": settled}})
    found = tallied.read(counted.arms, spend, LIVE).pooled("c", "spend")

    assert (30, 10) == (found.missing, found.unsettled)


def test_arms_of_one_epoch_and_variant_are_added_up() -> None:
    """Small values of a dimension are gathered in one segment."""
    first, second = (tally({(1, "c"): {"visit": conversions(x, n)}}) for x, n in ((1, 10), (5, 20)))
    found = tallied.read([*first.arms, *second.arms], VISIT, SETTLED)

    assert (6, 30) == (found.pooled("c", "visit").converted, found.pooled("c", "visit").n)
    assert (30, 30) == (found.enrolled("c"), found.settled("c"))


def test_metrics_that_are_not_defined_are_passed_over() -> None:
    """An earlier iteration may have measured more."""
    counted = tally({(1, "c"): {"visit": conversions(1, 10), "old": conversions(1, 10)}})

    assert 0 == tallied.read(counted.arms, VISIT, SETTLED).pooled("c", "old").n
