"""One metric of one variant on its own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from klero.analysis.bounds import Bounds
from klero.analysis.compare import is_rate
from klero.analysis.means import clipped
from klero.analysis.moments import MIN_FOR_VARIANCE, to_proto
from klero.analysis.rates import Count, wilson
from klero.analysis.sequence import MIN_ENTITIES, MIN_OF_EACH_KIND, Mixture
from klero.analysis.significance import interval
from klero.analysis.tails import Student
from klero.v1.results_pb2 import MetricResult

if TYPE_CHECKING:
    from klero.analysis.rules import Rules
    from klero.analysis.strata import Sample
    from klero.v1.experiment_pb2 import Metric


def estimate(sample: Sample, *, metric: Metric, rules: Rules) -> MetricResult:
    """Mean or rate of all entities of a variant, with its interval.

    Epochs are pooled here: this describes the variant's entities, and comparisons, which must not
    be read off two such values if weights changed, stand elsewhere. Looked at once, means have
    Student's interval and rates Wilson's; otherwise both have the confidence sequence of one
    sample, from the sizes on at which it holds.

    Args:
        sample: At least one entity.
        metric: CONVERSION, or CONTINUOUS by sum.
        rules: The plan.

    """
    moments = sample.moments
    value = sample.converted / moments.n if is_rate(metric) else moments.mean
    result = MetricResult(
        metric=metric.name, sample_size=moments.n, value=value, moments=to_proto(moments), events=sample.events
    )
    found = _sequence(sample, metric, rules) if rules.sequential else _single_look(sample, metric, rules)
    if found is not None:
        bounds, method = found
        result.interval.CopyFrom(
            interval(
                bounds,
                level=rules.confidence_level,
                estimate=value,
                method=method,
                always_valid=rules.sequential,
            )
        )
    return result


def _single_look(sample: Sample, metric: Metric, rules: Rules) -> tuple[Bounds, str] | None:
    moments = sample.moments
    if is_rate(metric):
        return wilson(Count(sample.converted, moments.n), rules.alpha), "wilson"
    if moments.n < MIN_FOR_VARIANCE or moments.m2 == 0:
        return None
    reference = Student(moments.n - 1)
    half = reference.multiplier(rules.alpha) * math.sqrt(moments.variance_of_mean)
    return Bounds(moments.mean - half, moments.mean + half), reference.method


def _sequence(sample: Sample, metric: Metric, rules: Rules) -> tuple[Bounds, str] | None:
    moments = sample.moments
    if moments.n < MIN_ENTITIES or moments.m2 == 0:
        return None
    if is_rate(metric) and min(sample.converted, moments.n - sample.converted) < MIN_OF_EACH_KIND:
        return None
    reference = Mixture(moments.n, rules.mixing_rate)
    half = reference.multiplier(rules.alpha) * math.sqrt(moments.variance_of_mean)
    bounds = Bounds(moments.mean - half, moments.mean + half)
    return clipped(bounds, 0.0, 1.0) if is_rate(metric) else bounds, reference.method
