"""Estimates over epochs."""

from __future__ import annotations

import math

import pytest

from klero.analysis.strata import EMPTY, Stratum, pool, post_stratify
from tests.analysis.known import amounts, conversions, stratum, values


def test_changing_weights_make_no_effect() -> None:
    """The known answer for three periods with 50, 70 and 90 percent treated and a rising rate."""
    expected = values("bandit.period_weighted")
    strata = [
        Stratum(epoch, *(conversions(x, n) for x, n in zip(period["x"], period["N"], strict=True)))
        for epoch, period in enumerate(expected["periods"], start=1)
    ]

    baseline, variant = post_stratify(strata, rates=True)

    assert pytest.approx(expected["mean"], rel=1e-12) == [baseline.value, variant.value]
    assert pytest.approx(expected["var"], rel=1e-12) == [baseline.variance, variant.variance]
    difference = variant.value - baseline.value
    assert pytest.approx(expected["z"], rel=1e-9) == difference / math.sqrt(baseline.variance + variant.variance)
    assert (
        pytest.approx(expected["naive_diff"], rel=1e-9)
        == pool([each.variant for each in strata]).moments.mean - pool([each.baseline for each in strata]).moments.mean
    )


def test_one_stratum_is_the_plain_mean() -> None:
    """Nearly every experiment has one epoch, and its numbers must be those of the textbook."""
    baseline, variant = post_stratify([stratum(amounts(50, 2.0, 3.0), amounts(60, 4.0, 5.0))], rates=False)

    assert pytest.approx((2.0, 9 / 50, 4.0, 25 / 60)) == (
        baseline.value,
        baseline.variance,
        variant.value,
        variant.variance,
    )


@pytest.mark.parametrize("converted", [0, 98])
def test_a_rate_without_variance_is_still_uncertain(converted: int) -> None:
    """A variant that never converts must be comparable, and not with an error of 0."""
    estimate = conversions(converted, 98).rate_estimate

    assert pytest.approx(0.01 * 0.99 / 98) == estimate.variance
    assert converted / 98 == estimate.value


def test_small_strata_are_not_usable() -> None:
    """One entity has no variance."""
    assert not stratum(conversions(1, 1), conversions(5, 50)).usable
    assert not stratum(EMPTY, conversions(5, 50)).usable
    assert stratum(conversions(1, 2), conversions(5, 50)).usable
