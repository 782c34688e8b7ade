"""What settled and live entities may say, while windows are open and after the stop."""

from __future__ import annotations

import dataclasses

import pytest

from klero.analysis.judge import judge
from klero.v1.results_pb2 import ResultsView, Verdict
from tests.analysis.known import FIXED, OPTIONS, definition, filling

LIVE = dataclasses.replace(OPTIONS, view=ResultsView.RESULTS_VIEW_LIVE)
N = 10_000
SOONER = filling({"c": (1000, N), "t": (2000, N)}, {"c": (600, 6_000), "t": (601, 6_000)})
"""The variant answers sooner: it leads among all, and not among those who had their time."""

BETTER = filling({"c": (1000, N), "t": (1400, N)}, {"c": (600, 6_000), "t": (900, 6_000)})


def test_estimates_are_those_of_the_view() -> None:
    """Each view shows its own entities, and says how many of all they are."""
    settled, live = (judge(definition("t"), SOONER, options=options) for options in (OPTIONS, LIVE))

    assert (6_000, N, 6_000) == tuple(
        getattr(settled.variant_results["t"], name) for name in ("sample_size", "enrolled", "settled")
    )
    assert (N, N, 6_000) == tuple(
        getattr(live.variant_results["t"], name) for name in ("sample_size", "enrolled", "settled")
    )
    assert (0.2, 601 / 6_000) == (
        live.variant_results["t"].metrics["visit"],
        settled.variant_results["t"].metrics["visit"],
    )
    assert (20_000, 12_000) == (settled.progress.enrolled, settled.progress.settled)


def test_who_answers_sooner_wins_in_no_view() -> None:
    """Read as it stands, the live view would ship a variant that is no better."""
    for options in (OPTIONS, LIVE):
        found = judge(definition("t"), SOONER, options=options)
        assert (Verdict.VERDICT_KEEP_RUNNING, "") == (found.verdict, found.winner)
        assert not found.analysis.significant


def test_live_values_claim_nothing() -> None:
    """They are shown with their effect and the reason why nothing follows from it."""
    found = judge(definition("t"), SOONER, options=LIVE)

    assert pytest.approx(0.1) == found.analysis.effect
    assert found.analysis == found.comparisons[0].result
    assert not found.analysis.HasField("p_value")
    assert not found.analysis.HasField("interval")
    assert "still filling: 8,000 of 20,000 entities are not settled" in found.analysis.explanation
    assert not found.variant_results["t"].metric_results["visit"].HasField("interval")
    assert "the live values are still filling" in found.recommendation


def test_the_verdict_does_not_depend_on_the_view() -> None:
    """Two dashboards with different views must not disagree on the winner."""
    settled, live = (judge(definition("t"), BETTER, options=options) for options in (OPTIONS, LIVE))

    assert (Verdict.VERDICT_SHIP, "t") == (settled.verdict, settled.winner) == (live.verdict, live.winner)
    assert live.recommendation.startswith(settled.recommendation)
    assert list(settled.health) == list(live.health)


def test_settled_views_agree() -> None:
    """Once everything has settled the live view is the same."""
    counted = filling({"c": (1000, N), "t": (1400, N)}, {"c": (1000, N), "t": (1400, N)})
    settled, live = (judge(definition("t"), counted, options=options) for options in (OPTIONS, LIVE))
    live.view = settled.view

    assert settled == live


def test_before_any_window_has_closed() -> None:
    """An empty result needs its reason."""
    found = judge(definition("t"), filling({"c": (9, 90), "t": (9, 90)}, {"c": (0, 0), "t": (0, 0)}), options=OPTIONS)

    assert "Keep running: 180 entities, and the window of none has closed yet." == found.recommendation
    assert 0 == found.variant_results["c"].sample_size


def test_draining_is_waited_for() -> None:
    """After Stop entities still settle, so that nothing is final and nothing is called inconclusive."""
    counted = filling({"c": (1000, N), "t": (1010, N)}, {"c": (600, 6_000), "t": (601, 6_000)}, stopped=True)
    counted.open_until_ms = 5_000
    draining = judge(definition("t"), counted, options=OPTIONS)
    counted.closed = True
    closed = judge(definition("t"), counted, options=OPTIONS)

    assert (False, Verdict.VERDICT_KEEP_RUNNING) == (draining.is_final, draining.verdict)
    assert draining.recommendation.startswith("Wait until all windows have closed, 12,000 entities so far")
    assert 5_000 == draining.progress.estimated_end.ToMilliseconds()
    assert (True, Verdict.VERDICT_INCONCLUSIVE) == (closed.is_final, closed.verdict)
    assert not closed.progress.HasField("estimated_end")


@pytest.mark.parametrize(("planned", "begins"), [(0, "Wait until"), (15_000, "Wait until"), (12_000, "Ship")])
def test_a_fixed_horizon_waits_for_settled_entities(planned: int, begins: str) -> None:
    """Reading it with half of them unfinished is a look too early."""
    counted = filling({"c": (1000, N), "t": (1400, N)}, {"c": (600, 6_000), "t": (900, 6_000)}, stopped=True)
    experiment = definition("t", method=FIXED, planned=planned)

    assert judge(experiment, counted, options=OPTIONS).recommendation.startswith(begins)
    counted.closed = True
    assert judge(experiment, counted, options=OPTIONS).recommendation.startswith("Ship")
