"""Verdicts, each from counts that lead to it."""

from __future__ import annotations

import pytest

from klero.analysis.judge import judge
from klero.v1.experiment_pb2 import Correction, EffectScale, Experiment, MetricGoal
from klero.v1.results_pb2 import ExperimentResults, Verdict
from tests.analysis.known import FIXED, OPTIONS, amounts, definition, metric, tally, visits

KEEP_RUNNING, SHIP = Verdict.VERDICT_KEEP_RUNNING, Verdict.VERDICT_SHIP
ROLLBACK, SAME = Verdict.VERDICT_ROLLBACK, Verdict.VERDICT_NO_PRACTICAL_DIFFERENCE
INCONCLUSIVE = Verdict.VERDICT_INCONCLUSIVE
N = 10_000
FEWER = MetricGoal.METRIC_GOAL_DECREASE


def _two(*, goal: MetricGoal.ValueType = MetricGoal.METRIC_GOAL_INCREASE, min_effect: float = 0.0) -> Experiment:
    return definition("t", metrics=[metric(primary=True, goal=goal, min_effect=min_effect)])


def _three(**weights: float) -> Experiment:
    experiment = definition("a", "b")
    experiment.allocation.weights.update(weights)
    return experiment


CASES = {
    "better": (_two(), {"c": (1000, N), "t": (1300, N)}, SHIP, "t", "Ship `t`: visit is 13.0 % against 10.0 %"),
    "worse": (_two(), {"c": (1300, N), "t": (1000, N)}, ROLLBACK, "c", "Roll `t` back"),
    "less is better": (_two(goal=FEWER), {"c": (1300, N), "t": (1000, N)}, SHIP, "t", "a change of -23.1 %"),
    "more is worse": (_two(goal=FEWER), {"c": (1000, N), "t": (1300, N)}, ROLLBACK, "c", "Roll `t` back"),
    "undecided": (_two(), {"c": (1000, N), "t": (1020, N)}, KEEP_RUNNING, "", "Keep running, 20,000 entities"),
    "too few": (_two(), {"c": (30, 99), "t": (80, 99)}, KEEP_RUNNING, "", "99 of the 100 entities"),
    "none yet": (_two(), {}, KEEP_RUNNING, "", "Keep running: no entities yet."),
    "same": (_two(min_effect=0.2), {"c": (5000, N), "t": (5010, N)}, SAME, "", "every effect is below 20.0 %"),
    "not worth it": (_two(min_effect=0.2), {"c": (5000, N), "t": (5300, N)}, SAME, "", "No practical difference"),
    "never converts": (_two(), {"c": (100, 1000), "t": (0, 1000)}, ROLLBACK, "c", "visit is 0 % against 10.0 %"),
    "best of two": (_three(), {"c": (1000, N), "a": (1300, N), "b": (1700, N)}, SHIP, "b", "Ship `b`"),
    "two alike": (
        _three(), {"c": (1000, N), "a": (1300, N), "b": (1320, N)}, KEEP_RUNNING, "", "`b` beats `c` but cannot be told"
    ),
    "better and worse": (_three(), {"c": (1300, N), "a": (1000, N), "b": (1600, N)}, SHIP, "b", "Ship `b`"),
    "worse and undecided": (
        _three(), {"c": (1300, N), "a": (1000, N), "b": (1310, N)}, KEEP_RUNNING, "", "`a` is worse than `c`."
    ),
    "all worse": (
        _three(), {"c": (1600, N), "a": (1000, N), "b": (1200, N)}, ROLLBACK, "c", "Keep `c`: every variant is worse."
    ),
    "one has too few": (
        _three(c=49.9, a=49.9, b=0.2), {"c": (1000, N), "a": (1700, N), "b": (5, 50)}, KEEP_RUNNING, "", "`b`"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_verdicts(name: str) -> None:
    """Programs act on the verdict and people on the sentence: both must say the same."""
    experiment, counts, verdict, winner, sentence = CASES[name]
    found = judge(experiment, visits(counts), options=OPTIONS)

    assert (verdict, winner) == (found.verdict, found.winner)
    assert sentence in found.recommendation
    assert found.recommendation.endswith(".")


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case[2] == KEEP_RUNNING])
def test_what_is_undecided_at_the_end_is_inconclusive(name: str) -> None:
    """After Stop nothing can decide any more."""
    experiment, counts, *_ = CASES[name]
    found = judge(experiment, visits(counts, stopped=True), options=OPTIONS)

    assert (INCONCLUSIVE, "") == (found.verdict, found.winner)
    assert found.recommendation.startswith("Inconclusive")


@pytest.mark.parametrize(
    ("planned", "stopped", "verdict"),
    [
        (40_000, False, KEEP_RUNNING),
        (20_000, False, SHIP),
        (0, False, KEEP_RUNNING),
        (40_000, True, SHIP),
        (0, True, SHIP),
    ],
)
def test_a_fixed_horizon_is_read_at_its_end(planned: int, *, stopped: bool, verdict: Verdict.ValueType) -> None:
    """Reading it earlier is what makes a third of all experiments without effect look like wins."""
    experiment = definition("t", method=FIXED, planned=planned)
    counted = visits({"c": (1000, 10_000), "t": (1300, 10_000)}, stopped=stopped)
    found = judge(experiment, counted, options=OPTIONS)

    assert verdict == found.verdict
    assert found.analysis.significant
    assert not found.analysis.always_valid


def test_an_undecided_fixed_horizon_ends_at_the_plan() -> None:
    """More entities than planned must not be waited for: that would be peeking."""
    experiment = definition("t", method=FIXED, planned=20_000)

    assert (
        INCONCLUSIVE == judge(experiment, visits({"c": (1000, 10_000), "t": (1010, 10_000)}), options=OPTIONS).verdict
    )


def test_unhealthy_data_have_no_winner() -> None:
    """However large the effect, lost exposures may have made it."""
    found = judge(definition("t"), visits({"c": (1000, 12_000), "t": (1300, 9_000)}), options=OPTIONS)

    assert (Verdict.VERDICT_UNHEALTHY, "") == (found.verdict, found.winner)
    assert "12,000 `c`" in found.recommendation


def test_nothing_to_decide() -> None:
    """A definition without primary metric, or before its first Start, has results too."""
    unstarted = definition("t")
    unstarted.iteration = 0
    unjudged = definition("t", metrics=[metric()])
    counted = visits({"c": (1000, 10_000), "t": (1300, 10_000)})

    for experiment in (unstarted, unjudged):
        assert Verdict.VERDICT_NOT_APPLICABLE == judge(experiment, counted, options=OPTIONS).verdict
    assert not judge(unjudged, counted, options=OPTIONS).HasField("analysis")


def test_a_variant_that_gets_nobody_is_not_waited_for() -> None:
    """Weight 0 retires a variant, also one that never had the minimum sample."""
    experiment = definition("t", "old")
    experiment.allocation.weights["old"] = 0
    experiment.allocation.weights["c"] = experiment.allocation.weights["t"] = 50

    found = judge(experiment, visits({"c": (1000, 10_000), "t": (1300, 10_000), "old": (1, 20)}), options=OPTIONS)

    assert (SHIP, "t") == (found.verdict, found.winner)


def test_without_correction_variants_are_told_apart_by_their_own_intervals() -> None:
    """Whoever switches the correction off still gets no winner among equals."""
    experiment = definition("a", "b")
    experiment.analysis_plan.correction = Correction.CORRECTION_NONE
    found = judge(experiment, visits({"c": (1000, 10_000), "a": (1300, 10_000), "b": (1310, 10_000)}), options=OPTIONS)

    assert (KEEP_RUNNING, "") == (found.verdict, found.winner)
    assert not any(each.result.HasField("adjusted_p_value") for each in found.comparisons)
    assert not any(each.result.HasField("simultaneous_interval") for each in found.comparisons)


def _spend(control: float, variant: float, **fields: object) -> ExperimentResults:
    spend = metric("spend", type=2, primary=True, unit="USD", **fields)
    samples = {"c": amounts(10_000, control, 5.0), "t": amounts(10_000, variant, 5.0)}
    counted = tally({(1, each): {"spend": sample} for each, sample in samples.items()})
    return judge(definition("t", metrics=[spend]), counted, options=OPTIONS)


def test_amounts_have_their_unit() -> None:
    """A sentence without unit is not understood a week later."""
    shipped, same = (
        _spend(10.0, 11.0),
        _spend(10.0, 10.01, min_effect=1.0, min_effect_scale=EffectScale.EFFECT_SCALE_ABSOLUTE),
    )

    assert (
        "spend is 11.0 USD against 10.0 USD for `c`, a lift of 10.0 % (95 % confidence sequence"
        in shipped.recommendation
    )
    assert SAME == same.verdict
    assert "every effect is below 1.00 USD" in same.recommendation


def test_a_lift_on_nothing_becomes_a_difference() -> None:
    """A baseline around 0 has no lift, and the sentence falls back on the difference."""
    found = _spend(0.0, 1.0)

    assert SHIP == found.verdict
    assert "a difference of 1.00 USD (95 % confidence sequence" in found.recommendation
    assert not found.analysis.HasField("lift")
