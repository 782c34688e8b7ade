"""Root of a function of one variable."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_STEPS = 200
"""More than plain bisection needs for any bracket of ordinary size."""

RELATIVE_WIDTH = 4 * sys.float_info.epsilon
"""Width of the bracket, relative to the root, at which the search ends."""


def falling_root(function: Callable[[float], float], low: float, high: float) -> float:
    """Find where `function` falls through 0 between `low` and `high`.

    `high` itself counts as below 0: a statistic is 0 there, and where the variance vanishes so is
    the function, although it was below 0 just before. Without a value above 0 at `low`, `low`.
    Source: Chandrupatla (1997): inverse quadratic interpolation where it is safe, else bisection.
    """
    at_low, at_high = function(low), function(high)
    if at_low <= 0:
        return low
    if at_high >= 0:
        # Any value below 0 does; one of this size lets the search begin in the middle.
        at_high = -at_low
    new, old, older = high, low, low
    at_new, at_old, at_older = at_high, at_low, at_low
    share = 0.5
    for _ in range(MAX_STEPS):
        point = new + share * (old - new)
        at_point = function(point)
        if (at_point > 0) == (at_new > 0):
            older, at_older = new, at_new
        else:
            older, at_older, old, at_old = old, at_old, new, at_new
        new, at_new = point, at_point
        best = new if abs(at_new) < abs(at_old) else old
        tolerance = (RELATIVE_WIDTH * abs(best) + sys.float_info.min) / abs(old - new)
        if tolerance > 0.5 or at_point == 0:  # noqa: PLR2004 - the bracket is as narrow as wanted
            return best
        share = max(tolerance, min(1 - tolerance, _next_share((new, at_new), (old, at_old), (older, at_older))))
    return new


def _next_share(new: tuple[float, float], old: tuple[float, float], older: tuple[float, float]) -> float:
    """How far to go from `new` towards `old`, each a point and its value."""
    (x1, f1), (x2, f2), (x3, f3) = new, old, older
    if f3 in {f1, f2}:
        return 0.5
    xi = (x1 - x2) / (x3 - x2)
    phi = (f1 - f2) / (f3 - f2)
    if not (phi * phi < xi and (1 - phi) ** 2 < 1 - xi):
        return 0.5
    return f1 / (f2 - f1) * f3 / (f2 - f3) + (x3 - x1) / (x2 - x1) * f1 / (f3 - f1) * f2 / (f3 - f2)
