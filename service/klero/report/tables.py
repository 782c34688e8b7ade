"""Results as tables for the terminal, at most 80 columns wide with names of ordinary length."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

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


def results_table(experiment: Experiment, results: ExperimentResults) -> RenderableType:
    """Verdict, a table per metric, how to read them, segments, and health."""
    parts: list[RenderableType] = [Text(results.recommendation, style="bold"), Text()]
    for metric in experiment.metrics:
        parts += [_title(metric), metric_table(experiment, results, metric), Text()]
    parts.extend(_reading(results))
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
    marks = [mark for mark in ("primary" if metric.primary else "", _direction(metric)) if mark]
    return Text(f"{metric.name} ({', '.join(marks)})" if marks else metric.name, style="bold")


def _direction(metric: Metric) -> str:
    return {1: "more is better", 2: "less is better"}.get(metric.goal, "")


def _reading(results: ExperimentResults) -> Iterator[Text]:
    """What the numbers are, once for all tables."""
    if not results.comparisons:
        return
    first = results.comparisons[0].result
    level = f"{100 * first.confidence_level:g} %"
    kind = "confidence sequences, right at every look" if first.always_valid else "intervals, right at the planned end"
    corrected = any(found.result.HasField("adjusted_p_value") for found in results.comparisons)
    correction = " (corrected)" if corrected else ""
    yield Text(f"{level} {kind}; * significant{correction}.", style="dim")


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
