"""Ranges and the rounding at 0."""

from __future__ import annotations

import pytest

from klero.analysis.bounds import Bounds


@pytest.mark.parametrize(
    ("bounds", "effect", "rejected", "excludes"),
    [
        (Bounds(-1e-17, 2.0), 1.0, True, True),
        (Bounds(0.0, 2.0), 1.0, True, True),
        (Bounds(-2.0, 1e-17), -1.0, True, True),
        (Bounds(1e-17, 2.0), 1.0, False, False),
        (Bounds(-2.0, -1e-17), -1.0, False, False),
        (Bounds(None, None), 1.0, True, False),
    ],
)
def test_the_p_value_decides_about_rounding(bounds: Bounds, effect: float, rejected: bool, excludes: bool) -> None:  # noqa: FBT001
    """Interval and p-value are computed by different functions, whose last digits may differ."""
    assert excludes == bounds.agreeing(effect, rejected=rejected).excludes_zero


def test_clear_ranges_stay_as_they_are() -> None:
    """Agreement is a matter of the last digit and must not hide a wrong interval."""
    assert Bounds(0.5, 2.0) == Bounds(0.5, 2.0).agreeing(1.0, rejected=True)
    assert Bounds(-0.5, 2.0) == Bounds(-0.5, 2.0).agreeing(1.0, rejected=False)
