"""A comparison as the contract shows it."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from klero.analysis import effects
from klero.analysis.compare import difference_bounds, is_rate
from klero.analysis.explanation import explain
from klero.analysis.means import clipped
from klero.analysis.tails import normal_quantile
from klero.v1.experiment_pb2 import EffectScale
from klero.v1.results_pb2 import ConfidenceInterval, SignificanceResult

if TYPE_CHECKING:
    from klero.analysis.bounds import Bounds
    from klero.analysis.compare import Compared, TwoSampleTest
    from klero.analysis.rules import Rules


def significance(
    compared: Compared, *, rules: Rules, adjusted_p_value: float | None, family: int, caveat: str
) -> SignificanceResult:
    """Give the result of one comparison.

    Args:
        compared: The comparison alone.
        rules: The plan.
        adjusted_p_value: After correction. None: a single comparison, no correction, or no p-value.
        family: Comparisons corrected for together. 1: none.
        caveat: What else holds against reading the p-value, one clause. Empty: nothing.

    """
    result = SignificanceResult(
        confidence_level=rules.confidence_level, method=rules.plan.method, always_valid=rules.sequential
    )
    test = compared.test
    if test is None:
        result.practical = effects.practical(None, compared.metric.min_effect)
    else:
        if compared.p_value is not None:
            result.p_value = compared.p_value
            decisive = compared.p_value if adjusted_p_value is None else adjusted_p_value
            result.significant = decisive <= rules.alpha
        if adjusted_p_value is not None:
            result.adjusted_p_value = adjusted_p_value
        _set_effect(result, compared, test, rules)
        _set_intervals(result, compared, test, rules=rules, family=family)
    lift_is_open = result.HasField("interval") and not (
        result.lift_interval.HasField("lower") and result.lift_interval.HasField("upper")
    )
    result.explanation = explain(compared, adjusted_p_value=adjusted_p_value, lift_is_open=lift_is_open, caveat=caveat)
    return result


def interval(bounds: Bounds, *, level: float, estimate: float, method: str, always_valid: bool) -> ConfidenceInterval:
    """Bounds as a message; an open side stays unset."""
    return ConfidenceInterval(
        lower=bounds.lower,
        upper=bounds.upper,
        level=level,
        estimate=estimate,
        method=method,
        always_valid=always_valid,
    )


def _set_effect(result: SignificanceResult, compared: Compared, test: TwoSampleTest, rules: Rules) -> None:
    result.effect = test.effect
    if is_rate(compared.metric):
        standardized = effects.cohens_h(test.baseline_value, test.variant_value)
    else:
        samples = [sample for stratum in compared.strata for sample in (stratum.baseline, stratum.variant)]
        parts = [sample.values.spread for sample in samples]
        standardized = effects.cohens_d(test.effect, [part for part in parts if part is not None])
    if standardized is not None:
        result.standardized_effect = standardized
    result.effect_size = effects.size_label(standardized)
    if test.standard_error > 0:
        result.standard_error = test.standard_error
        multiplier = test.reference.multiplier(rules.alpha) + normal_quantile(rules.plan.power)
        result.detectable_effect = multiplier * test.standard_error
    if test.reference.degrees_of_freedom is not None:
        result.degrees_of_freedom = test.reference.degrees_of_freedom


def _set_intervals(
    result: SignificanceResult, compared: Compared, test: TwoSampleTest, *, rules: Rules, family: int
) -> None:
    lift = test.lift(rules.alpha)
    if lift.value is not None:
        result.lift = lift.value
    if compared.obstacle:
        result.practical = effects.practical(None, compared.metric.min_effect)
        return
    message = partial(interval, level=rules.confidence_level, always_valid=rules.sequential)
    of_effect = partial(message, estimate=test.effect, method=test.difference_method)
    bounds = difference_bounds(compared, rules.alpha)
    if bounds is not None:
        result.interval.CopyFrom(of_effect(bounds))
    simultaneous = difference_bounds(compared, rules.alpha / family) if family > 1 else None
    if simultaneous is not None:
        result.simultaneous_interval.CopyFrom(of_effect(simultaneous))
    lift_bounds = lift.bounds
    if lift_bounds is not None:
        if is_rate(compared.metric):
            lift_bounds = clipped(lift_bounds, -1.0, math.inf)
        estimate = test.variant_value / test.baseline_value - 1 if test.baseline_value else 0.0
        result.lift_interval.CopyFrom(message(lift_bounds, estimate=estimate, method=test.lift_method))
    relative = compared.metric.min_effect_scale != EffectScale.EFFECT_SCALE_ABSOLUTE
    result.practical = effects.practical(lift_bounds if relative else bounds, compared.metric.min_effect)
