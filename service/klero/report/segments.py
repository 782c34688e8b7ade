"""Segments as tables: one a dimension, for the metric that decides."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from rich.text import Text

from klero.report.rows import empty_table, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from klero.v1.experiment_pb2 import Experiment
    from klero.v1.results_pb2 import ExperimentResults


def segment_tables(experiment: Experiment, results: ExperimentResults) -> Iterator[RenderableType]:
    """A table per dimension with the primary metric, or else the first one; nothing without segments."""
    leading = next((metric for metric in experiment.metrics if metric.primary), None)
    metric = leading or next(iter(experiment.metrics), None)
    if metric is None or not results.segments:
        return
    for dimension, segments in groupby(results.segments, key=lambda segment: segment.dimension):
        table = empty_table(metric, first=(dimension, "variant"))
        for segment in segments:
            value = segment.value
            for row in rows(experiment, metric, segment.variant_results, segment.comparisons):
                table.add_row(value, *row)
                # Written once: the rows below belong to it.
                value = ""
        yield Text()
        yield Text(f"{metric.name} by {dimension}", style="bold")
        yield table
    yield Text()
    yield Text("Segments are exploratory; their p is corrected over all of a dimension.", style="dim")
