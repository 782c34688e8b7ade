"""Results of one iteration from its definition and tally."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klero.analysis import health, progress, tallied
from klero.analysis.compare import Compared, compare
from klero.analysis.estimates import estimate
from klero.analysis.multiplicity import holm
from klero.analysis.rules import Rules, rules_of
from klero.analysis.significance import significance
from klero.analysis.verdict import Evidence, Situation, conclude, failed
from klero.v1.experiment_pb2 import Allocation, Experiment, MetricType
from klero.v1.results_pb2 import Comparison, EpochResult, ExperimentResults, ResultsView, VariantResult

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from klero.analysis.options import JudgeOptions
    from klero.analysis.tallied import Tallied
    from klero.storage.v1.tally_pb2 import IterationTally
    from klero.v1.experiment_pb2 import Metric, Variant
    from klero.v1.results_pb2 import SignificanceResult


def judge(definition: Experiment, tally: IterationTally, *, options: JudgeOptions) -> ExperimentResults:
    """Estimates, comparisons, health and verdict.

    Metrics last the whole iteration, without windows of their own: every enrolled entity counts at
    once, so that settled is enrolled and every view has the same numbers.

    Args:
        definition: As stored. Method SEQUENTIAL or FIXED_HORIZON, correction HOLM or NONE, metrics
            CONVERSION or CONTINUOUS by sum; an iteration of 0 was never started.
        tally: Of the same iteration.
        options: Circumstances.

    """
    rules, data = rules_of(definition), tallied.read(tally)
    variants = [definition.control, *definition.variants]
    enrolled = sum(data.enrolled(variant.id) for variant in variants)
    weights = _weights(definition, options)
    checks = health.check(definition, tally, data, weights=weights, rules=rules)
    compared = _compare_all(definition, data, rules)
    judged = _correct(compared, rules=rules, caveat=progress.caveat(rules, enrolled=enrolled, stopped=tally.stopped))
    current = weights.get(definition.allocation.epoch, {})
    conclusion = conclude(
        [Evidence(each, result) for each, result in judged if each.metric.primary and _is_compared(each, current)],
        situation=Situation(definition.iteration > 0, tally.stopped, enrolled, failed(checks)),
        rules=rules,
    )
    results = ExperimentResults(
        experiment_id=definition.id,
        variant_results={
            variant.id: _variant_result(variant, definition.metrics, data, weights=current, rules=rules)
            for variant in variants
        },
        winner=conclusion.winner,
        recommendation=conclusion.recommendation,
        control_variant_id=definition.control.id,
        verdict=conclusion.verdict,
        comparisons=[_comparison(each, result) for each, result in judged],
        health=checks,
        plan=rules.plan,
        progress=progress.progress(definition, tally, enrolled=enrolled),
        is_final=tally.stopped,
        revision=definition.revision,
        epochs=_epochs(definition, data, weights),
        engine_version=options.engine_version,
        as_of=tally.position,
        iteration=definition.iteration,
        view=options.view or ResultsView.RESULTS_VIEW_SETTLED,
    )
    results.collected_at.FromMilliseconds(options.collected_at_ms)
    results.lag.FromMilliseconds(max(0, options.journal_end_ms - tally.time_ms) if tally.position else 0)
    if conclusion.shown is not None:
        results.analysis.CopyFrom(conclusion.shown.result)
    return results


def _weights(definition: Experiment, options: JudgeOptions) -> dict[int, Mapping[str, float]]:
    """Percent by epoch and variant id."""
    weights = dict(options.epoch_weights)
    if definition.HasField("allocation"):
        weights[definition.allocation.epoch] = dict(definition.allocation.weights)
    return weights


def _compare_all(definition: Experiment, data: Tallied, rules: Rules) -> list[Compared]:
    """Every variant but the control for every metric: by metric, then by variant."""
    return [
        compare(
            data.strata(definition.control.id, variant.id, metric.name),
            metric=metric,
            baseline=definition.control,
            variant=variant,
            rules=rules,
        )
        for metric in definition.metrics
        for variant in definition.variants
    ]


def _correct(compared: Sequence[Compared], *, rules: Rules, caveat: str) -> list[tuple[Compared, SignificanceResult]]:
    """Results, corrected within the primary metric and within all others, in the order of `compared`.

    The primary metric is a family of its own at full alpha, because it alone decides.
    """
    adjusted: list[float | None] = [None] * len(compared)
    sizes = [1] * len(compared)
    for primary in (True, False):
        family = [index for index, each in enumerate(compared) if each.metric.primary is primary]
        if len(family) == 1 or not rules.corrects:
            continue
        corrected = holm([compared[index].p_value for index in family])
        for index, p_value in zip(family, corrected, strict=True):
            adjusted[index], sizes[index] = p_value, len(family)
    return [
        (each, significance(each, rules=rules, adjusted_p_value=p_value, family=size, caveat=caveat))
        for each, p_value, size in zip(compared, adjusted, sizes, strict=True)
    ]


def _is_compared(compared: Compared, weights: Mapping[str, float]) -> bool:
    """Whether the verdict waits for the variant: one that gets nobody new would be waited for in vain."""
    gets_nobody = bool(weights) and weights.get(compared.variant.id, 0.0) == 0
    return not (gets_nobody and compared.obstacle)


def _comparison(compared: Compared, result: SignificanceResult) -> Comparison:
    return Comparison(
        variant_id=compared.variant.id,
        baseline_variant_id=compared.baseline.id,
        metric=compared.metric.name,
        result=result,
    )


def _variant_result(
    variant: Variant, metrics: Sequence[Metric], data: Tallied, *, weights: Mapping[str, float], rules: Rules
) -> VariantResult:
    enrolled = data.enrolled(variant.id)
    samples = {metric.name: data.pooled(variant.id, metric.name) for metric in metrics}
    estimates = {
        metric.name: estimate(samples[metric.name], metric=metric, rules=rules)
        for metric in metrics
        if samples[metric.name].moments.n > 0
    }
    leading = next((metric for metric in metrics if metric.primary), metrics[0] if metrics else None)
    converts = leading is not None and leading.type == MetricType.METRIC_TYPE_CONVERSION
    return VariantResult(
        variant_id=variant.id,
        sample_size=enrolled,
        metrics={name: result.value for name, result in estimates.items()},
        conversions=samples[leading.name].converted if leading is not None and converts else 0,
        metric_results=estimates,
        enrolled=enrolled,
        settled=enrolled,
        weight=weights.get(variant.id, 0.0),
    )


def _epochs(definition: Experiment, data: Tallied, weights: Mapping[int, Mapping[str, float]]) -> list[EpochResult]:
    """Every epoch with entities or weights; of past ones number and weights are known."""
    current = definition.allocation
    variant_ids = [variant.id for variant in (definition.control, *definition.variants)]
    return [
        EpochResult(
            allocation=current if epoch == current.epoch else Allocation(epoch=epoch, weights=weights.get(epoch, {})),
            enrolled={variant_id: data.enrolled(variant_id, epoch) for variant_id in variant_ids},
        )
        for epoch in sorted({*data.epochs, *weights})
    ]
