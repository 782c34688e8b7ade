"""From the comparisons on the primary metric to what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from klero.analysis import advice
from klero.analysis.advice import Phase
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
    closed: bool
    """Whether it stopped and every window has closed."""

    enrolled: int
    settled: int
    """Entities whose longest window has closed."""


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The verdict and what it rests on."""

    verdict: Verdict.ValueType
    recommendation: str
    winner: str = ""
    """Variant id, the control's included. Empty: none."""

    shown: Evidence | None = None
    """The comparison that counts. None: no primary metric."""


def blocking(checks: Sequence[HealthCheck]) -> list[HealthCheck]:
    """Pick the checks that block any winner."""
    return [check for check in checks if check.state == HealthState.HEALTH_STATE_FAILED]


def conclude(
    evidence: Sequence[Evidence], *, situation: Situation, failed: Sequence[HealthCheck], rules: Rules
) -> Conclusion:
    """Go through the questions in their order; the first that has an answer gives the verdict.

    Is there something to decide, can the data be believed, is the sample large enough, is now the
    time to read it, and what do the comparisons say?

    Args:
        evidence: One per variant that is compared, in their order. Empty: no primary metric.
        situation: How far the iteration is.
        failed: Health checks that block any winner.
        rules: The plan.

    """
    if not evidence or not situation.started:
        missing = "no metric is primary" if situation.started else "the experiment was never started"
        return Conclusion(Verdict.VERDICT_NOT_APPLICABLE, f"Nothing to decide: {missing}.", shown=_closest(evidence))
    shown = _closest(evidence)
    if failed:
        return Conclusion(Verdict.VERDICT_UNHEALTHY, advice.unhealthy(failed), shown=shown)
    phase = _phase(situation, rules)
    undecided = Verdict.VERDICT_INCONCLUSIVE if phase == Phase.ENDED else Verdict.VERDICT_KEEP_RUNNING
    blocked = [each for each in evidence if each.compared.obstacle]
    if blocked:
        recommendation = advice.too_few(
            blocked[0].compared, phase, enrolled=situation.enrolled, settled=situation.settled
        )
        return Conclusion(undecided, recommendation, shown=shown)
    if not rules.sequential and phase != Phase.ENDED:
        recommendation = advice.too_early(phase, settled=situation.settled, planned=rules.plan.planned_sample_size)
        return Conclusion(undecided, recommendation, shown=shown)
    return _by_evidence(evidence, undecided=undecided, phase=phase, situation=situation, rules=rules)


def _by_evidence(
    evidence: Sequence[Evidence],
    *,
    undecided: Verdict.ValueType,
    phase: Phase,
    situation: Situation,
    rules: Rules,
) -> Conclusion:
    best = max(evidence, key=lambda each: each.gain)
    better = [each for each in evidence if each.better]
    if better:
        leader = max(better, key=lambda each: each.gain)
        rivals = [each for each in evidence if each is not leader and each.may_equal(leader)]
        if not rivals:
            variant_id = leader.compared.variant.id
            recommendation = advice.ship(leader.compared, leader.result)
            return Conclusion(Verdict.VERDICT_SHIP, recommendation, winner=variant_id, shown=leader)
        recommendation = advice.tie(leader.compared, leader.result, [each.compared for each in rivals], phase)
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
        progress=advice.standing(phase, settled=situation.settled, planned=rules.plan.planned_sample_size),
        power=rules.plan.power,
        harmful=harmful,
    )
    return Conclusion(undecided, recommendation, shown=shown)


def _phase(situation: Situation, rules: Rules) -> Phase:
    if situation.closed or 0 < rules.last_entity <= situation.settled:
        return Phase.ENDED
    return Phase.DRAINING if situation.stopped else Phase.RUNNING


def _closest(evidence: Sequence[Evidence]) -> Evidence | None:
    """Find the variant closest to winning: by its gain in standard errors."""

    def standardized(each: Evidence) -> float:
        return each.gain / each.result.standard_error if each.result.standard_error else each.gain

    return max(evidence, key=standardized, default=None)
