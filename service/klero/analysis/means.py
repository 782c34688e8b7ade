"""Difference of two means on the absolute scale, with the lift that agrees with it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from klero.analysis import fieller
from klero.analysis.bounds import Bounds, Lift
from klero.analysis.fieller import Estimate
from klero.analysis.tails import Student

if TYPE_CHECKING:
    from klero.analysis.moments import Moments
    from klero.analysis.tails import Reference


@dataclass(frozen=True, slots=True)
class MeanTest:
    """Test of equal means from two independent estimates; p-value and both intervals always agree."""

    baseline: Estimate
    variant: Estimate
    reference: Reference
    lift_method: str = "fieller"

    @property
    def baseline_value(self) -> float:
        """Estimated mean of the baseline."""
        return self.baseline.value

    @property
    def variant_value(self) -> float:
        """Estimated mean of the variant."""
        return self.variant.value

    @property
    def difference_method(self) -> str:
        """Name of the interval for the difference."""
        return self.reference.method

    @property
    def effect(self) -> float:
        """Variant minus baseline."""
        return self.variant.value - self.baseline.value

    @property
    def standard_error(self) -> float:
        """Of `effect`. 0: no value varies."""
        return math.sqrt(self.variant.variance + self.baseline.variance)

    @property
    def p_value(self) -> float | None:
        """Two-sided. None: values differ between the samples but vary within neither."""
        if self.standard_error == 0:
            return 1.0 if self.effect == 0 else None
        return self.reference.p_value(self.effect / self.standard_error)

    def difference(self, alpha: float) -> Bounds | None:
        """Interval of level 1 - `alpha` for `effect`. None: no value varies."""
        if self.standard_error == 0:
            return None
        half = self.reference.multiplier(alpha) * self.standard_error
        return Bounds(self.effect - half, self.effect + half).agreeing(self.effect, rejected=self._rejected(alpha))

    def lift(self, alpha: float) -> Lift:
        """Lift with its interval of level 1 - `alpha`, which excludes 0 exactly when `difference` does."""
        if self.standard_error == 0:
            return Lift(self.effect / self.baseline.value if self.baseline.value else None, None)
        found = fieller.lift(self.baseline, self.variant, multiplier=self.reference.multiplier(alpha))
        if found.bounds is None:
            return found
        # Dividing by a negative baseline turns the sign.
        direction = math.copysign(1.0, self.baseline.value) * self.effect
        return Lift(found.value, found.bounds.agreeing(direction, rejected=self._rejected(alpha)))

    def _rejected(self, alpha: float) -> bool:
        p_value = self.p_value
        return p_value is not None and p_value <= alpha


def welch(baseline: Moments, variant: Moments) -> MeanTest:
    """Test of equal means with unequal variances.

    Args:
        baseline: At least `MIN_FOR_VARIANCE` entities.
        variant: Likewise.

    Source: Welch (1947), degrees of freedom of Satterthwaite (1946).

    """
    v0, v1 = baseline.variance_of_mean, variant.variance_of_mean
    spread = v1 * v1 / (variant.n - 1) + v0 * v0 / (baseline.n - 1)
    # Without any variance nothing is tested, and degrees of freedom only have to exist.
    freedom = (v0 + v1) ** 2 / spread if spread > 0 else float(baseline.n + variant.n - 2)
    return MeanTest(Estimate(baseline.mean, v0), Estimate(variant.mean, v1), Student(freedom))


def clipped(bounds: Bounds, low: float, high: float) -> Bounds:
    """`bounds` of a value that cannot lie outside `low` to `high`."""
    return Bounds(
        None if bounds.lower is None else max(bounds.lower, low),
        None if bounds.upper is None else min(bounds.upper, high),
    )
