"""What a comparison says beside its numbers."""

from __future__ import annotations

import pytest

from klero.analysis.judge import judge
from klero.v1.experiment_pb2 import Experiment, MetricType
from klero.v1.results_pb2 import PracticalEffect, SignificanceResult
from tests.analysis.known import FIXED, OPTIONS, amounts, conversions, definition, metric, tally, visits


def _only(experiment: Experiment, counts: dict[str, tuple[int, int]]) -> SignificanceResult:
    return judge(experiment, visits(counts), options=OPTIONS).comparisons[0].result


def test_every_number_of_a_clear_case() -> None:
    """A two-variant comparison has everything but corrections."""
    found = _only(definition("t"), {"c": (1000, 10_000), "t": (1300, 10_000)})

    assert found.significant
    assert found.always_valid
    assert pytest.approx(0.03) == found.effect
    assert pytest.approx(0.3) == found.lift
    assert 0 < found.interval.lower < 0.03 < found.interval.upper
    assert 0 < found.lift_interval.lower < 0.3 < found.lift_interval.upper
    assert ("confidence_sequence", "fieller") == (found.interval.method, found.lift_interval.method)
    assert not found.HasField("adjusted_p_value")
    assert not found.HasField("simultaneous_interval")
    assert not found.HasField("degrees_of_freedom")
    assert found.explanation.startswith("`t` at 13.0 % against 10.0 % for `c`: p = ")


def test_detectable_effect_is_what_the_sample_finds_with_its_power() -> None:
    """(z of alpha + z of power) standard errors: 1.959964 + 0.841621 for 5 % and 80 %."""
    found = _only(definition("t", method=FIXED), {"c": (1000, 10_000), "t": (1300, 10_000)})

    assert pytest.approx((1.9599639845 + 0.8416212336) * found.standard_error) == found.detectable_effect


def test_rates_fall_by_no_more_than_everything() -> None:
    """A change of -103 % would be read as a fault."""
    found = _only(definition("t"), {"c": (100, 1_000), "t": (0, 1_000)})

    assert found.lift_interval.lower == -1.0 == found.lift
    assert -1.0 < found.lift_interval.upper < 0


@pytest.mark.parametrize(
    ("counts", "part"),
    [
        ({}, "Not computed: a variant has fewer than 2 entities."),
        ({"c": (9, 50), "t": (9, 50)}, "nothing can be claimed yet, the smaller of the two has 50 of the 100 entities"),
        ({"c": (2, 900), "t": (3, 900)}, "expected to have only 2.5 of the 25 entities"),
    ],
)
def test_missing_numbers_are_explained(counts: dict[str, tuple[int, int]], part: str) -> None:
    """An empty field without a reason looks like a fault."""
    found = _only(definition("t"), counts)

    assert part in found.explanation
    assert not found.significant
    assert not found.HasField("p_value")
    assert not found.HasField("interval")
    assert not found.HasField("lift_interval")


def test_constants_and_open_lifts_are_explained() -> None:
    """Both are values with a reason, never nan."""
    spend = metric("spend", type=MetricType.METRIC_TYPE_CONTINUOUS, primary=True)
    cases = [(amounts(200, 2.0, 0.0), amounts(200, 3.0, 0.0)), (amounts(200, 0.0, 1.0), amounts(200, 3.0, 1.0))]
    constant, open_lift = (
        judge(
            definition("t", metrics=[spend]), tally({(1, "c"): {"spend": c}, (1, "t"): {"spend": t}}), options=OPTIONS
        )
        .comparisons[0]
        .result
        for c, t in cases
    )

    assert not constant.HasField("p_value")
    assert "vary within neither" in constant.explanation
    assert open_lift.significant
    assert not open_lift.HasField("lift")
    assert "cannot be told from 0" in open_lift.explanation


def test_left_out_epochs_are_named() -> None:
    """Whoever adds up the entities finds some missing."""
    counted = tally(
        {
            (1, "c"): {"visit": conversions(50, 300)},
            (1, "t"): {"visit": conversions(1, 1)},
            (2, "c"): {"visit": conversions(100, 1000)},
            (2, "t"): {"visit": conversions(120, 1000)},
        }
    )
    found = judge(definition("t"), counted, options=OPTIONS).comparisons[0].result

    assert "epoch 1 left out" in found.explanation
    assert pytest.approx(0.02) == found.effect


@pytest.mark.parametrize(
    ("planned", "stopped", "part"),
    [
        (40_000, False, "valid only at the end, with 40,000 entities"),
        (0, False, "valid only after Stop"),
        (40_000, True, "stopped before the 40,000 planned entities"),
    ],
)
def test_early_fixed_horizons_are_marked(planned: int, *, stopped: bool, part: str) -> None:
    """The p-value is shown, because people ask for it, but not without its condition."""
    counted = visits({"c": (1000, 10_000), "t": (1300, 10_000)}, stopped=stopped)
    found = judge(definition("t", method=FIXED, planned=planned), counted, options=OPTIONS)

    assert part in found.analysis.explanation


def test_practical_effects_use_the_scale_of_the_metric() -> None:
    """A lift of 2 % is below 5 %; the same difference in percentage points is not comparable."""
    relative = definition("t", metrics=[metric(primary=True, min_effect=0.15)])
    found = _only(relative, {"c": (50_000, 100_000), "t": (51_000, 100_000)})

    assert PracticalEffect.PRACTICAL_EFFECT_BELOW_MINIMUM == found.practical
    assert PracticalEffect.PRACTICAL_EFFECT_UNDECIDED == _only(relative, {"c": (9, 50), "t": (9, 50)}).practical
