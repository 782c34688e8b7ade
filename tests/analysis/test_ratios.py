"""Ratios of two sums: known answers, and the cases that have no ratio."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from klero.analysis.judge import judge
from klero.analysis.means import welch
from klero.analysis.ratios import PairMoments, from_proto, merge, to_proto
from klero.analysis.samples import Sample
from klero.v1 import results_pb2
from klero.v1.experiment_pb2 import InferenceMethod, MetricType
from tests.analysis.known import FIXED, OPTIONS, SEQUENTIAL, definition, metric, pairs, tally

# Sums of both samples, and what tea-tasting 1.14.0 (RatioOfMeans) and gbstats 0.8.0 make of them.
CLICKS = {
    "A": {"n": 1000, "num": 2100.0, "num_ss": 6900.0, "den": 10250.0, "den_ss": 118000.0, "cross": 24800.0},
    "B": {"n": 1100, "num": 2475.0, "num_ss": 8550.0, "den": 11330.0, "den_ss": 131000.0, "cross": 29100.0},
}
VALUES = (0.20487804878048782, 0.21844660194174756)
UNIT_VARIANCES = (0.01611225060058843, 0.01790491387406582)
DIFFERENCE = (0.0024076093945124503, 0.02472949692800703)
P_VALUE = 0.017207657918310606
STANDARD_ERROR = 0.005691172553310728


def _clicks(name: str) -> PairMoments:
    sums = CLICKS[name]
    n, num, den = int(sums["n"]), sums["num"], sums["den"]
    return PairMoments(
        n,
        num / n,
        den / n,
        sums["num_ss"] - num * num / n,
        sums["cross"] - num * den / n,
        sums["den_ss"] - den * den / n,
    )


def test_known_answers() -> None:
    """The delta method as two other libraries have it."""
    first, second = _clicks("A").spread, _clicks("B").spread
    found = welch(first, second)
    bounds = found.difference(0.05)

    assert pytest.approx(VALUES) == (found.baseline_value, found.variant_value)
    assert pytest.approx(UNIT_VARIANCES) == (first.variance, second.variance)
    assert pytest.approx(P_VALUE) == found.p_value
    assert pytest.approx(STANDARD_ERROR) == found.standard_error
    assert bounds is not None
    assert pytest.approx(DIFFERENCE) == (bounds.lower, bounds.upper)


numbers = st.floats(-100, 100)


@given(st.lists(st.lists(st.tuples(numbers, numbers), max_size=10), max_size=5))
def test_merged_parts_are_the_whole(parts: list[list[tuple[float, float]]]) -> None:
    """Epochs are merged into the numbers of a variant without another look at its entities."""
    everything = [pair for part in parts for pair in part]
    found = merge(pairs(np.array(part)) for part in parts if part)
    expected = pairs(np.array(everything)) if everything else merge(())

    assert expected.n == found.n
    for name in ("mean_y", "mean_z", "yy", "yz", "zz"):
        assert pytest.approx(getattr(expected, name), rel=1e-9, abs=1e-7) == getattr(found, name)


def test_messages_round_trip() -> None:
    """Readers of results merge ratios further, which needs all three co-moments."""
    assert _clicks("A") == from_proto(to_proto(_clicks("A")))
    assert 0 == from_proto(results_pb2.Moments()).n


def test_equal_ratios_have_no_variance() -> None:
    """Rounding must not make it negative."""
    found = pairs(np.array([[0.1 * each, 0.3 * each] for each in range(1, 50)])).spread

    assert 0 <= found.m2 < 1e-12


def test_a_denominator_of_0_is_a_reason() -> None:
    """Nobody opened anything: no ratio, no nan, and a sentence that says so."""
    clicks = metric("rate", type=MetricType.METRIC_TYPE_RATIO, primary=True)
    nothing = Sample(pairs(np.zeros((200, 2))), 0, 0)
    something = Sample(_clicks("A"), 1000, 1000)
    counted = tally({(1, "c"): {"rate": something}, (1, "t"): {"rate": nothing}})
    found = judge(definition("t", metrics=[clicks]), counted, options=OPTIONS)
    result = found.variant_results["t"].metric_results["rate"]

    assert not result.HasField("value")
    assert 200 == result.sample_size
    assert "rate" not in found.variant_results["t"].metrics
    assert "Not computed: a variant has a denominator of 0." == found.comparisons[0].result.explanation
    assert not found.comparisons[0].result.HasField("effect")


@pytest.mark.parametrize("method", [FIXED, SEQUENTIAL])
def test_ratios_are_judged_like_means(method: InferenceMethod.ValueType) -> None:
    """Lift, interval and moments come along."""
    clicks = metric("rate", type=MetricType.METRIC_TYPE_RATIO, primary=True)
    counted = tally({(1, "c"): {"rate": Sample(_clicks("A"), 1, 1)}, (1, "t"): {"rate": Sample(_clicks("B"), 1, 1)}})
    found = judge(definition("t", metrics=[clicks], method=method), counted, options=OPTIONS)
    own, compared = found.variant_results["t"].metric_results["rate"], found.comparisons[0].result

    assert ["y", "z"] == list(own.moments.terms)
    assert own.interval.lower < VALUES[1] < own.interval.upper
    assert pytest.approx(VALUES[1] / VALUES[0] - 1) == compared.lift
    assert pytest.approx(STANDARD_ERROR) == compared.standard_error
    assert compared.HasField("standardized_effect")
    assert "`t` at 0.218 against 0.205" in compared.explanation
