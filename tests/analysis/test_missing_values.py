"""Values that are missing more often for one variant."""

from __future__ import annotations

import pytest
from scipy import stats

from klero.analysis import tallied
from klero.analysis.judge import judge
from klero.analysis.missing_values import ALPHA, doubts
from klero.analysis.samples import Sample
from klero.storage.v1.tally_pb2 import IterationTally
from klero.v1.results_pb2 import HealthState, ResultsView, Verdict
from tests.analysis.known import OPTIONS, amounts, definition, metric, tally

SCORE = metric("score", type=2, primary=True)
Counts = tuple[int, int]


def _score(n: int, missing: int, mean: float = 1.0) -> Sample:
    return Sample(amounts(n, mean, 1.0).values, n, n, missing)


def _tally(*epochs: tuple[Counts, Counts]) -> IterationTally:
    arms = {}
    for epoch, (control, variant) in enumerate(epochs, start=1):
        arms[epoch, "c"] = {"score": _score(*control)}
        arms[epoch, "t"] = {"score": _score(*variant)}
    return tally(arms)


def _doubts(counted: IterationTally) -> dict[str, str]:
    data = tallied.read(counted.arms, [SCORE], ResultsView.RESULTS_VIEW_SETTLED)
    return doubts(definition("t", metrics=[SCORE]), data)


@pytest.mark.parametrize("missing", [150, 160, 170, 180, 200])
def test_it_is_the_pooled_z_test(missing: int) -> None:
    """One epoch gives the test that every package has."""
    table = [[880, 120], [1000 - missing, missing]]
    p_value = stats.chi2_contingency(table, correction=False).pvalue
    found = _doubts(_tally(((880, 120), (1000 - missing, missing))))

    assert (p_value <= ALPHA) == bool(found)
    if found:
        assert f"values of `score` are missing for {missing / 10:.1f} % of `t` and for 12.0 % of `c`" in found["score"]


def test_missing_rates_that_drift_are_no_fault() -> None:
    """More missing in an epoch with other weights: pooled counts would differ, no epoch does."""
    assert {} == _doubts(_tally(((8_100, 900), (900, 100)), ((500, 500), (4_500, 4_500))))


def test_nothing_missing_is_nothing_to_doubt() -> None:
    """Most metrics count an entity without outcome as zero."""
    assert {} == _doubts(_tally(((500, 0), (400, 0))))
    assert {} == _doubts(IterationTally())


def test_a_doubted_metric_makes_no_claim() -> None:
    """The effect is shown, and neither p-value nor winner, because the groups are no longer alike."""
    counted = tally({(1, "c"): {"score": _score(900, 100)}, (1, "t"): {"score": _score(600, 400, 2.0)}})
    found = judge(definition("t", metrics=[SCORE]), counted, options=OPTIONS)
    compared = found.comparisons[0].result
    check = next(each for each in found.health if each.name == "missing_values")

    assert pytest.approx(1.0) == compared.effect
    assert not compared.HasField("p_value")
    assert "values of `score` are missing" in compared.explanation
    assert HealthState.HEALTH_STATE_WARNING == check.state
    assert "40.0 % of `t`" in check.message
    assert (Verdict.VERDICT_KEEP_RUNNING, "") == (found.verdict, found.winner)
    assert 400 == found.variant_results["t"].metric_results["score"].missing


def test_values_missing_alike_are_healthy() -> None:
    """The check says that it looked."""
    counted = _tally(((900, 100), (905, 95)))
    found = judge(definition("t", metrics=[SCORE]), counted, options=OPTIONS)

    assert HealthState.HEALTH_STATE_OK == next(each for each in found.health if each.name == "missing_values").state


def test_a_metric_that_nobody_has_is_still_shown() -> None:
    """All missing: no value, and how many are left out."""
    found = judge(definition("t", metrics=[SCORE]), _tally(((0, 50), (0, 40))), options=OPTIONS)
    result = found.variant_results["c"].metric_results["score"]

    assert (0, 50, False, False) == (
        result.sample_size,
        result.missing,
        result.HasField("value"),
        result.HasField("moments"),
    )
