"""Tail probabilities far out, against scipy.stats."""

from __future__ import annotations

import pytest
from scipy import stats

from klero.analysis.tails import Normal, Student, normal_quantile


@pytest.mark.parametrize("z", [0.0, 0.5, 1.96, 8.5, -12.0, 22.5, 37.0])
def test_normal_tails_keep_their_digits(z: float) -> None:
    """Large experiments have p-values of 1e-100, which must not become 0."""
    assert pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-12) == Normal().p_value(z)


@pytest.mark.parametrize("freedom", [1.0, 17.776, 5841.7, 42000.0])
@pytest.mark.parametrize("t", [0.0, -2.3, 9.0, 20.0])
def test_student_tails_keep_their_digits(t: float, freedom: float) -> None:
    """The same for means."""
    assert pytest.approx(2 * stats.t.sf(abs(t), freedom), rel=1e-12) == Student(freedom).p_value(t)


@pytest.mark.parametrize("alpha", [0.5, 0.05, 0.001, 1e-9])
def test_multipliers_undo_p_values(alpha: float) -> None:
    """Intervals agree with p-values because both come from one distribution."""
    for reference in (Normal(), Student(12.5)):
        assert pytest.approx(alpha, rel=1e-9) == reference.p_value(reference.multiplier(alpha))
    assert pytest.approx(stats.norm.isf(alpha / 2), rel=1e-12) == Normal().multiplier(alpha)


def test_quantile_of_power() -> None:
    """Detectable effects add this to the multiplier."""
    assert pytest.approx(stats.norm.ppf(0.8), rel=1e-14) == normal_quantile(0.8)
