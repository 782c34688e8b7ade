"""Interval for a ratio of two means by inverting the test of their difference."""

from __future__ import annotations

import math
from dataclasses import dataclass

from klero.analysis.bounds import Bounds, Lift


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and how uncertain it is."""

    value: float
    variance: float
    """Squared standard error of `value`."""


def lift(baseline: Estimate, variant: Estimate, *, multiplier: float) -> Lift:
    """Lift of `variant` over `baseline`, with all ratios r that the test of variant = r * baseline keeps.

    Those ratios solve A r^2 - 2 B r + C <= 0. With A <= 0 the baseline cannot be told from 0 and
    they have no end on one or both sides: the range is then the part with the observed sign of the
    baseline, or everything.
    Source: Fieller (1954).

    Args:
        baseline: What is divided by.
        variant: What is divided. Independent of `baseline`.
        multiplier: Half width, in standard errors, of the interval for the difference. Above 0.

    """
    if baseline.value == 0:
        return Lift(None, Bounds(None, None) if baseline.variance > 0 else None)
    squared = multiplier * multiplier
    a = baseline.value**2 - squared * baseline.variance
    b = baseline.value * variant.value
    c = variant.value**2 - squared * variant.variance
    # b^2 - a c without the difference of its two largest terms.
    discriminant = squared * (
        baseline.value**2 * variant.variance + variant.value**2 * baseline.variance
    ) - squared * squared * (baseline.variance * variant.variance)
    if a > 0:
        value = variant.value / baseline.value - 1
        return Lift(value, _bounded(a, b, c, math.sqrt(max(discriminant, 0.0))))
    if a - 2 * b + c <= 0 or discriminant < 0:
        return Lift(None, Bounds(None, None))
    near = c / (b + math.copysign(math.sqrt(discriminant), b)) - 1
    return Lift(None, Bounds(near, None) if b > 0 else Bounds(None, near))


def _bounded(a: float, b: float, c: float, root: float) -> Bounds:
    """Both solutions, each without subtracting nearly equal numbers."""
    far_sum = b + math.copysign(root, b)
    far = far_sum / a
    near = c / far_sum if far_sum else 0.0
    return Bounds(min(near, far) - 1, max(near, far) - 1)
