"""Ranges, possibly open, and their agreement with a p-value."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """A range for an unknown value."""

    lower: float | None
    """None: unbounded below."""

    upper: float | None
    """None: unbounded above."""

    @property
    def excludes_zero(self) -> bool:
        """Whether 0 lies outside."""
        return (self.lower is not None and self.lower > 0) or (self.upper is not None and self.upper < 0)

    def agreeing(self, effect: float, *, rejected: bool) -> Bounds:
        """Put the range on the side of 0 that the test says.

        Quantiles and roots are rounded, so that right at the border range and p-value could differ
        in the last digits; the p-value then decides.

        Args:
            effect: The estimate; its sign says on which side a rejected 0 lies.
            rejected: Whether the p-value is at most the level of the range.

        """
        lower, upper = self.lower, self.upper
        if not rejected:
            lower = None if lower is None else min(lower, 0.0)
            upper = None if upper is None else max(upper, 0.0)
        elif effect > 0 and lower is not None:
            lower = max(lower, math.ulp(0.0))
        elif effect < 0 and upper is not None:
            upper = min(upper, -math.ulp(0.0))
        return Bounds(lower, upper)


@dataclass(frozen=True, slots=True)
class Lift:
    """Variant divided by baseline, minus 1."""

    value: float | None
    """None: the baseline may be 0."""

    bounds: Bounds | None
    """None: the baseline is 0 without any variance, or no value varies."""
