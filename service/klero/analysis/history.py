"""How one metric's comparisons have developed: a point per look, each judged as if it were the present."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from klero.analysis import missing_values, progress, tallied
from klero.analysis.basis import Basis
from klero.analysis.comparisons import by_plan, compare_all, comparison
from klero.analysis.rules import rules_of
from klero.v1.experiment_pb2 import Experiment
from klero.v1.results_pb2 import HistoryPoint, ResultsView

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from klero.analysis.rules import Rules
    from klero.storage.v1.tally_pb2 import IterationTally

LIVE, SETTLED = ResultsView.RESULTS_VIEW_LIVE, ResultsView.RESULTS_VIEW_SETTLED


def history(
    definition: Experiment,
    looks: Sequence[tuple[int, IterationTally]],
    *,
    metric: str,
    view: ResultsView.ValueType = SETTLED,
) -> list[HistoryPoint]:
    """Judge each look by the plan as it is now; comparisons are those that `judge` gives of the same tally.

    Args:
        definition: As stored.
        looks: Unix milliseconds and tally, oldest first, all of one iteration.
        metric: Whose comparisons are wanted. Empty: none.
        view: SETTLED or LIVE.

    """
    plan = _plan(definition, looks, metric=metric, view=view)
    return [_point(looked_at_ms, tally, plan) for looked_at_ms, tally in looks]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What all looks are judged by."""

    family: Experiment
    """The definition with the metrics whose p-values are corrected together."""

    read: Experiment
    """The same and what `missing_values.doubts` needs beside them."""

    rules: Rules
    metric: str
    view: ResultsView.ValueType


def _plan(
    definition: Experiment,
    looks: Sequence[tuple[int, IterationTally]],
    *,
    metric: str,
    view: ResultsView.ValueType,
) -> _Plan:
    rules = rules_of(definition)
    family = _family(definition, metric, rules)
    return _Plan(
        family=_with_metrics(definition, family),
        # How much a metric is doubted depends on how many metrics have missing values.
        read=_with_metrics(definition, family | _missing(looks)),
        rules=rules,
        metric=metric,
        view=view,
    )


def _family(definition: Experiment, metric: str, rules: Rules) -> set[str]:
    """Metrics whose p-values are corrected together with those of `metric`."""
    primary = {each.primary for each in definition.metrics if each.name == metric}
    return {
        each.name for each in definition.metrics if each.name == metric or (rules.corrects and each.primary in primary)
    }


def _missing(looks: Sequence[tuple[int, IterationTally]]) -> set[str]:
    """Metrics that leave out entities without value."""
    return {
        counted.metric
        for _, tally in looks
        for arm in tally.arms
        for counted in arm.metrics
        if counted.live.missing or counted.settled.missing
    }


def _with_metrics(definition: Experiment, names: Collection[str]) -> Experiment:
    """Copy of a definition with these of its metrics alone."""
    copy = Experiment()
    copy.CopyFrom(definition)
    del copy.metrics[:]
    copy.metrics.extend(each for each in definition.metrics if each.name in names)
    return copy


def _point(looked_at_ms: int, tally: IterationTally, plan: _Plan) -> HistoryPoint:
    definition, live = plan.family, plan.view == LIVE
    settled = tallied.read(tally.arms, plan.read.metrics, SETTLED)
    data = tallied.read(tally.arms, definition.metrics, LIVE) if live else settled
    variant_ids = [variant.id for variant in (definition.control, *definition.variants)]
    enrolled = {variant_id: settled.enrolled(variant_id) for variant_id in variant_ids}
    closed = {variant_id: settled.settled(variant_id) for variant_id in variant_ids}
    basis = Basis(
        definition=definition,
        rules=plan.rules,
        view=plan.view,
        weights={},
        doubts=missing_values.doubts(plan.read, settled),
        caveat=progress.caveat(plan.rules, settled=sum(closed.values()), closed=tally.closed),
    )
    shown = by_plan(compare_all(data, basis), basis, metric=plan.metric)
    point = HistoryPoint(
        as_of=tally.position,
        enrolled=enrolled,
        sample_sizes={variant_id: data.counted(variant_id) for variant_id in variant_ids},
        comparisons=[comparison(each, result) for each, result in shown if result.HasField("effect")],
    )
    point.looked_at.FromMilliseconds(looked_at_ms)
    return point
