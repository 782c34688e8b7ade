"""One metric of one variant on its own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from klero.analysis import moments, ratios
from klero.analysis.bounds import Bounds
from klero.analysis.compare import is_rate
from klero.analysis.means import clipped
from klero.analysis.moments import Moments
from klero.analysis.quantiles import Sketch
from klero.analysis.rates import Count, wilson
from klero.analysis.ratios import PairMoments
from klero.analysis.sequence import MIN_ENTITIES, MIN_OF_EACH_KIND, Mixture
from klero.analysis.significance import interval
from klero.analysis.tails import Student
from klero.v1.results_pb2 import MetricResult

if TYPE_CHECKING:
    from klero.analysis.rules import Rules
    from klero.analysis.samples import Sample
    from klero.v1.experiment_pb2 import Metric


def estimate(sample: Sample, *, metric: Metric, rules: Rules) -> MetricResult:
    """Mean, rate, ratio or quantile of all entities of a variant, with its interval.

    Epochs are pooled here: this describes the variant's entities, and comparisons, which must not
    be read off two such values if weights changed, stand elsewhere. Looked at once, means and ratios
    have Student's interval, rates Wilson's and quantiles that of order statistics; otherwise all
    have the confidence sequence of one sample, from the sizes on at which it holds. An entity that
    is not settled makes the value one of now, without an interval.

    Args:
        sample: At least one entity, with a value or without.
        metric: What the sample is of.
        rules: The plan.

    """
    result = MetricResult(metric=metric.name, sample_size=sample.n, events=sample.events, missing=sample.missing)
    value = sample.converted / sample.n if sample.n and is_rate(metric) else sample.values.value
    if value is not None:
        result.value = value
    if sample.n and isinstance(sample.values, Moments):
        result.moments.CopyFrom(moments.to_proto(sample.values))
    elif isinstance(sample.values, PairMoments):
        result.moments.CopyFrom(ratios.to_proto(sample.values))
    if value is None or sample.unsettled:
        return result
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
    values = sample.values
    if is_rate(metric):
        return wilson(Count(sample.converted, sample.n), rules.alpha), "wilson"
    if values.obstacle:
        return None
    if isinstance(values, Sketch):
        return values.bounds(rules.alpha), "order_statistics"
    reference = Student(values.n - 1)
    bounds = _around(sample, reference.multiplier(rules.alpha))
    return None if bounds is None else (bounds, reference.method)


def _sequence(sample: Sample, metric: Metric, rules: Rules) -> tuple[Bounds, str] | None:
    if sample.n < MIN_ENTITIES or sample.values.obstacle:
        return None
    if is_rate(metric) and min(sample.converted, sample.n - sample.converted) < MIN_OF_EACH_KIND:
        return None
    reference = Mixture(sample.n, rules.mixing_rate)
    bounds = _around(sample, reference.multiplier(rules.alpha))
    if bounds is None:
        return None
    return clipped(bounds, 0.0, 1.0) if is_rate(metric) else bounds, reference.method


def _around(sample: Sample, multiplier: float) -> Bounds | None:
    """So many standard errors to both sides of the estimate. None: no value varies."""
    found = sample.values.estimate
    if found.variance == 0:
        return None
    half = multiplier * math.sqrt(found.variance)
    return Bounds(found.value - half, found.value + half)
