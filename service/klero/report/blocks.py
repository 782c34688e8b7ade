"""The parts of a report that are more than a message of the contract shows as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf import json_format

from klero.analysis import words
from klero.lifecycle import status_name
from klero.report import cells, readings
from klero.report.forest import Forest, forest
from klero.report.rows import value_title
from klero.report.times import time_text
from klero.v1.experiment_pb2 import EffectScale, InferenceMethod
from klero.v1.results_pb2 import GuardrailState, HealthState
from klero.words import enum_word

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from google.protobuf.message import Message

    from klero.report.data import ReportData
    from klero.v1.events_pb2 import AuditEntry
    from klero.v1.experiment_pb2 import Metric


@dataclass(frozen=True, slots=True)
class MetricBlock:
    """One metric: its plot or why there is none, and its numbers."""

    name: str
    description: str
    marks: str
    kind: str
    unit: str
    plot: Forest | None
    shade: str
    """What the plot's shade is. Empty: there is none."""
    why_no_plot: str
    counted: str
    """Who stands in `rows`."""
    rows: Sequence[cells.Row]
    live_rows: Sequence[cells.Row]
    """Empty: the metric has no window, so everyone stands in `rows`."""


@dataclass(frozen=True, slots=True)
class VariantRow:
    """How many entities a variant has. `share` of all enrolled, beside the `weight` in force, both in percent."""

    name: str
    enrolled: cells.Number
    share: cells.Number | None
    weight: cells.Number
    settled: cells.Number


@dataclass(frozen=True, slots=True)
class EpochRow:
    """One variant in one epoch."""

    epoch: int
    started_at: str
    cause: str
    variant: str
    weight: cells.Number
    enrolled: cells.Number


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was checked: what, how it came out in a word, and the sentence."""

    name: str
    state: str
    message: str


@dataclass(frozen=True, slots=True)
class CounterRow:
    """One count of what came in."""

    name: str
    value: cells.Number
    description: str


@dataclass(frozen=True, slots=True)
class Change:
    """One field before and after, as JSON."""

    path: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One entry of the audit trail."""

    at: str
    actor: str
    action: str
    reason: str
    summary: str
    changes: Sequence[Change]


def metric_blocks(data: ReportData) -> Iterator[MetricBlock]:
    """Every metric, in the order of the definition."""
    experiment = data.experiment
    for metric in experiment.metrics:
        plot = forest(experiment, data.results, metric)
        windowed = metric.HasField("window")
        rows = list(cells.metric_rows(experiment, data.results, metric))
        live = data.live if windowed else None
        yield MetricBlock(
            name=metric.name,
            description=metric.description,
            marks=readings.marks(metric),
            kind=value_title(metric),
            unit=readings.unit_of(metric).word,
            plot=plot,
            shade=_shade(metric) if plot is not None and plot.shade is not None else "",
            why_no_plot=next((row.explanation for row in rows if row.explanation), "Nothing was compared yet."),
            counted="Settled entities, which decide" if windowed else "All entities",
            rows=rows,
            live_rows=[] if live is None else list(cells.metric_rows(experiment, live, metric)),
        )


def facts(data: ReportData) -> Iterator[tuple[str, str]]:
    """What to know about the answer, as pairs of a term and its text."""
    results, progress = data.results, data.results.progress
    yield (
        "Status",
        status_name(data.status.status) + (f" ({data.status.status_reason})" if data.status.status_reason else ""),
    )
    if not results.iteration:
        return
    yield "Iteration", f"{results.iteration}"
    yield "Enrolled", f"{progress.enrolled:,}"
    yield "Settled", f"{progress.settled:,}"
    if progress.required:
        yield "Needed by the plan", f"{progress.required:,} settled, {words.percent(progress.fraction)} are there"
    if progress.HasField("estimated_end"):
        yield "Expected to be there", f"{time_text(progress.estimated_end)} UTC"
    if data.experiment.HasField("started_at"):
        yield "Started", f"{time_text(data.experiment.started_at)} UTC"
    if data.experiment.HasField("ended_at"):
        yield "Ended", f"{time_text(data.experiment.ended_at)} UTC"
    yield (
        "Method",
        enum_word(
            InferenceMethod.DESCRIPTOR, results.plan.method or InferenceMethod.INFERENCE_METHOD_SEQUENTIAL
        ).replace("_", " "),
    )
    yield "Final", "yes" if results.is_final else "no, numbers can still change"


def variant_rows(data: ReportData) -> Iterator[VariantRow]:
    """Every variant, the control first."""
    everyone = sum(found.enrolled for found in data.results.variant_results.values())
    for variant in (data.experiment.control, *data.experiment.variants):
        found = data.results.variant_results[variant.id]
        yield VariantRow(
            name=readings.name_of(variant),
            enrolled=cells.count(found.enrolled),
            share=cells.percentage(100 * found.enrolled / everyone) if everyone else None,
            weight=cells.percentage(found.weight),
            settled=cells.count(found.settled),
        )


def epoch_rows(data: ReportData) -> Iterator[EpochRow]:
    """Every variant in every epoch, oldest epoch first."""
    for epoch in data.results.epochs:
        allocation = epoch.allocation
        for variant in (data.experiment.control, *data.experiment.variants):
            yield EpochRow(
                epoch=allocation.epoch,
                started_at=time_text(allocation.started_at),
                cause=allocation.cause,
                variant=readings.name_of(variant),
                weight=cells.percentage(allocation.weights[variant.id]),
                enrolled=cells.count(epoch.enrolled[variant.id]),
            )


def health(data: ReportData) -> Iterator[Finding]:
    """Every check, in the order of the results."""
    for check in data.results.health:
        state = enum_word(HealthState.DESCRIPTOR, check.state) if check.state else "cannot tell yet"
        yield Finding(check.name.replace("_", " "), state, check.message)


def guardrails(data: ReportData) -> Iterator[Finding]:
    """Every guardrail on every variant, in the order of the results."""
    names = {variant.id: readings.name_of(variant) for variant in data.experiment.variants}
    metrics = {guardrail.id: guardrail.metric for guardrail in data.experiment.config.guardrails}
    for found in data.results.guardrails:
        metric = metrics.get(found.guardrail_id, found.guardrail_id)
        name = f"{metric} of {names.get(found.variant_id, found.variant_id)}"
        yield Finding(name, enum_word(GuardrailState.DESCRIPTOR, found.state).replace("_", " "), found.explanation)


def counters(data: ReportData) -> Iterator[CounterRow]:
    """What was counted beside the results, as far as it came up."""
    for counter in data.status.counters:
        if counter.value:
            yield CounterRow(counter.name, cells.count(counter.value), counter.description)


def audit_lines(entries: Sequence[AuditEntry]) -> Iterator[AuditLine]:
    """Every entry with all of its changes."""
    for entry in entries:
        fields = len(entry.changes)
        yield AuditLine(
            at=time_text(entry.occurred_at),
            actor=entry.actor,
            action=entry.action,
            reason=entry.reason,
            summary="1 field" if fields == 1 else f"{fields} fields",
            changes=[
                Change(
                    path=change.path,
                    before=_json(change.before) if change.HasField("before") else "unset",
                    after=_json(change.after) if change.HasField("after") else "unset",
                )
                for change in entry.changes
            ],
        )


def minimum_effect(data: ReportData, metric: Metric) -> float | None:
    """The smallest difference worth acting on, in the metric's unit; `None`: none is set, or not known yet."""
    control = data.results.variant_results[data.experiment.control.id].metric_results[metric.name]
    return readings.minimum_effect(metric, control)


def _shade(metric: Metric) -> str:
    if metric.min_effect_scale == EffectScale.EFFECT_SCALE_ABSOLUTE:
        return f"below the minimum effect, {words.difference_of(metric, metric.min_effect)}."
    return f"below the minimum effect, {words.percent(metric.min_effect)} of the control's value."


def _json(value: Message) -> str:
    return json_format.MessageToJson(value, indent=None, ensure_ascii=False)
