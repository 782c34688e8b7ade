"""What definitions would do to a population, decided by the core as if they ran."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from klero import engine
from klero.client.evaluator import Evaluator
from klero.lifecycle import RUNNING
from klero.v1.decision_pb2 import DecisionReason
from klero.v1.experiment_pb2 import Experiment, Snapshot
from klero.words import enum_word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from klero.client.evaluator import Choices

# Reasons of those who take part.
_ENROLLED = frozenset({DecisionReason.DECISION_REASON_SPLIT})


@dataclass(frozen=True, slots=True)
class Arm:
    """One variant."""

    variant_id: str
    weight: float
    """Percent of the enrolled that are to get it."""
    entities: int


@dataclass(frozen=True, slots=True)
class Simulated:
    """What one experiment does to the population."""

    experiment_id: str
    population: int
    arms: tuple[Arm, ...]
    """The control first; enrolled entities alone."""
    left_out: dict[str, int]
    """Entities that are not enrolled, by reason."""
    p_value: float | None
    """Of the split, by chi-squared. None: fewer than two variants get anybody."""

    @property
    def enrolled(self) -> int:
        """Entities in all arms."""
        return sum(arm.entities for arm in self.arms)


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two experiments on the same entities."""

    experiment_ids: tuple[str, str]
    both: int
    """Entities that are enrolled in both."""
    expected: float
    """How many would be if each chose without knowing of the other."""
    association: float
    """Between the variants of those who are in both: Cramer's V, 0 to 1. 0 if a variant decides nothing."""


def as_running(definition: Experiment) -> Experiment:
    """A definition as it is once it runs, with its ramp over.

    Raises:
        InvalidFieldError: It breaks rules.
    """
    running, _ = engine.admit(definition)
    running.allocation.CopyFrom(engine.allocation(running))
    running.status, running.iteration = RUNNING, 1
    running.config.ClearField("ramp_up_period")
    return running


def simulate(
    experiments: Sequence[Experiment], entity_ids: list[str], *, now_ms: int
) -> tuple[list[Simulated], list[Overlap]]:
    """Decide every entity for every experiment; each as `as_running` gives it, or as it runs.

    Raises:
        KleroError: Together they cannot be served.
    """
    evaluator = Evaluator(Snapshot(experiments=experiments))
    chosen = [
        evaluator.choose(each.id, entity_ids, now_ms=now_ms, namespace=each.namespace or "default")
        for each in experiments
    ]
    simulated = [_simulated(each, choices) for each, choices in zip(experiments, chosen, strict=True)]
    overlaps = [
        _overlap(pair, (chosen[first], chosen[second]))
        for (first, second) in itertools.combinations(range(len(experiments)), 2)
        if len({(experiments[at].namespace, experiments[at].entity_type) for at in (first, second)}) == 1
        for pair in [(experiments[first].id, experiments[second].id)]
    ]
    return simulated, overlaps


def _simulated(experiment: Experiment, choices: Choices) -> Simulated:
    counts: Counter[int] = Counter()
    left_out: Counter[int] = Counter()
    for (position, reason), count in Counter(zip(choices.variants, choices.reasons, strict=True)).items():
        if reason in _ENROLLED:
            counts[position] += count
        else:
            left_out[reason] += count
    weights = [experiment.allocation.weights[variant_id] for variant_id in choices.variant_ids]
    arms = tuple(
        Arm(variant_id, weight, counts[position])
        for position, (variant_id, weight) in enumerate(zip(choices.variant_ids, weights, strict=True))
    )
    words = DecisionReason.DESCRIPTOR
    return Simulated(
        experiment_id=experiment.id,
        population=len(choices.variants),
        arms=arms,
        left_out={enum_word(words, reason): count for reason, count in sorted(left_out.items())},
        p_value=_p_value(arms),
    )


def _p_value(arms: Sequence[Arm]) -> float | None:
    from klero.analysis.sample_ratio import single_look_p_value

    if sum(arm.weight > 0 for arm in arms) < 2 or not any(arm.entities for arm in arms):  # noqa: PLR2004  # a split is into two
        return None
    return single_look_p_value([arm.entities for arm in arms], [arm.weight for arm in arms])


def _overlap(ids: tuple[str, str], chosen: tuple[Choices, Choices]) -> Overlap:
    first, second = chosen
    together = Counter(zip(first.variants, first.reasons, second.variants, second.reasons, strict=True))
    pairs: Counter[tuple[int, int]] = Counter()
    enrolled = [0, 0]
    for (one, why_one, other, why_other), count in together.items():
        inside = (why_one in _ENROLLED, why_other in _ENROLLED)
        enrolled[0] += count * inside[0]
        enrolled[1] += count * inside[1]
        if all(inside):
            pairs[one, other] += count
    population = len(first.variants)
    return Overlap(
        experiment_ids=ids,
        both=sum(pairs.values()),
        expected=enrolled[0] * enrolled[1] / population if population else 0.0,
        association=_association(pairs),
    )


def _association(pairs: Counter[tuple[int, int]]) -> float:
    """Cramer's V of a table of counts. Source: Cramer (1946)."""
    rows: Counter[int] = Counter()
    columns: Counter[int] = Counter()
    for (row, column), count in pairs.items():
        rows[row] += count
        columns[column] += count
    smaller, total = min(len(rows), len(columns)), sum(pairs.values())
    if smaller < 2:  # noqa: PLR2004  # one variant decides nothing
        return 0.0
    statistic = math.fsum(
        (pairs[row, column] - rows[row] * columns[column] / total) ** 2 / (rows[row] * columns[column] / total)
        for row in rows
        for column in columns
    )
    return math.sqrt(statistic / (total * (smaller - 1)))
