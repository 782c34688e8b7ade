"""Results as tables for the terminal, at most 80 columns wide with names of ordinary length."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from klero.analysis.words import probability, value_of
from klero.v1.experiment_pb2 import MetricType
from klero.v1.results_pb2 import HealthState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from klero.v1.experiment_pb2 import Experiment, Metric
    from klero.v1.results_pb2 import Comparison, ConfidenceInterval, ExperimentResults, SignificanceResult

NOT_COMPUTED = "-"
_STYLES = {HealthState.HEALTH_STATE_WARNING: "yellow", HealthState.HEALTH_STATE_FAILED: "red"}


def results_table(experiment: Experiment, results: ExperimentResults) -> RenderableType:
    """Verdict, a table per metric, how to read them, and health."""
    parts: list[RenderableType] = [Text(results.recommendation, style="bold"), Text()]
    for metric in experiment.metrics:
        parts += [_title(metric), metric_table(experiment, results, metric), Text()]
    parts.extend(_reading(results))
    parts.extend(_health(results))
    return Group(*parts)


def metric_table(experiment: Experiment, results: ExperimentResults, metric: Metric) -> Table:
    """One metric: each variant's value and how it compares with the control's."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("variant", overflow="ellipsis", no_wrap=True, min_width=7)
    is_rate = metric.type == MetricType.METRIC_TYPE_CONVERSION
    for column in ("entities", "rate" if is_rate else "mean", "lift", "interval", "p"):
        table.add_column(column, justify="right", no_wrap=True)
    compared = {found.variant_id: found for found in results.comparisons if found.metric == metric.name}
    for variant in (experiment.control, *experiment.variants):
        found = results.variant_results[variant.id].metric_results[metric.name]
        value = value_of(metric, found.value) if found.HasField("value") else NOT_COMPUTED
        table.add_row(
            variant.name or variant.id, f"{found.sample_size:,}", value, *_comparison(compared.get(variant.id))
        )
    return table


def _title(metric: Metric) -> Text:
    marks = [mark for mark in ("primary" if metric.primary else "", _direction(metric)) if mark]
    return Text(f"{metric.name} ({', '.join(marks)})" if marks else metric.name, style="bold")


def _direction(metric: Metric) -> str:
    return {1: "more is better", 2: "less is better"}.get(metric.goal, "")


def _comparison(comparison: Comparison | None) -> tuple[str, str, str]:
    """Lift, its interval and p; the control is compared with nobody."""
    if comparison is None:
        return "", "", ""
    result = comparison.result
    lift = f"{100 * result.lift:+.1f} %" if result.HasField("lift") else NOT_COMPUTED
    interval = _interval(result.lift_interval) if result.HasField("lift_interval") else NOT_COMPUTED
    return lift, interval, _p(result)


def _interval(interval: ConfidenceInterval) -> str:
    lower = f"{100 * interval.lower:+.1f}" if interval.HasField("lower") else "unbounded"
    upper = f"{100 * interval.upper:+.1f} %" if interval.HasField("upper") else "unbounded"
    return f"{lower} to {upper}"


def _p(result: SignificanceResult) -> str:
    if result.HasField("adjusted_p_value"):
        value = result.adjusted_p_value
    elif result.HasField("p_value"):
        value = result.p_value
    else:
        return NOT_COMPUTED
    written = probability(value).removeprefix("p = ").removeprefix("p ")
    return f"{written} *" if result.significant else written


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


def _health(results: ExperimentResults) -> Iterator[Text]:
    """What is wrong, each in a sentence; all that is right in one line."""
    healthy = [check.name.replace("_", " ") for check in results.health if check.state == HealthState.HEALTH_STATE_OK]
    for check in results.health:
        if check.state != HealthState.HEALTH_STATE_OK:
            state = HealthState.Name(check.state).removeprefix("HEALTH_STATE_").lower()
            label = "not tested" if check.state == HealthState.HEALTH_STATE_UNSPECIFIED else state
            yield Text(f"{label}: {check.message}", style=_STYLES.get(check.state, ""))
    if healthy:
        yield Text(f"Healthy: {', '.join(healthy)}.", style="dim")
