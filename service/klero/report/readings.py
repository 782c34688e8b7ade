"""What a comparison shows: which interval, in which unit, and on which side it comes out."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from klero.analysis import words
from klero.v1.experiment_pb2 import EffectScale, MetricGoal, MetricType

if TYPE_CHECKING:
    from klero.v1.experiment_pb2 import Experiment, Metric, Variant
    from klero.v1.results_pb2 import ConfidenceInterval, ExperimentResults, MetricResult, SignificanceResult

_WIDEST_NAME = 22
_DIRECTIONS = {
    MetricGoal.METRIC_GOAL_INCREASE: "more is better",
    MetricGoal.METRIC_GOAL_DECREASE: "less is better",
}


class Standing(StrEnum):
    """How a variant came out against the control, in the word that is shown."""

    BETTER = "better"
    WORSE = "worse"
    DIFFERENT = "different"
    UNDECIDED = "undecided"
    NOT_COMPUTED = "not computed"


@dataclass(frozen=True, slots=True)
class Unit:
    """How differences of a metric are written: `factor` times the difference, then `word`."""

    factor: float
    word: str

    def signed(self, value: float) -> str:
        """A difference with its sign and without the word: `+8.95`."""
        return ("+" if value > 0 else "") + words.number(self.factor * value)

    def span(self, interval: ConfidenceInterval) -> str:
        """An interval with its signs and without the word: `+3.8 to +5.2`, `unbounded to +5.2`."""
        lower = self.signed(interval.lower) if interval.HasField("lower") else "unbounded"
        upper = self.signed(interval.upper) if interval.HasField("upper") else "unbounded"
        return f"{lower} to {upper}"


def unit_of(metric: Metric) -> Unit:
    """Percentage points for rates, else the metric's own unit, which may be empty."""
    if metric.type == MetricType.METRIC_TYPE_CONVERSION:
        return Unit(factor=100, word="percentage points")
    return Unit(factor=1, word=metric.unit)


def standing(metric: Metric, result: SignificanceResult) -> Standing:
    """On which side the difference lies, if it is significant."""
    if not result.HasField("effect"):
        return Standing.NOT_COMPUTED
    if not result.significant:
        return Standing.UNDECIDED
    if metric.goal == MetricGoal.METRIC_GOAL_UNSPECIFIED:
        return Standing.DIFFERENT
    wants_more = metric.goal == MetricGoal.METRIC_GOAL_INCREASE
    return Standing.BETTER if (result.effect > 0) == wants_more else Standing.WORSE


def shown_interval(result: SignificanceResult) -> ConfidenceInterval | None:
    """The interval that holds for all comparisons at once where there is one; `None`: no interval."""
    if result.HasField("simultaneous_interval"):
        return result.simultaneous_interval
    return result.interval if result.HasField("interval") else None


def summary(unit: Unit, result: SignificanceResult) -> str:
    """A computed difference and the interval around it: `+8.95 (+3.8 to +5.2)`."""
    interval = shown_interval(result)
    estimate = unit.signed(result.effect)
    return estimate if interval is None else f"{estimate} ({unit.span(interval)})"


def axis_title(experiment: Experiment, unit: Unit) -> str:
    """What an axis of differences measures."""
    title = f"difference from {short(name_of(experiment.control))}"
    return f"{title}, {unit.word}" if unit.word else title


def minimum_effect(metric: Metric, control: MetricResult) -> float | None:
    """The smallest difference worth acting on in the metric's unit; `None`: none is set, or not known yet."""
    if not metric.min_effect:
        return None
    if metric.min_effect_scale == EffectScale.EFFECT_SCALE_ABSOLUTE:
        return metric.min_effect
    return metric.min_effect * abs(control.value) if control.HasField("value") and control.value else None


def marks(metric: Metric) -> str:
    """What to know before reading a metric: `primary, more is better`; may be empty."""
    return ", ".join(mark for mark in ("primary" if metric.primary else "", _DIRECTIONS.get(metric.goal, "")) if mark)


def kind_of_interval(results: ExperimentResults) -> str:
    """What the intervals of results with comparisons promise: `95 % confidence sequences, right at every look`."""
    first = results.comparisons[0].result
    kind = "confidence sequences, right at every look" if first.always_valid else "intervals, right at the planned end"
    return f"{100 * first.confidence_level:g} % {kind}"


def is_corrected(results: ExperimentResults) -> bool:
    """Whether p is corrected for several comparisons."""
    return any(found.result.HasField("adjusted_p_value") for found in results.comparisons)


def leading_metric(experiment: Experiment) -> Metric | None:
    """The primary metric, or else the first one."""
    primary = next((metric for metric in experiment.metrics if metric.primary), None)
    return primary or next(iter(experiment.metrics), None)


def name_of(variant: Variant) -> str:
    """What people call a variant."""
    return variant.name or variant.id


def short(name: str) -> str:
    """A name that fits into a plot; what is cut stands whole in the table below."""
    width = 0
    for index, character in enumerate(name):
        # Chinese, Japanese and Korean letters are as wide as two others.
        width += 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
        if width > _WIDEST_NAME:
            return f"{name[:index]}…"
    return name
