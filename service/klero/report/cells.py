"""Numbers in the tables of a page: each as people read it and, beside it, exactly as it was computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from klero.analysis import words
from klero.report import readings
from klero.report.times import time_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from klero.report.readings import Standing
    from klero.v1.experiment_pb2 import Experiment, Metric
    from klero.v1.results_pb2 import Comparison, ConfidenceInterval, ExperimentResults, HistoryPoint

_PERCENT = readings.Unit(factor=100, word="%")


@dataclass(frozen=True, slots=True)
class Number:
    """`exact` as it was computed, `text` as people read it."""

    exact: float
    text: str


@dataclass(frozen=True, slots=True)
class Range:
    """Both ends of an interval; `None` is an end without bound."""

    lower: Number | None
    upper: Number | None


@dataclass(frozen=True, slots=True)
class Row:
    """One variant of one metric. `None`: not computed; the control is compared with nobody."""

    variant: str
    entities: Number
    value: Number | None
    difference: Number | None
    interval: Range | None
    lift: Number | None
    lift_interval: Range | None
    p_value: Number | None
    standing: Standing | None
    explanation: str


@dataclass(frozen=True, slots=True)
class Look:
    """One variant at one look."""

    looked_at: str
    is_control: bool
    variant: str
    entities: Number
    enrolled: Number
    difference: Number | None
    interval: Range | None


def metric_rows(experiment: Experiment, results: ExperimentResults, metric: Metric) -> Iterator[Row]:
    """One row a variant, the control first."""
    compared = {found.variant_id: found for found in results.comparisons if found.metric == metric.name}
    for variant in (experiment.control, *experiment.variants):
        found = results.variant_results[variant.id].metric_results[metric.name]
        comparison = compared.get(variant.id)
        yield Row(
            variant=readings.name_of(variant),
            entities=count(found.sample_size),
            value=Number(found.value, words.value_of(metric, found.value)) if found.HasField("value") else None,
            difference=_difference(metric, comparison),
            interval=_interval(metric, comparison),
            lift=_lift(comparison),
            lift_interval=_lift_interval(comparison),
            p_value=_p_value(comparison),
            standing=None if comparison is None else readings.standing(metric, comparison.result),
            explanation="" if comparison is None else comparison.result.explanation,
        )


def looks(experiment: Experiment, metric: Metric | None, points: Sequence[HistoryPoint]) -> Iterator[Look]:
    """One row a look and variant, oldest look first, the control before the others."""
    for point in points:
        compared = {found.variant_id: found for found in point.comparisons}
        for variant in (experiment.control, *experiment.variants):
            comparison = compared.get(variant.id)
            yield Look(
                looked_at=time_text(point.looked_at),
                is_control=variant.id == experiment.control.id,
                variant=readings.name_of(variant),
                entities=count(point.sample_sizes[variant.id]),
                enrolled=count(point.enrolled[variant.id]),
                difference=None if metric is None else _difference(metric, comparison),
                interval=None if metric is None else _interval(metric, comparison),
            )


def count(entities: int) -> Number:
    """A number of entities: `21,307`."""
    return Number(entities, f"{entities:,}")


def percentage(value: float) -> Number:
    """A percentage: `33.34 %`."""
    return Number(value, f"{value:.4g} %")


def _difference(metric: Metric, comparison: Comparison | None) -> Number | None:
    if comparison is None or not comparison.result.HasField("effect"):
        return None
    effect = comparison.result.effect
    return Number(effect, readings.unit_of(metric).signed(effect))


def _interval(metric: Metric, comparison: Comparison | None) -> Range | None:
    interval = None if comparison is None else readings.shown_interval(comparison.result)
    return None if interval is None else _range(interval, readings.unit_of(metric))


def _lift(comparison: Comparison | None) -> Number | None:
    if comparison is None or not comparison.result.HasField("lift"):
        return None
    return Number(comparison.result.lift, f"{_PERCENT.signed(comparison.result.lift)} %")


def _lift_interval(comparison: Comparison | None) -> Range | None:
    if comparison is None or not comparison.result.HasField("lift_interval"):
        return None
    return _range(comparison.result.lift_interval, _PERCENT)


def _range(interval: ConfidenceInterval, unit: readings.Unit) -> Range:
    return Range(
        lower=Number(interval.lower, unit.signed(interval.lower)) if interval.HasField("lower") else None,
        upper=Number(interval.upper, unit.signed(interval.upper)) if interval.HasField("upper") else None,
    )


def _p_value(comparison: Comparison | None) -> Number | None:
    """After correction where there is one."""
    if comparison is None:
        return None
    result = comparison.result
    if result.HasField("adjusted_p_value"):
        value = result.adjusted_p_value
    elif result.HasField("p_value"):
        value = result.p_value
    else:
        return None
    return Number(value, words.probability(value).removeprefix("p = ").removeprefix("p "))
