"""Two rates: known answers, brute force, and agreement of p-value and both intervals."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from klero.analysis.rates import Count, ScoreTest, wilson
from tests.analysis.known import GOLDEN, values

COUNTS = st.integers(1, 300).flatmap(lambda n: st.builds(Count, st.integers(0, n), st.just(n)))
ALPHAS = st.sampled_from([0.2, 0.05, 0.01, 0.0005])
SAMPLES = {
    "prop_10k": ScoreTest(Count(500, 10_000), Count(560, 10_000)),
    "prop_small": ScoreTest(Count(14, 28), Count(16, 30)),
}


@pytest.mark.parametrize("case", SAMPLES)
def test_known_answers(case: str) -> None:
    """Pooled z and Koopman's interval of statsmodels, Wilson's of one rate."""
    expected, test = values(case, "statsmodels"), SAMPLES[case]
    lift, own = test.lift(0.05).bounds, wilson(test.variant, 0.05)

    assert lift is not None
    assert lift.lower is not None
    assert lift.upper is not None
    assert pytest.approx(expected["pooled_z"], rel=1e-12) == test.statistic
    assert pytest.approx(expected["pooled_z_p"], rel=1e-12) == test.p_value
    assert pytest.approx(expected["ci_ratio_score"], rel=1e-7) == [lift.lower + 1, lift.upper + 1]
    assert pytest.approx(expected["ci_B_wilson"], rel=1e-12) == [own.lower, own.upper]


def test_published_difference() -> None:
    """56 of 70 against 48 of 80, as printed in the paper that compares eleven intervals."""
    published = next(entry for entry in GOLDEN["published"] if entry["id"] == "newcombe_1998_a")
    bounds = ScoreTest(Count(48, 80), Count(56, 70)).difference(0.05)

    assert bounds.lower is not None
    assert bounds.upper is not None
    assert published["values"]["ci_diff_mee"] == [round(bounds.lower, 4), round(bounds.upper, 4)]


@given(COUNTS, COUNTS)
def test_p_value_is_that_of_pearson(baseline: Count, variant: Count) -> None:
    """People check results with the chi-squared test they know."""
    table = [[c.converted, c.n - c.converted] for c in (baseline, variant)]
    if any(sum(column) == 0 for column in zip(*table, strict=True)):
        expected = 1.0
    else:
        expected = stats.chi2_contingency(table, correction=False).pvalue

    assert pytest.approx(expected, rel=1e-9) == ScoreTest(baseline, variant).p_value


def _log_likelihood(count: Count, rate: float) -> float:
    converted = count.converted * math.log(rate) if count.converted else 0.0
    return converted + ((count.n - count.converted) * math.log1p(-rate) if count.converted < count.n else 0.0)


def _distance(test: ScoreTest, scale: float, shift: float) -> float:
    """Score statistic of variant = scale * baseline + shift, its rates found by direct maximisation."""
    low, high = max(0.0, -shift / scale), min(1.0, (1 - shift) / scale)

    def negative(p0: float) -> float:
        return -_log_likelihood(test.baseline, p0) - _log_likelihood(test.variant, scale * p0 + shift)

    tiny = 1e-12 * (high - low)
    p0 = optimize.minimize_scalar(
        negative, bounds=(low + tiny, high - tiny), method="bounded", options={"xatol": 1e-12}
    ).x
    p1 = scale * p0 + shift
    variance = p1 * (1 - p1) / test.variant.n + scale * scale * p0 * (1 - p0) / test.baseline.n
    return float((test.variant.rate - scale * test.baseline.rate - shift) / math.sqrt(variance))


@pytest.mark.parametrize(
    ("baseline", "variant"),
    [
        ((14, 28), (16, 30)),
        ((48, 80), (56, 70)),
        ((3, 500), (19, 450)),
        ((441, 9000), (68, 1000)),
        ((90, 95), (40, 60)),
    ],
)
def test_bounds_by_brute_force(baseline: tuple[int, int], variant: tuple[int, int]) -> None:
    """The closed forms of the most likely rates are right at every bound, of difference and of ratio."""
    test = ScoreTest(Count(*baseline), Count(*variant))
    difference, lift = test.difference(0.05), test.lift(0.05).bounds

    assert lift is not None
    assert difference.lower is not None
    assert difference.upper is not None
    assert lift.lower is not None
    assert lift.upper is not None
    multiplier = stats.norm.isf(0.025)
    assert pytest.approx(multiplier, rel=1e-6) == _distance(test, 1.0, difference.lower)
    assert pytest.approx(-multiplier, rel=1e-6) == _distance(test, 1.0, difference.upper)
    assert pytest.approx(multiplier, rel=1e-6) == _distance(test, lift.lower + 1, 0.0)
    assert pytest.approx(-multiplier, rel=1e-6) == _distance(test, lift.upper + 1, 0.0)


@given(COUNTS, COUNTS, ALPHAS)
def test_p_value_and_intervals_agree(baseline: Count, variant: Count, alpha: float) -> None:
    """Nobody may read "significant" beside an interval that holds 0; small counts are the hard case."""
    test = ScoreTest(baseline, variant)
    lift = test.lift(alpha).bounds

    assert lift is not None
    assert test.difference(alpha).excludes_zero == (test.p_value <= alpha)
    assert lift.excludes_zero == (test.p_value <= alpha)


@given(COUNTS, COUNTS, st.sampled_from([-1, 0, 1]))
def test_they_agree_at_the_border(baseline: Count, variant: Count, ulps: int) -> None:
    """Also where the level is the p-value itself, up to the last digit."""
    test = ScoreTest(baseline, variant)
    if not 1e-12 < test.p_value < 0.9:
        return
    alpha = test.p_value + ulps * math.ulp(test.p_value)
    difference, lift = test.difference(alpha), test.lift(alpha).bounds

    assert lift is not None
    assert difference.excludes_zero == (test.p_value <= alpha)
    assert lift.excludes_zero == (test.p_value <= alpha)
    nearest = difference.lower if test.effect > 0 else difference.upper
    assert pytest.approx(0.0, abs=1e-9) == nearest


@given(COUNTS, COUNTS)
def test_intervals_hold_the_estimate_and_stay_possible(baseline: Count, variant: Count) -> None:
    """A difference of rates lies between -1 and 1, and a ratio is never negative."""
    test = ScoreTest(baseline, variant)
    difference, lift = test.difference(0.05), test.lift(0.05)

    assert lift.bounds is not None
    assert difference.lower is not None
    assert difference.upper is not None
    assert lift.bounds.lower is not None
    assert -1 <= difference.lower <= test.effect <= difference.upper <= 1
    assert difference.lower < difference.upper
    assert lift.bounds.lower >= -1
    assert (lift.bounds.upper is None) == (baseline.converted == 0) == (lift.value is None)
    if lift.value is not None and lift.bounds.upper is not None:
        assert lift.bounds.lower - 1e-12 <= lift.value <= lift.bounds.upper + 1e-12


@given(COUNTS, COUNTS)
def test_swapping_turns_the_sign_and_nothing_else(first: Count, second: Count) -> None:
    """Which variant is the control is a choice of words."""
    test, swapped = ScoreTest(first, second), ScoreTest(second, first)
    bounds, mirrored = test.difference(0.05), swapped.difference(0.05)

    assert mirrored.upper is not None
    assert mirrored.lower is not None
    assert test.p_value == swapped.p_value
    assert (bounds.lower, bounds.upper) == (-mirrored.upper, -mirrored.lower)


def test_rare_events_keep_their_digits() -> None:
    """A rate of some in a hundred million is where the closed form of the cubic loses its digits."""
    test = ScoreTest(Count(3, 10**8), Count(12, 10**8))
    bounds = test.difference(0.05)

    assert bounds.lower is not None
    assert pytest.approx(stats.norm.isf(0.025), rel=1e-4) == _distance(test, 1.0, bounds.lower)


@pytest.mark.parametrize("count", [Count(0, 40), Count(40, 40)], ids=["none", "all"])
def test_wilson_at_the_ends(count: Count) -> None:
    """Nobody out of 40 does not mean never: the bound is z^2 / (n + z^2)."""
    bounds = wilson(count, 0.05)
    squared = stats.norm.isf(0.025) ** 2

    assert pytest.approx(squared / (40 + squared)) == (
        bounds.upper if count.converted == 0 else 1 - (bounds.lower or 0)
    )
    assert (0.0 if count.converted == 0 else 1.0) == (bounds.lower if count.converted == 0 else bounds.upper)
