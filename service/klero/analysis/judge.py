"""Results of one iteration from its definition and tally."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klero.analysis import health, missing_values, progress, tallied
from klero.analysis.advice import of_settled
from klero.analysis.basis import Basis
from klero.analysis.comparisons import by_plan, compare_all, comparison
from klero.analysis.rules import rules_of
from klero.analysis.segments import segments
from klero.analysis.variants import variant_results
from klero.analysis.verdict import Evidence, Situation, blocking, conclude
from klero.v1.experiment_pb2 import Allocation, Experiment
from klero.v1.results_pb2 import EpochResult, ExperimentResults, ResultsView

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from klero.analysis.compare import Compared
    from klero.analysis.options import JudgeOptions
    from klero.analysis.tallied import Tallied
    from klero.analysis.verdict import Conclusion
    from klero.storage.v1.tally_pb2 import Breakdown, IterationTally
    from klero.v1.results_pb2 import SignificanceResult

LIVE, SETTLED = ResultsView.RESULTS_VIEW_LIVE, ResultsView.RESULTS_VIEW_SETTLED


def judge(
    definition: Experiment,
    tally: IterationTally,
    *,
    options: JudgeOptions,
    breakdowns: Mapping[str, Breakdown] | None = None,
) -> ExperimentResults:
    """Estimates, comparisons, health and verdict.

    Health and verdict rest on settled entities, whatever view estimates and comparisons show: values
    that still fill favour the variant whose outcomes come sooner.

    Args:
        definition: As stored. Method SEQUENTIAL or FIXED_HORIZON, correction HOLM or NONE; an
            iteration of 0 was never started.
        tally: Of the same iteration.
        options: Circumstances.
        breakdowns: The same entities by dimension, in the order in which segments are wanted. None: no segments.

    """
    rules, view = rules_of(definition), options.view or SETTLED
    settled = tallied.read(tally.arms, definition.metrics, SETTLED)
    data = tallied.read(tally.arms, definition.metrics, LIVE) if view == LIVE else settled
    situation = _situation(definition, tally, settled)
    weights = _weights(definition, tally)
    basis = Basis(
        definition=definition,
        rules=rules,
        view=view,
        weights=weights.get(definition.allocation.epoch, {}),
        doubts=missing_values.doubts(definition, settled),
        caveat=progress.caveat(rules, settled=situation.settled, closed=tally.closed),
    )
    checks = health.check(tally, settled, weights=weights, basis=basis)
    decisive = by_plan(compare_all(settled, basis), basis)
    shown = by_plan(compare_all(data, basis), basis) if view == LIVE else decisive
    conclusion = conclude(
        [Evidence(each, result) for each, result in decisive if _decides(each, basis)],
        situation=situation,
        failed=blocking(checks),
        rules=rules,
    )
    results = ExperimentResults(
        experiment_id=definition.id,
        variant_results=variant_results(data, basis),
        winner=conclusion.winner,
        recommendation=_recommendation(conclusion, definition, data),
        control_variant_id=definition.control.id,
        verdict=conclusion.verdict,
        comparisons=[comparison(each, result) for each, result in shown],
        health=checks,
        plan=rules.plan,
        progress=progress.progress(definition, tally, enrolled=situation.enrolled, settled=situation.settled),
        is_final=tally.closed,
        revision=definition.revision,
        epochs=_epochs(definition, tally, settled, weights),
        engine_version=options.engine_version,
        as_of=tally.position,
        iteration=definition.iteration,
        view=view,
        segments=segments(breakdowns or {}, basis),
    )
    results.collected_at.FromMilliseconds(options.collected_at_ms)
    results.lag.FromMilliseconds(max(0, options.journal_end_ms - tally.time_ms) if tally.position else 0)
    analysis = _analysis(conclusion, shown)
    if analysis is not None:
        results.analysis.CopyFrom(analysis)
    return results


def _situation(definition: Experiment, tally: IterationTally, settled: Tallied) -> Situation:
    variants = [definition.control, *definition.variants]
    return Situation(
        started=definition.iteration > 0,
        stopped=tally.stopped,
        closed=tally.closed,
        enrolled=sum(settled.enrolled(variant.id) for variant in variants),
        settled=sum(settled.settled(variant.id) for variant in variants),
    )


def _decides(compared: Compared, basis: Basis) -> bool:
    """Whether the verdict waits for the comparison; a variant that gets nobody new would be waited for in vain."""
    gets_nobody = bool(basis.weights) and basis.weights.get(compared.variant.id, 0.0) == 0
    return compared.metric.primary and not (gets_nobody and compared.obstacle)


def _recommendation(conclusion: Conclusion, definition: Experiment, data: Tallied) -> str:
    variants = [definition.control, *definition.variants]
    filling = any(data.pooled(variant.id, each.name).unsettled for variant in variants for each in definition.metrics)
    return of_settled(conclusion.recommendation) if filling else conclusion.recommendation


def _analysis(
    conclusion: Conclusion, shown: Sequence[tuple[Compared, SignificanceResult]]
) -> SignificanceResult | None:
    """What is shown of the comparison that counts. None: no primary metric."""
    if conclusion.shown is None:
        return None
    counts = conclusion.shown.compared
    return next(
        result
        for each, result in shown
        if (each.metric.name, each.variant.id) == (counts.metric.name, counts.variant.id)
    )


def _weights(definition: Experiment, tally: IterationTally) -> dict[int, Mapping[str, float]]:
    """Percent by epoch and variant id, as far as it is known."""
    weights: dict[int, Mapping[str, float]] = {}
    # Of an iteration that the journal of an earlier version began, only the allocation in force is known.
    if definition.HasField("allocation"):
        weights[definition.allocation.epoch] = dict(definition.allocation.weights)
    return weights | {epoch.epoch: dict(epoch.weights) for epoch in tally.epochs}


def _epochs(
    definition: Experiment, tally: IterationTally, data: Tallied, weights: Mapping[int, Mapping[str, float]]
) -> list[EpochResult]:
    """Every epoch with entities or weights; of past ones number, weights and beginning are known."""
    current = definition.allocation
    opened = {epoch.epoch: epoch.opened_ms for epoch in tally.epochs}
    variant_ids = [variant.id for variant in (definition.control, *definition.variants)]
    found = []
    for epoch in sorted({*data.epochs, *weights}):
        allocation = Allocation(epoch=epoch, weights=weights.get(epoch, {}))
        if epoch in opened:
            allocation.started_at.FromMilliseconds(opened[epoch])
        enrolled = {variant_id: data.enrolled(variant_id, epoch) for variant_id in variant_ids}
        found.append(EpochResult(allocation=current if epoch == current.epoch else allocation, enrolled=enrolled))
    return found
