"""The root finder."""

from __future__ import annotations

import math

import pytest

from klero.analysis.roots import falling_root


@pytest.mark.parametrize(
    ("root", "function"),
    [
        (0.25, lambda x: 0.25 - x),
        (1e-9, lambda x: 1e-9 - x),
        (math.log(2), lambda x: 2 - math.exp(x)),
        (0.5, lambda x: (0.5 - x) ** 3),
        (0.9999999, lambda x: 1.0 if x < 0.9999999 else -1.0),
    ],
    ids=["line", "tiny", "exponential", "flat", "step"],
)
def test_finds_the_root(root: float, function: object) -> None:
    """Intervals are as exact as the statistic they invert."""
    assert callable(function)
    assert pytest.approx(root, rel=1e-5 if root == 0.5 else 1e-12) == falling_root(function, -1.0, 1.0)


def test_a_zero_at_the_end_is_not_the_root() -> None:
    """Nobody converted: the statistic is 0 at the observed difference, and the interval is wider."""
    assert pytest.approx(-0.25, rel=1e-12) == falling_root(lambda x: -x - 0.5 * math.sqrt(-x), -1.0, 0.0)


def test_nothing_above_zero_gives_the_low_end() -> None:
    """A rate of 0 has a ratio of 0 as lower bound."""
    assert falling_root(lambda x: -1 - x, 0.0, 0.0) == 0.0
