"""From the comparisons on the primary metric to what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from klero.analysis import advice
from klero.v1.experiment_pb2 import MetricGoal
from klero.v1.results_pb2 import HealthState, PracticalEffect, SignificanceResult, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from klero.analysis.compare import Compared
    from klero.analysis.rules import Rules
    from klero.v1.results_pb2 import HealthCheck


@dataclass(frozen=True, slots=True)
class Evidence:
    """A variant against the control on the primary metric."""

    compared: Compared
    result: SignificanceResult

    @property
    def gain(self) -> float:
        """Effect in the direction of the goal, in the metric's unit."""
        decrease = self.compared.metric.goal == MetricGoal.METRIC_GOAL_DECREASE
        return -self.result.effect if decrease else self.result.effect

    @property
    def negligible(self) -> bool:
        """Whether the effect is certainly too small to act on."""
        return self.result.practical == PracticalEffect.PRACTICAL_EFFECT_BELOW_MINIMUM

    @property
    def better(self) -> bool:
        """Whether the variant beats the control by something that may be worth it."""
        return self.result.significant and self.gain > 0 and not self.negligible

    @property
    def worse(self) -> bool:
        """Whether it does harm that may matter."""
        return self.result.significant and self.gain < 0 and not self.negligible

    def may_equal(self, other: Evidence) -> bool:
        """Whether the effect of `other` lies inside this one's interval for all comparisons at once.

        Without an interval nothing is excluded.
        """
        if not self.result.HasField("interval"):
            return True
        wide = self.result.HasField("simultaneous_interval")
        interval = self.result.simultaneous_interval if wide else self.result.interval
        return interval.lower <= other.result.effect <= interval.upper


@dataclass(frozen=True, slots=True)
class Situation:
    """How far the iteration is."""

    started: bool
    stopped: bool
    enrolled: int
    failed: Sequence[HealthCheck]
    """Health checks that block any winner."""


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The verdict and what it rests on."""

    verdict: Verdict.ValueType
    recommendation: str
    winner: str = ""
    """Variant id, the control's included. Empty: none."""

    shown: Evidence | None = None
    """The comparison that counts. None: no primary metric."""


def failed(checks: Sequence[HealthCheck]) -> list[HealthCheck]:
    """Pick the checks that block any winner."""
    return [check for check in checks if check.state == HealthState.HEALTH_STATE_FAILED]


def conclude(evidence: Sequence[Evidence], *, situation: Situation, rules: Rules) -> Conclusion:
    """Go through the questions in their order; the first that has an answer gives the verdict.

    Is there something to decide, can the data be believed, is the sample large enough, is now the
    time to read it, and what do the comparisons say?

    Args:
        evidence: One per variant that is compared, in their order. Empty: no primary metric.
        situation: How far the iteration is.
        rules: The plan.

    """
    if not evidence or not situation.started:
        missing = "no metric is primary" if situation.started else "the experiment was never started"
        return Conclusion(Verdict.VERDICT_NOT_APPLICABLE, f"Nothing to decide: {missing}.", shown=_closest(evidence))
    shown = _closest(evidence)
    if situation.failed:
        return Conclusion(Verdict.VERDICT_UNHEALTHY, advice.unhealthy(situation.failed), shown=shown)
    undecided = Verdict.VERDICT_INCONCLUSIVE if _ended(situation, rules) else Verdict.VERDICT_KEEP_RUNNING
    blocked = [each for each in evidence if each.compared.obstacle]
    if blocked:
        recommendation = advice.too_few(blocked[0].compared, situation.enrolled, ended=_ended(situation, rules))
        return Conclusion(undecided, recommendation, shown=shown)
    if not rules.sequential and not _ended(situation, rules):
        recommendation = advice.too_early(situation.enrolled, rules.plan.planned_sample_size)
        return Conclusion(undecided, recommendation, shown=shown)
    return _by_evidence(evidence, undecided=undecided, situation=situation, rules=rules)


def _by_evidence(
    evidence: Sequence[Evidence], *, undecided: Verdict.ValueType, situation: Situation, rules: Rules
) -> Conclusion:
    best = max(evidence, key=lambda each: each.gain)
    ended = undecided == Verdict.VERDICT_INCONCLUSIVE
    better = [each for each in evidence if each.better]
    if better:
        leader = max(better, key=lambda each: each.gain)
        rivals = [each for each in evidence if each is not leader and each.may_equal(leader)]
        if not rivals:
            variant_id = leader.compared.variant.id
            recommendation = advice.ship(leader.compared, leader.result)
            return Conclusion(Verdict.VERDICT_SHIP, recommendation, winner=variant_id, shown=leader)
        recommendation = advice.tie(leader.compared, leader.result, [each.compared for each in rivals], ended=ended)
        return Conclusion(undecided, recommendation, shown=leader)
    if all(each.worse for each in evidence):
        recommendation = advice.roll_back(best.compared, best.result, variants=len(evidence))
        control_id = best.compared.baseline.id
        return Conclusion(Verdict.VERDICT_ROLLBACK, recommendation, winner=control_id, shown=best)
    if all(each.negligible for each in evidence):
        recommendation = advice.no_difference(best.compared, best.result)
        return Conclusion(Verdict.VERDICT_NO_PRACTICAL_DIFFERENCE, recommendation, shown=best)
    shown = _closest(evidence) or best
    harmful = [each.compared for each in evidence if each.worse]
    recommendation = advice.undecided(
        shown.compared,
        shown.result,
        progress=advice.standing(situation.enrolled, rules.plan.planned_sample_size, ended=ended),
        power=rules.plan.power,
        harmful=harmful,
    )
    return Conclusion(undecided, recommendation, shown=shown)


def _ended(situation: Situation, rules: Rules) -> bool:
    """Whether no more entities can decide."""
    return situation.stopped or 0 < rules.last_entity <= situation.enrolled


def _closest(evidence: Sequence[Evidence]) -> Evidence | None:
    """Find the variant closest to winning: by its gain in standard errors."""

    def standardized(each: Evidence) -> float:
        return each.gain / each.result.standard_error if each.result.standard_error else each.gain

    return max(evidence, key=standardized, default=None)
