"""Results as tables for the terminal, at most 80 columns wide with names of ordinary length."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from klero.report import readings
from klero.report.rows import empty_table, rows
from klero.report.segments import segment_tables
from klero.v1.results_pb2 import HealthState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from klero.v1.experiment_pb2 import Experiment, Metric
    from klero.v1.results_pb2 import ExperimentResults, HealthCheck

_STYLES = {HealthState.HEALTH_STATE_WARNING: "yellow", HealthState.HEALTH_STATE_FAILED: "red"}


def question(experiment: Experiment) -> RenderableType:
    """What the experiment is called and what it is to show."""
    parts = [Text(experiment.name or experiment.id, style="bold underline")]
    if experiment.hypothesis:
        parts.append(Text(experiment.hypothesis))
    return Group(*parts, Text())


def results_table(experiment: Experiment, results: ExperimentResults) -> RenderableType:
    """Verdict, a table per metric, how to read them, segments, and health."""
    parts: list[RenderableType] = [Text(results.recommendation, style="bold"), Text()]
    for metric in experiment.metrics:
        parts += [_title(metric), metric_table(experiment, results, metric), Text()]
    if results.comparisons:
        corrected = " (corrected)" if readings.is_corrected(results) else ""
        parts.append(Text(f"{readings.kind_of_interval(results)}; * significant{corrected}.", style="dim"))
    parts.extend(segment_tables(experiment, results))
    parts.extend(health_lines(results.health))
    return Group(*parts)


def metric_table(experiment: Experiment, results: ExperimentResults, metric: Metric) -> Table:
    """One metric: each variant's value and how it compares with the control's."""
    table = empty_table(metric, first=("variant",))
    for row in rows(experiment, metric, results.variant_results, results.comparisons):
        table.add_row(*row)
    return table


def _title(metric: Metric) -> Text:
    marks = readings.marks(metric)
    return Text(f"{metric.name} ({marks})" if marks else metric.name, style="bold")


def health_lines(checks: Sequence[HealthCheck]) -> Iterator[Text]:
    """What is wrong, each in a sentence; all that is right in one line."""
    healthy = [_name(check) for check in checks if check.state == HealthState.HEALTH_STATE_OK]
    for check in checks:
        if check.state == HealthState.HEALTH_STATE_UNSPECIFIED:
            yield Text(f"{_name(check)}: {check.message}", style="dim")
        elif check.state != HealthState.HEALTH_STATE_OK:
            state = HealthState.Name(check.state).removeprefix("HEALTH_STATE_").lower()
            yield Text(f"{state}: {check.message}", style=_STYLES[check.state])
    if healthy:
        yield Text(f"Healthy: {', '.join(healthy)}.", style="dim")


def _name(check: HealthCheck) -> str:
    return check.name.replace("_", " ")
