"""One variant's numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klero.analysis.estimates import estimate
from klero.v1.experiment_pb2 import MetricType
from klero.v1.results_pb2 import VariantResult

if TYPE_CHECKING:
    from klero.analysis.basis import Basis
    from klero.analysis.tallied import Tallied
    from klero.v1.experiment_pb2 import Variant


def variant_results(data: Tallied, basis: Basis) -> dict[str, VariantResult]:
    """Results by variant id, the control's included, also without entities.

    Args:
        data: The entities, read in the view of `basis`.
        basis: What they are judged by.

    """
    variants = [basis.definition.control, *basis.definition.variants]
    return {variant.id: _variant_result(variant, data, basis) for variant in variants}


def _variant_result(variant: Variant, data: Tallied, basis: Basis) -> VariantResult:
    metrics = basis.definition.metrics
    samples = {metric.name: data.pooled(variant.id, metric.name) for metric in metrics}
    estimates = {
        metric.name: estimate(samples[metric.name], metric=metric, rules=basis.rules)
        for metric in metrics
        if samples[metric.name].n + samples[metric.name].missing > 0
    }
    leading = next((metric for metric in metrics if metric.primary), metrics[0] if metrics else None)
    converts = leading is not None and leading.type == MetricType.METRIC_TYPE_CONVERSION
    return VariantResult(
        variant_id=variant.id,
        sample_size=data.counted(variant.id),
        metrics={name: result.value for name, result in estimates.items() if result.HasField("value")},
        conversions=samples[leading.name].converted if leading is not None and converts else 0,
        metric_results=estimates,
        enrolled=data.enrolled(variant.id),
        settled=data.settled(variant.id),
        weight=basis.weights.get(variant.id, 0.0),
    )
