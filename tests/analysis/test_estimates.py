"""One variant's own numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from klero.analysis.estimates import estimate
from klero.analysis.rules import rules_of
from klero.analysis.samples import Sample
from klero.v1.experiment_pb2 import Metric, MetricType
from tests.analysis.known import FIXED, SEQUENTIAL, amounts, conversions, definition, metric, moments, values

SPEND = metric("spend", type=MetricType.METRIC_TYPE_CONTINUOUS)
AT_ONCE, SEQUENCE = rules_of(definition("t", method=FIXED)), rules_of(definition("t", method=SEQUENTIAL))


def test_a_rate_looked_at_once() -> None:
    """Wilson's interval, as statsmodels has it."""
    found = estimate(conversions(560, 10_000), metric=metric(), rules=AT_ONCE)

    assert (0.056, 560, 10_000, "wilson") == (found.value, found.events, found.sample_size, found.interval.method)
    assert pytest.approx(values("prop_10k", "statsmodels")["ci_B_wilson"]) == [
        found.interval.lower,
        found.interval.upper,
    ]


def test_a_mean_looked_at_once() -> None:
    """Student's interval, as scipy has it."""
    data = np.random.default_rng(3).normal(5, 2, 30)
    found = estimate(Sample(moments(data), 30, 30), metric=SPEND, rules=AT_ONCE)
    expected = stats.ttest_1samp(data, 0).confidence_interval(0.95)

    assert pytest.approx([expected.low, expected.high]) == [found.interval.lower, found.interval.upper]
    assert not found.interval.always_valid


@pytest.mark.parametrize(
    ("sample", "judged"), [(amounts(400, 3.0, 2.0), SPEND), (conversions(40, 400), metric())], ids=["mean", "rate"]
)
def test_sequences_are_wider(sample: Sample, judged: Metric) -> None:
    """What holds at every look costs width."""
    once = estimate(sample, metric=judged, rules=AT_ONCE).interval
    always = estimate(sample, metric=judged, rules=SEQUENCE).interval

    assert always.lower < once.lower < once.upper < always.upper
    assert always.always_valid
    assert always.method == "confidence_sequence"


@pytest.mark.parametrize(
    ("sample", "judged"),
    [
        (amounts(99, 3.0, 2.0), SPEND),
        (amounts(400, 3.0, 0.0), SPEND),
        (conversions(24, 400), metric()),
        (conversions(376, 400), metric()),
    ],
    ids=["few entities", "no variance", "few converted", "few not converted"],
)
def test_no_sequence_before_it_holds(sample: Sample, judged: Metric) -> None:
    """A value without interval is honest; an interval that does not hold is not."""
    found = estimate(sample, metric=judged, rules=SEQUENCE)

    assert not found.HasField("interval")
    assert found.HasField("value")


@pytest.mark.parametrize("sample", [amounts(1, 3.0, 0.0), amounts(9, 3.0, 0.0)], ids=["one", "constant"])
def test_no_interval_without_variance(sample: Sample) -> None:
    """One value, or the same value always, says nothing about how values vary."""
    assert not estimate(sample, metric=SPEND, rules=AT_ONCE).HasField("interval")
