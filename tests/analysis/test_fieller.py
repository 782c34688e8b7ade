"""Intervals for a ratio of means."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klero.analysis.bounds import Bounds
from klero.analysis.fieller import Estimate, lift
from klero.analysis.means import welch
from tests.analysis.known import revenue, values

estimates = st.builds(Estimate, st.floats(-50, 50).filter(lambda x: abs(x) > 1e-3), st.floats(1e-4, 100))


def test_published_form() -> None:
    """The lift of revenue, with Welch's quantile in the place of the normal one."""
    test = welch(*revenue())

    bounds = lift(test.baseline, test.variant, multiplier=test.reference.multiplier(0.05)).bounds

    assert bounds is not None
    expected = values("welch_revenue", "closed form")["ci_lift_fieller"]
    assert pytest.approx(expected, rel=1e-9) == [bounds.lower, bounds.upper]


@given(estimates, estimates, st.floats(0.5, 4))
def test_bounds_solve_the_test_they_invert(baseline: Estimate, variant: Estimate, multiplier: float) -> None:
    """A ratio on a bound is exactly as many standard errors away as the multiplier says."""
    bounds = lift(baseline, variant, multiplier=multiplier).bounds

    assert bounds is not None
    for bound in (bounds.lower, bounds.upper):
        if bound is not None:
            ratio = bound + 1
            distance = abs(variant.value - ratio * baseline.value)
            error = math.sqrt(variant.variance + ratio * ratio * baseline.variance)
            assert pytest.approx(multiplier, rel=1e-3) == distance / error


@given(estimates, estimates, st.floats(0.5, 4))
def test_excludes_no_lift_when_the_difference_excludes_zero(
    baseline: Estimate, variant: Estimate, multiplier: float
) -> None:
    """The lift must not tell another story than the difference beside it."""
    bounds = lift(baseline, variant, multiplier=multiplier).bounds
    distance = abs(variant.value - baseline.value) / math.sqrt(baseline.variance + variant.variance)

    assert bounds is not None
    if abs(distance - multiplier) > 1e-6:
        assert bounds.excludes_zero == (distance > multiplier)


@pytest.mark.parametrize(
    ("baseline", "variant", "expected"),
    [
        (Estimate(1.0, 1.0), Estimate(1.2, 0.01), Bounds(None, None)),
        (Estimate(0.0, 1.0), Estimate(1.2, 0.01), Bounds(None, None)),
        (Estimate(0.0, 0.0), Estimate(1.2, 0.01), None),
    ],
    ids=["cannot be told from 0", "observed as 0 but varying", "certainly 0"],
)
def test_open_lift(baseline: Estimate, variant: Estimate, expected: Bounds | None) -> None:
    """A baseline that may be 0 has no lift, which is a value and not an error."""
    found = lift(baseline, variant, multiplier=2.0)

    assert (None, expected) == (found.value, found.bounds)


def test_half_open_lift_has_the_end_that_is_certain() -> None:
    """A large effect on a baseline near 0 is at least so large."""
    found = lift(Estimate(1.0, 1.0), Estimate(50.0, 1.0), multiplier=2.0)

    assert found.value is None
    assert found.bounds is not None
    assert found.bounds.upper is None
    assert found.bounds.lower is not None
    assert found.bounds.lower > 10
