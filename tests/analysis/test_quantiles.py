"""Quantiles from counts by size."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from klero.analysis.judge import judge
from klero.analysis.quantiles import Sketch, from_proto, merge
from klero.storage.v1 import tally_pb2
from klero.v1.experiment_pb2 import Experiment, InferenceMethod, MetricType
from tests.analysis.known import FIXED, OPTIONS, SEQUENTIAL, definition, metric, sketched

ACCURACY = 0.01


def _exact(data: list[float], quantile: float) -> Sketch:
    return Sketch(quantile, 0.0, {value: data.count(value) for value in data})


@pytest.mark.parametrize("quantile", [0.01, 0.5, 0.9, 0.99])
def test_values_are_those_of_the_rows(quantile: float) -> None:
    """Within the accuracy of the buckets, on both sides of 0 and at it."""
    data = np.random.default_rng(5).normal(3, 20, 4_000)
    data[:50] = 0
    found = from_proto(sketched(data, ACCURACY), quantile)
    expected = float(np.quantile(data, quantile, method="inverted_cdf"))

    assert len(data) == found.n
    assert pytest.approx(expected, rel=ACCURACY * 1.0001) == found.value


def test_zeros_are_values() -> None:
    """Half of the agents cost nothing: so does the median one."""
    assert 0.0 == from_proto(tally_pb2.Sketch(accuracy=ACCURACY, zeros=3, positive=[4], positive_counts=[2]), 0.5).value


def test_order_statistics_bound_the_quantile() -> None:
    """By hand: 100 values, median, ranks 50 +- 1.96 * 5."""
    found = _exact([float(each) for each in range(1, 101)], 0.5)
    bounds = found.bounds(0.05)

    assert (50.0, 41.0, 60.0) == (found.value, bounds.lower, bounds.upper)
    assert pytest.approx((19 / (2 * 1.959963984540054)) ** 2) == found.estimate.variance


def test_the_error_of_counts_adds_to_the_variance() -> None:
    """A sample of any size is known to a percent only."""
    counts = dict.fromkeys([10.0], 10**9)
    found = Sketch(0.5, ACCURACY, counts)
    bounds = found.bounds(0.05)

    assert pytest.approx((10 * ACCURACY) ** 2) == found.estimate.variance
    assert pytest.approx((9.9, 10.1)) == (bounds.lower, bounds.upper)


@pytest.mark.parametrize(("quantile", "needed"), [(0.99, 396), (0.9, 36), (0.5, 4), (0.1, 36)])
def test_small_samples_do_not_bound_it(quantile: float, needed: int) -> None:
    """Below 4 q / (1 - q) entities no rank lies far enough out."""
    few, enough = (_exact([float(each) for each in range(n)], quantile) for n in (needed, needed + 1))

    assert f"no more than the {needed} entities that the quantile {quantile:g} needs" in few.obstacle
    assert few.value is not None
    assert "" == enough.obstacle
    assert enough.estimate.variance > 0


def test_far_intervals_are_open() -> None:
    """A level that the sample cannot hold has no end on that side."""
    bounds = _exact([float(each) for each in range(40)], 0.9).bounds(0.0001)

    assert bounds.upper is None
    assert bounds.lower is not None


@pytest.mark.parametrize("quantile", [0.5, 0.9])
def test_variance_is_that_of_the_theory(quantile: float) -> None:
    """Close to q (1 - q) / (n f^2) for a normal sample, where f is the density at the quantile."""
    n = 40_000
    data = 100 + np.random.default_rng(1).normal(0, 30, n)
    point = stats.norm.ppf(quantile, 100, 30)
    expected = quantile * (1 - quantile) / (n * stats.norm.pdf(point, 100, 30) ** 2)
    counts = dict(zip(*(each.tolist() for each in np.unique(data.round(3), return_counts=True)), strict=True))

    assert pytest.approx(expected, rel=0.2) == Sketch(quantile, 0.0, counts).estimate.variance


def test_intervals_cover() -> None:
    """About 95 of 100 samples of a skewed variable hold the true p90."""
    generator, truth = np.random.default_rng(2), math.exp(1.2815515655446004)
    covered = 0
    for _ in range(400):
        bounds = from_proto(sketched(generator.lognormal(0, 1, 300), ACCURACY), 0.9).bounds(0.05)
        assert bounds.lower is not None
        assert bounds.upper is not None
        covered += bounds.lower <= truth <= bounds.upper

    assert 0.92 <= covered / 400 <= 0.99


def test_merged_parts_are_the_whole() -> None:
    """Epochs are merged without another look at their entities."""
    data = np.random.default_rng(4).lognormal(0, 1, 500)
    whole = from_proto(sketched(data), 0.9)

    assert whole == merge([from_proto(sketched(part), 0.9) for part in (data[:100], data[100:])])
    assert 0 == from_proto(tally_pb2.Sketch(), 0.9).n
    assert from_proto(tally_pb2.Sketch(), 0.9).value is None


def _latencies(method: InferenceMethod.ValueType, n: int) -> tuple[tally_pb2.IterationTally, Experiment]:
    judged = metric("latency", type=MetricType.METRIC_TYPE_QUANTILE, quantile=0.9, primary=True, unit="ms", goal=2)
    counted = tally_pb2.IterationTally(position=1)
    generator = np.random.default_rng(7)
    for variant, scale in (("c", 100.0), ("t", 50.0)):
        arm = counted.arms.add(epoch=1, variant_id=variant, enrolled=n, settled=n)
        values = tally_pb2.Values(sketch=sketched(scale * generator.lognormal(0, 0.5, n)))
        arm.metrics.add(metric="latency", events=n, live=values)
    return counted, definition("t", metrics=[judged], method=method)


@pytest.mark.parametrize(("method", "kind"), [(FIXED, "order_statistics"), (SEQUENTIAL, "confidence_sequence")])
def test_quantiles_are_judged(method: InferenceMethod.ValueType, kind: str) -> None:
    """Half the latency is found, in the direction of the goal, and no moments are made up."""
    counted, experiment = _latencies(method, 2_000)
    found = judge(experiment, counted, options=OPTIONS)
    own, compared = found.variant_results["t"].metric_results["latency"], found.comparisons[0].result

    assert own.interval.lower < own.value < own.interval.upper
    assert kind == own.interval.method
    assert not own.HasField("moments")
    assert pytest.approx(-0.5, abs=0.05) == compared.lift
    assert compared.significant
    assert not compared.HasField("standardized_effect")
    assert ("z-test" in compared.explanation) == (method == FIXED)
    if method == SEQUENTIAL:
        assert "t" == found.winner
        assert "latency is " in found.recommendation


def test_too_few_for_a_quantile_say_so() -> None:
    """30 agents have a p90 and no bound for it."""
    counted, experiment = _latencies(SEQUENTIAL, 30)
    found = judge(experiment, counted, options=OPTIONS)

    assert found.variant_results["c"].metric_results["latency"].HasField("value")
    assert not found.variant_results["c"].metric_results["latency"].HasField("interval")
    assert "no more than the 36 entities" in found.comparisons[0].result.explanation
