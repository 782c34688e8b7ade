"""Plots over time: how an estimate and its interval narrowed, and how variants filled up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from klero.report import readings
from klero.report.scale import Scale, covering, tick_labels
from klero.report.times import seconds, time_text, time_ticks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from klero.v1.experiment_pb2 import Experiment, Metric
    from klero.v1.results_pb2 import ConfidenceInterval, HistoryPoint, SignificanceResult

    Looks = Sequence[tuple[float, SignificanceResult]]

_TIME_TICKS, _VALUE_TICKS = 4, 4
# Intervals of the first looks are wider by orders of magnitude and would flatten all later ones: an
# interval wider than this many times the last one runs out of the plot.
_WIDEST = 2.5
# As far above and below the plot as anything is drawn, in percent of its height.
_BEYOND = 100.0
# Two looks make a line.
_FEWEST = 2
# Of the largest count, so that no line runs along the upper edge.
_HEADROOM = 1.06

Place = tuple[float, float]
"""Percent from the left and from the top."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One line: its points, and the points around the band behind it. `style` counts lines from 0."""

    name: str
    style: int
    line: Sequence[Place]
    band: Sequence[Place]


@dataclass(frozen=True, slots=True)
class Plot:
    """Curves over one time axis."""

    title: str
    description: str
    axis: str
    curves: Sequence[Curve]
    times: Sequence[tuple[float, str]]
    values: Sequence[tuple[float, str]]
    zero: float | None
    """From the top; `None`: 0 is no place to compare with."""
    shade: tuple[float, float] | None
    """Top and height of what is below the minimum effect."""


def estimate_plots(
    experiment: Experiment, metric: Metric, points: Sequence[HistoryPoint], *, minimum: float | None
) -> Iterator[Plot]:
    """One plot a variant with an estimate in at least two looks, all with the same axes.

    Args:
        experiment: Says how variants are called.
        metric: Of the looks.
        points: Oldest first.
        minimum: The smallest difference worth acting on, in the metric's unit. None: not known.

    """
    unit = readings.unit_of(metric)
    drawn = {variant.id: looks for variant in experiment.variants if len(looks := _looks(points, variant.id)) > 1}
    if not drawn:
        return
    ends = [0.0, *(end for looks in drawn.values() for end in _readable(looks))]
    scale = covering(unit.factor * end for end in (*ends, *((-minimum, minimum) if minimum else ())))
    time = _time_scale(points)
    baseline = readings.name_of(experiment.control)
    for variant in experiment.variants:
        if variant.id not in drawn:
            continue
        name, looks = readings.name_of(variant), drawn[variant.id]
        now = f"{readings.summary(unit, looks[-1][1])} {unit.word}".rstrip()
        yield Plot(
            title=f"{metric.name}: {name} against {baseline} over time",
            description=f"{_span(points)} the difference came to {now}.",
            axis=readings.axis_title(experiment, unit),
            curves=[_estimate_curve(name, looks, unit.factor, time=time, scale=scale)],
            times=_time_labels(time),
            values=_value_labels(scale, signed=True),
            zero=_from_top(scale, 0),
            shade=_shade(scale, unit.factor * minimum) if minimum else None,
        )


def enrolment_plot(experiment: Experiment, points: Sequence[HistoryPoint]) -> Plot | None:
    """Entities per variant over time; `None` with fewer than two looks or nobody enrolled."""
    variants = (experiment.control, *experiment.variants)
    most = max((count for point in points for count in point.enrolled.values()), default=0)
    if len(points) < _FEWEST or not most:
        return None
    scale, time = Scale(0, _HEADROOM * most), _time_scale(points)
    counts = ", ".join(f"{points[-1].enrolled[variant.id]:,} in {readings.name_of(variant)}" for variant in variants)
    curves = []
    for style, variant in enumerate(variants):
        places = [
            (time.place(seconds(point.looked_at)), _from_top(scale, point.enrolled[variant.id])) for point in points
        ]
        curves.append(Curve(readings.name_of(variant), style, places, []))
    return Plot(
        title="Enrolled entities over time",
        description=f"{_span(points)} the variants came to {counts}.",
        axis="enrolled entities",
        curves=curves,
        times=_time_labels(time),
        values=_value_labels(scale, signed=False),
        zero=None,
        shade=None,
    )


def _looks(points: Sequence[HistoryPoint], variant_id: str) -> Looks:
    """When there was an estimate of the variant, in seconds since 1970, and which."""
    return [
        (seconds(point.looked_at), found.result)
        for point in points
        for found in point.comparisons
        if found.variant_id == variant_id and found.result.HasField("effect")
    ]


def _readable(looks: Looks) -> Iterator[float]:
    """The values that the axis has to hold: the last estimate, and intervals not much wider than the last."""
    last = looks[-1][1]
    yield last.effect
    widest = _width(readings.shown_interval(last))
    for _, result in looks:
        interval = readings.shown_interval(result)
        width = _width(interval)
        if widest is None:
            yield result.effect
        elif interval is not None and width is not None and width <= _WIDEST * widest:
            yield from (interval.lower, interval.upper)


def _width(interval: ConfidenceInterval | None) -> float | None:
    """`None`: there is no interval, or it has an end without bound."""
    if interval is None or not (interval.HasField("lower") and interval.HasField("upper")):
        return None
    return interval.upper - interval.lower


def _estimate_curve(name: str, looks: Looks, factor: float, *, time: Scale, scale: Scale) -> Curve:
    line, upper, lower = list[Place](), list[Place](), list[Place]()
    for at_s, result in looks:
        at = time.place(at_s)
        line.append((at, _from_top(scale, factor * result.effect)))
        interval = readings.shown_interval(result)
        if interval is not None:
            above = _from_top(scale, factor * interval.upper) if interval.HasField("upper") else -_BEYOND
            below = _from_top(scale, factor * interval.lower) if interval.HasField("lower") else 100 + _BEYOND
            upper.append((at, above))
            lower.append((at, below))
    return Curve(name, 0, line, [*upper, *reversed(lower)])


def _time_scale(points: Sequence[HistoryPoint]) -> Scale:
    """From the first look to the last; a second if both are one."""
    first, last = seconds(points[0].looked_at), seconds(points[-1].looked_at)
    return Scale(first, max(last, first + 1))


def _span(points: Sequence[HistoryPoint]) -> str:
    return f"From {time_text(points[0].looked_at)} to {time_text(points[-1].looked_at)}"


def _time_labels(time: Scale) -> list[tuple[float, str]]:
    return [(time.place(at), label) for at, label in time_ticks(time, _TIME_TICKS)]


def _value_labels(scale: Scale, *, signed: bool) -> list[tuple[float, str]]:
    ticks = scale.ticks(_VALUE_TICKS)
    return list(zip((_from_top(scale, tick) for tick in ticks), tick_labels(ticks, signed=signed), strict=True))


def _from_top(scale: Scale, value: float) -> float:
    """Percent from the top, cut off well outside of the plot."""
    return round(min(100 + _BEYOND, max(-_BEYOND, 100 - scale.place(value))), 3)


def _shade(scale: Scale, minimum: float) -> tuple[float, float]:
    top = _from_top(scale, minimum)
    return top, round(_from_top(scale, -minimum) - top, 3)
