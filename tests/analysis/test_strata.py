"""Estimates over epochs."""

from __future__ import annotations

import math

import pytest

from klero.analysis.samples import EMPTY, pool
from klero.analysis.strata import Stratum, post_stratify
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
        == pool([each.variant for each in strata]).values.estimate.value
        - pool([each.baseline for each in strata]).values.estimate.value
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


def test_small_strata_are_not_usable() -> None:
    """One entity has no variance."""
    assert "fewer than 2 entities" == stratum(conversions(1, 1), conversions(5, 50)).obstacle
    assert "fewer than 2 entities" == stratum(EMPTY, conversions(5, 50)).obstacle
    assert "" == stratum(conversions(1, 2), conversions(5, 50)).obstacle
