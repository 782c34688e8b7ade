"""Welch's test and the agreement of its intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from klero.analysis.bounds import Bounds
from klero.analysis.fieller import Estimate
from klero.analysis.means import MeanTest, clipped, welch
from klero.analysis.moments import Moments
from klero.analysis.sequence import Mixture
from klero.analysis.tails import Normal, Student
from tests.analysis.known import moments, revenue, values

samples = st.builds(Moments, st.integers(2, 5_000), st.floats(-20, 20), st.floats(0.1, 1e5))
references = st.one_of(
    st.just(Normal()),
    st.builds(Student, st.floats(1.5, 1e5)),
    st.builds(Mixture, st.integers(200, 10**6), st.just(2e-3)),
)
estimates = st.builds(Estimate, st.floats(-20, 20), st.floats(1e-6, 10))


def test_revenue() -> None:
    """The known answer of scipy for two samples with unequal variances."""
    expected = values("welch_revenue", "scipy")
    test = welch(*revenue())
    bounds = test.difference(0.05)

    assert bounds is not None
    assert pytest.approx(expected["p_value"], rel=1e-10) == test.p_value
    assert pytest.approx(expected["df"], rel=1e-12) == test.reference.degrees_of_freedom
    assert pytest.approx(expected["se"], rel=1e-12) == test.standard_error
    assert pytest.approx(expected["ci"], rel=1e-9) == [bounds.lower, bounds.upper]


def test_sleep() -> None:
    """Student's own data, as printed by R."""
    expected = values("student_sleep")
    test = welch(
        Moments(10, expected["mean2"], 9 * expected["var2"]), Moments(10, expected["mean1"], 9 * expected["var1"])
    )
    bounds = test.difference(0.05)

    assert bounds is not None
    assert pytest.approx(expected["p_value"], rel=1e-12) == test.p_value
    assert pytest.approx(expected["ci"], rel=1e-9) == [bounds.lower, bounds.upper]


def test_scipy_documentation() -> None:
    """The example in the manual of scipy: 15 (87.5) of 13 against 12 (39) of 11."""
    test = welch(Moments(11, 12.0, 39.0 * 10), Moments(13, 15.0, 87.5 * 12))

    assert pytest.approx(values("scipy_doc_ttest")["welch_p"], rel=1e-12) == test.p_value


@given(st.integers(0, 10_000))
def test_raw_values_give_the_same_answer(seed: int) -> None:
    """Moments lose nothing that the test needs."""
    generator = np.random.default_rng(seed)
    first, second = generator.normal(0, 1, 40), generator.normal(0.3, 3, 25)

    expected = stats.ttest_ind(second, first, equal_var=False).pvalue

    assert pytest.approx(expected, rel=1e-10) == welch(moments(first), moments(second)).p_value


@given(estimates, estimates, references, st.sampled_from([0.2, 0.05, 0.01, 0.0005]))
def test_p_value_and_intervals_agree(baseline: Estimate, variant: Estimate, reference: Normal, alpha: float) -> None:
    """Nobody may read "significant" beside an interval that holds 0."""
    test = MeanTest(baseline, variant, reference)
    difference, lift = test.difference(alpha), test.lift(alpha)

    assert difference is not None
    assert test.p_value is not None
    assert difference.excludes_zero == (test.p_value <= alpha)
    if lift.bounds is not None and baseline.value != 0:
        assert lift.bounds.excludes_zero == (test.p_value <= alpha)


@given(st.floats(0.5, 20), st.floats(1e-3, 5), st.sampled_from([0.05, 0.01]), references, st.sampled_from([-1, 0, 1]))
def test_they_agree_at_the_border(baseline: float, error: float, alpha: float, reference: Normal, ulps: int) -> None:
    """Also where the effect is as many standard errors as the multiplier, up to the last digit."""
    effect = reference.multiplier(alpha) * math.sqrt(2) * error
    variant = baseline + effect + ulps * math.ulp(baseline + effect)
    test = MeanTest(Estimate(baseline, error * error), Estimate(variant, error * error), reference)
    difference, lift = test.difference(alpha), test.lift(alpha)

    assert difference is not None
    assert lift.bounds is not None
    assert test.p_value is not None
    assert difference.excludes_zero == (test.p_value <= alpha)
    if test.p_value > alpha or lift.bounds.lower is not None:
        assert lift.bounds.excludes_zero == (test.p_value <= alpha)


@given(samples, samples)
def test_swapping_turns_the_sign_and_nothing_else(first: Moments, second: Moments) -> None:
    """Which variant is the control is a choice of words."""
    test, swapped = welch(first, second), welch(second, first)
    bounds, mirrored = test.difference(0.05), swapped.difference(0.05)

    assert bounds is not None
    assert mirrored is not None
    assert mirrored.upper is not None
    assert test.effect == -swapped.effect
    assert pytest.approx(swapped.p_value, rel=1e-12) == test.p_value
    assert pytest.approx(-mirrored.upper, rel=1e-9, abs=1e-12) == bounds.lower


@pytest.mark.parametrize(
    ("first", "second", "p_value", "lift"),
    [(2.0, 2.0, 1.0, 0.0), (2.0, 3.0, None, 0.5), (0.0, 3.0, None, None)],
    ids=["same constant", "other constant", "from nothing"],
)
def test_constants_are_no_evidence(first: float, second: float, p_value: float | None, lift: float | None) -> None:
    """An event with a constant value would otherwise win with p = 0."""
    test = welch(Moments(50, first, 0.0), Moments(60, second, 0.0))

    assert p_value == test.p_value
    assert test.difference(0.05) is None
    assert lift == test.lift(0.05).value
    assert test.lift(0.05).bounds is None


def test_clipping_keeps_open_sides_open() -> None:
    """A rate lies between 0 and 1 whatever an approximation says."""
    assert Bounds(0.0, None) == clipped(Bounds(-0.1, None), 0.0, 1.0)
    assert Bounds(None, 1.0) == clipped(Bounds(None, 1.2), 0.0, 1.0)
