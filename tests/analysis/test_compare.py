"""Which test is chosen, and when nothing may be claimed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from klero.analysis.compare import Compared, compare, difference_bounds
from klero.analysis.rules import rules_of
from klero.analysis.samples import EMPTY, Sample
from klero.v1.experiment_pb2 import InferenceMethod, Metric, MetricType, Variant
from tests.analysis.known import FIXED, SEQUENTIAL, amounts, conversions, definition, metric, stratum

if TYPE_CHECKING:
    from klero.analysis.strata import Stratum

SPEND = metric("spend", type=MetricType.METRIC_TYPE_CONTINUOUS)


def _compare(strata: list[Stratum], method: InferenceMethod.ValueType, judged: Metric) -> Compared:
    rules = rules_of(definition("t", method=method))
    return compare(strata, metric=judged, baseline=Variant(id="c"), variant=Variant(id="t"), rules=rules)


def _two_epochs(first: Sample, second: Sample) -> list[Stratum]:
    return [stratum(first, second, 1), stratum(first, second, 2)]


@pytest.mark.parametrize(
    ("judged", "sample", "epochs", "method", "names"),
    [
        (metric(), conversions(40, 200), 1, FIXED, ("mee", "koopman")),
        (SPEND, amounts(200, 1.0, 2.0), 1, FIXED, ("t", "fieller")),
        (metric(), conversions(40, 200), 2, FIXED, ("z", "fieller")),
        (SPEND, amounts(200, 1.0, 2.0), 2, FIXED, ("z", "fieller")),
        (metric(), conversions(40, 200), 1, SEQUENTIAL, ("confidence_sequence", "fieller")),
        (SPEND, amounts(200, 1.0, 2.0), 2, SEQUENTIAL, ("confidence_sequence", "fieller")),
    ],
)
def test_methods(
    judged: Metric, sample: Sample, epochs: int, method: InferenceMethod.ValueType, names: tuple[str, str]
) -> None:
    """Results name the method, and readers look it up."""
    found = _compare([stratum(sample, sample, epoch) for epoch in range(1, epochs + 1)], method, judged)

    assert found.test is not None
    assert found.p_value == 1.0
    assert names == (found.test.difference_method, found.test.lift_method)


def test_small_epochs_are_left_out_on_both_sides() -> None:
    """An epoch with one variant only would bring its entities' level, not their difference."""
    full = stratum(conversions(40, 200), conversions(60, 200), 2)
    found = _compare(
        [stratum(conversions(90, 100), conversions(1, 1), 1), full, stratum(EMPTY, EMPTY, 3)], FIXED, metric()
    )

    assert (1,) == found.left_out
    assert _compare([full], FIXED, metric()).p_value == found.p_value


def test_without_any_usable_epoch_there_is_no_estimate() -> None:
    """A fresh experiment has results too."""
    found = _compare([], SEQUENTIAL, metric())

    assert found.test is None
    assert found.p_value is None
    assert difference_bounds(found, 0.05) is None
    assert "0 of the 100 entities" in found.obstacle


@pytest.mark.parametrize(
    ("baseline", "variant", "claims"),
    [
        (conversions(50, 99), conversions(50, 200), False),
        (conversions(50, 100), conversions(50, 100), True),
        (conversions(20, 1_000), conversions(20, 1_000), False),
        (conversions(980, 1_000), conversions(980, 1_000), False),
        (conversions(60, 1_000), conversions(0, 1_000), True),
    ],
    ids=["few entities", "enough", "few conversions", "few without", "one never converts"],
)
def test_burn_in_of_sequences(baseline: Sample, variant: Sample, *, claims: bool) -> None:
    """The bound is asymptotic; but a variant that breaks everything must be found in time."""
    found = _compare([stratum(baseline, variant)], SEQUENTIAL, metric())

    assert claims == (found.p_value is not None)
    assert claims == (not found.obstacle)
    assert claims == (difference_bounds(found, 0.05) is not None)


def test_differences_of_rates_stay_possible() -> None:
    """A wide sequence around -1 must not go below it."""
    found = _compare([stratum(conversions(100, 100), conversions(0, 100))], SEQUENTIAL, metric())
    bounds = difference_bounds(found, 0.05)

    assert bounds is not None
    assert bounds.lower == -1.0
