"""The recommendation: one or two sentences with the numbers they rest on."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from klero.analysis import words
from klero.analysis.bounds import Bounds
from klero.analysis.compare import is_rate
from klero.v1.experiment_pb2 import EffectScale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from klero.analysis.compare import Compared
    from klero.v1.results_pb2 import ConfidenceInterval, HealthCheck, SignificanceResult


class Phase(Enum):
    """Whether more can still decide; the value is how an undecided recommendation begins."""

    RUNNING = "Keep running"
    DRAINING = "Wait until all windows have closed"
    ENDED = "Inconclusive"


def unhealthy(failed: Sequence[HealthCheck]) -> str:
    """Say why nothing can be concluded."""
    return f"Draw no conclusion. {failed[0].message}"


def too_few(compared: Compared, phase: Phase, *, enrolled: int, settled: int) -> str:
    """Say that the sample is below the minimum, or that the metric cannot be believed."""
    if phase == Phase.ENDED:
        variant = words.name(compared.variant)
        return f"Inconclusive: it ended before anything could be said about {variant}; {compared.obstacle}."
    if enrolled == 0:
        return f"{phase.value}: no entities yet."
    if settled == 0 and not compared.strata:
        return f"{phase.value}: {enrolled:,} entities, and the window of none has closed yet."
    pair = f"{words.name(compared.variant)} and {words.name(compared.baseline)}"
    return f"{phase.value}: nothing can be said about {pair} yet; {compared.obstacle}."


def too_early(phase: Phase, *, settled: int, planned: int) -> str:
    """Say that a result that may be read once is not due."""
    if planned:
        return f"{phase.value}: {settled:,} of {planned:,} planned entities; a fixed-horizon result is read at the end."
    if phase == Phase.DRAINING:
        return f"{phase.value}: a fixed-horizon result is read once, when the last one has."
    return f"{phase.value}: a fixed-horizon result is read once, and without a planned sample size that is after Stop."


def ship(compared: Compared, result: SignificanceResult) -> str:
    """Name the winner and by how much it wins."""
    return f"Ship {words.name(compared.variant)}: {_numbers(compared, result)}."


def tie(compared: Compared, result: SignificanceResult, rivals: Sequence[Compared], phase: Phase) -> str:
    """Say that a variant is better than the control, but not certainly the best."""
    variant, baseline = words.name(compared.variant), words.name(compared.baseline)
    others = words.listed([words.name(rival.variant) for rival in rivals])
    return (
        f"{phase.value}: {variant} beats {baseline} but cannot be told apart from {others}."
        f" With {variant}, {_numbers(compared, result)}."
    )


def roll_back(compared: Compared, result: SignificanceResult, *, variants: int) -> str:
    """Say that every variant is worse."""
    if variants == 1:
        return f"Roll {words.name(compared.variant)} back: {_numbers(compared, result)}."
    variant, baseline = words.name(compared.variant), words.name(compared.baseline)
    return f"Keep {baseline}: every variant is worse. With {variant}, {_numbers(compared, result)}."


def no_difference(compared: Compared, result: SignificanceResult) -> str:
    """Say that every difference is too small to matter."""
    metric = compared.metric
    absolute = metric.min_effect_scale == EffectScale.EFFECT_SCALE_ABSOLUTE
    limit = words.difference_of(metric, metric.min_effect) if absolute else words.percent(metric.min_effect)
    variant = words.name(compared.variant)
    return f"No practical difference: every effect is below {limit}. With {variant}, {_numbers(compared, result)}."


def standing(phase: Phase, *, settled: int, planned: int) -> str:
    """Say how far an undecided iteration is."""
    if phase == Phase.ENDED:
        return f"{phase.value} after {settled:,} entities"
    progress = f"{settled:,} of {planned:,} planned entities" if planned else f"{settled:,} entities so far"
    return f"{phase.value}, {progress}"


def of_settled(recommendation: str) -> str:
    """Say that a recommendation does not rest on the values beside it, which are still filling."""
    return f"{recommendation} This rests on settled entities; the live values are still filling and decide nothing."


def undecided(
    compared: Compared, result: SignificanceResult, *, progress: str, power: float, harmful: Sequence[Compared]
) -> str:
    """Say that the variant is neither better nor worse nor the same for certain."""
    sentence = f"{progress}: with {words.name(compared.variant)}, {_numbers(compared, result)}."
    if harmful:
        verb = "is" if len(harmful) == 1 else "are"
        names = words.listed([words.name(each.variant) for each in harmful])
        return f"{sentence} {names} {verb} worse than {words.name(compared.baseline)}."
    if result.HasField("detectable_effect"):
        detectable = words.difference_of(compared.metric, result.detectable_effect)
        chance = words.percent(power)
        return f"{sentence} This sample finds a true difference of {detectable} with a probability of {chance}."
    return sentence


def _numbers(compared: Compared, result: SignificanceResult) -> str:
    """Both values and the lift, or the difference if the lift has no bounds."""
    test, metric = compared.test, compared.metric
    if test is None:
        return f"{metric.name} has no values"
    values = (
        f"{metric.name} is {words.value_of(metric, test.variant_value)} against"
        f" {words.value_of(metric, test.baseline_value)} for {words.name(compared.baseline)}"
    )
    if result.HasField("lift") and result.HasField("lift_interval"):
        noun = "lift" if result.lift > 0 else "change"
        span = words.span(_bounds(result.lift_interval), scale=100, unit="%")
        return f"{values}, a {noun} of {words.percent(result.lift)} ({_interval_name(result)} {span})"
    if not result.HasField("interval"):
        return values
    unit, scale = ("percentage points", 100.0) if is_rate(metric) else (metric.unit, 1.0)
    span = words.span(_bounds(result.interval), scale=scale, unit=unit)
    difference = words.difference_of(metric, result.effect)
    return f"{values}, a difference of {difference} ({_interval_name(result)} {span})"


def _interval_name(result: SignificanceResult) -> str:
    kind = "confidence sequence" if result.always_valid else "confidence interval"
    return f"{100 * result.confidence_level:g} % {kind}"


def _bounds(interval: ConfidenceInterval) -> Bounds:
    return Bounds(
        interval.lower if interval.HasField("lower") else None,
        interval.upper if interval.HasField("upper") else None,
    )
