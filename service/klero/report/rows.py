"""What stands in a row of a table: one variant's value and how it compares with the control's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from klero.analysis.words import probability, value_of
from klero.v1.experiment_pb2 import MetricType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from klero.v1.experiment_pb2 import Experiment, Metric
    from klero.v1.results_pb2 import Comparison, ConfidenceInterval, SignificanceResult, VariantResult

NOT_COMPUTED = "-"
_KINDS = {MetricType.METRIC_TYPE_CONVERSION: "rate", MetricType.METRIC_TYPE_RATIO: "ratio"}


def empty_table(metric: Metric, *, first: Iterable[str]) -> Table:
    """Give a table for `metric` whose rows begin with the columns `first`."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for column in first:
        table.add_column(column, overflow="ellipsis", no_wrap=True, min_width=7)
    for column in ("entities", value_title(metric), "lift", "interval", "p"):
        table.add_column(column, justify="right", no_wrap=True)
    return table


def value_title(metric: Metric) -> str:
    """What the metric's values are: `rate`, `ratio`, `mean`, or a quantile as `p95`."""
    if metric.type == MetricType.METRIC_TYPE_QUANTILE:
        return f"p{100 * metric.quantile:g}"
    return _KINDS.get(metric.type, "mean")


def rows(
    experiment: Experiment, metric: Metric, variants: Mapping[str, VariantResult], comparisons: Iterable[Comparison]
) -> Iterator[tuple[str, ...]]:
    """One row a variant, the control first: its name, entities, value, lift, interval and p.

    Where the metric has a window, entities are those counted of those enrolled.
    """
    compared = {found.variant_id: found for found in comparisons if found.metric == metric.name}
    for variant in (experiment.control, *experiment.variants):
        result = variants[variant.id]
        found = result.metric_results[metric.name]
        value = value_of(metric, found.value) if found.HasField("value") else NOT_COMPUTED
        entities = f"{found.sample_size:,}"
        if metric.HasField("window"):
            entities = f"{entities} of {result.enrolled:,}"
        yield variant.name or variant.id, entities, value, *comparison_cells(compared.get(variant.id))


def comparison_cells(comparison: Comparison | None) -> tuple[str, str, str]:
    """Cells of one comparison: lift, its interval and p; empty ones for the control, compared with nobody."""
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
