"""The plot of one metric: each variant's difference from the control, with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from klero.report import readings
from klero.report.scale import Scale, covering, tick_labels
from klero.v1.experiment_pb2 import MetricGoal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from klero.report.readings import Standing, Unit
    from klero.v1.experiment_pb2 import Experiment, Metric
    from klero.v1.results_pb2 import Comparison, ExperimentResults

_TICKS = 5
_BETTER = {MetricGoal.METRIC_GOAL_INCREASE: "right", MetricGoal.METRIC_GOAL_DECREASE: "left"}


@dataclass(frozen=True, slots=True)
class Whisker:
    """One variant. Places are percent of the plot's width; `None`: there is nothing to draw.

    An end without bound lies at the edge of the plot, where `open_left` or `open_right` makes it an arrow.
    """

    name: str
    estimate_text: str
    interval_text: str
    standing: Standing
    estimate: float | None
    left: float | None
    right: float | None
    open_left: bool
    open_right: bool


@dataclass(frozen=True, slots=True)
class Forest:
    """All variants of one metric on one axis."""

    title: str
    description: str
    axis: str
    whiskers: Sequence[Whisker]
    ticks: Sequence[tuple[float, str]]
    zero: float
    shade: tuple[float, float] | None
    """Left edge and width of what is below the minimum effect."""
    better: str
    """`left`, `right`, or empty where neither is better."""


def forest(experiment: Experiment, results: ExperimentResults, metric: Metric) -> Forest | None:
    """Set out the comparisons of `metric`; `None` if none of them has an estimate."""
    compared = [found for found in results.comparisons if found.metric == metric.name]
    if not any(found.result.HasField("effect") for found in compared):
        return None
    unit = readings.unit_of(metric)
    control = results.variant_results[experiment.control.id].metric_results[metric.name]
    minimum = readings.minimum_effect(metric, control)
    ends = [0.0, *(_values(compared)), *((-minimum, minimum) if minimum else ())]
    scale = covering(unit.factor * end for end in ends)
    ticks = scale.ticks(_TICKS)
    names = {variant.id: readings.name_of(variant) for variant in experiment.variants}
    whiskers = [_whisker(found, metric, names[found.variant_id], unit, scale) for found in compared]
    baseline = readings.name_of(experiment.control)
    return Forest(
        title=f"{metric.name}: difference from {baseline}",
        description=" ".join(_sentence(found, metric, names[found.variant_id], unit) for found in compared),
        axis=readings.axis_title(experiment, unit),
        whiskers=whiskers,
        ticks=list(zip(map(scale.place, ticks), tick_labels(ticks, signed=True), strict=True)),
        zero=scale.place(0),
        shade=_shade(scale, unit.factor * minimum) if minimum else None,
        better=_BETTER.get(metric.goal, ""),
    )


def _values(compared: Sequence[Comparison]) -> Iterator[float]:
    """Every number that has a place on the axis."""
    for found in compared:
        if found.result.HasField("effect"):
            yield found.result.effect
        interval = readings.shown_interval(found.result)
        if interval is not None:
            yield from (getattr(interval, end) for end in ("lower", "upper") if interval.HasField(end))


def _whisker(found: Comparison, metric: Metric, name: str, unit: Unit, scale: Scale) -> Whisker:
    result = found.result
    interval = readings.shown_interval(result) if result.HasField("effect") else None
    left = right = None
    if interval is not None:
        left = scale.place(unit.factor * interval.lower) if interval.HasField("lower") else 0.0
        right = scale.place(unit.factor * interval.upper) if interval.HasField("upper") else 100.0
    return Whisker(
        name=readings.short(name),
        estimate_text=unit.signed(result.effect) if result.HasField("effect") else "",
        interval_text="" if interval is None else unit.span(interval),
        standing=readings.standing(metric, result),
        estimate=scale.place(unit.factor * result.effect) if result.HasField("effect") else None,
        left=left,
        right=right,
        open_left=interval is not None and not interval.HasField("lower"),
        open_right=interval is not None and not interval.HasField("upper"),
    )


def _sentence(found: Comparison, metric: Metric, name: str, unit: Unit) -> str:
    """What a row shows, for who does not see it."""
    came_out = readings.standing(metric, found.result)
    if not found.result.HasField("effect"):
        return f"{name}: {came_out}."
    return f"{name}: {readings.summary(unit, found.result)}, {came_out}."


def _shade(scale: Scale, minimum: float) -> tuple[float, float]:
    left = scale.place(-minimum)
    return left, round(scale.place(minimum) - left, 3)
