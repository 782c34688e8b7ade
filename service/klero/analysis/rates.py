"""Two rates compared by the score test: p-value, difference and ratio from one family.

All three hold the observed rates against those most likely under the hypothesis, so that they agree
about 0: at no difference the statistic of both intervals is the pooled z of the p-value. The factor
N / (N - 1) of Miettinen and Nurminen is left out, because with it they would not agree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from klero.analysis.bounds import Bounds, Lift
from klero.analysis.roots import falling_root
from klero.analysis.tails import Normal

STANDARD_NORMAL = Normal()


@dataclass(frozen=True, slots=True)
class Count:
    """Entities that converted, of all."""

    converted: int
    """0 to `n`."""

    n: int
    """At least 1."""

    @property
    def rate(self) -> float:
        """Share that converted."""
        return self.converted / self.n


@dataclass(frozen=True, slots=True)
class ScoreTest:
    """Score test of equal rates in two independent samples looked at once."""

    baseline: Count
    variant: Count
    reference: Normal = STANDARD_NORMAL
    difference_method: str = "mee"
    lift_method: str = "koopman"

    @property
    def baseline_value(self) -> float:
        """Rate of the baseline."""
        return self.baseline.rate

    @property
    def variant_value(self) -> float:
        """Rate of the variant."""
        return self.variant.rate

    @property
    def effect(self) -> float:
        """Variant minus baseline."""
        return self.variant.rate - self.baseline.rate

    @property
    def standard_error(self) -> float:
        """Of `effect`, each rate with its own variance. 0: neither sample varies."""
        p0, p1 = self.baseline.rate, self.variant.rate
        return math.sqrt(p1 * (1 - p1) / self.variant.n + p0 * (1 - p0) / self.baseline.n)

    @property
    def statistic(self) -> float:
        """Pooled z; its square is Pearson's chi-squared without correction."""
        x0, n0, x1, n1 = self.baseline.converted, self.baseline.n, self.variant.converted, self.variant.n
        both, entities = x0 + x1, n0 + n1
        if both in {0, entities}:
            return 0.0
        # Whole numbers until the last step, so that no digit of a tiny p-value is lost.
        return (x1 * n0 - x0 * n1) * math.sqrt(entities / (n0 * n1 * both * (entities - both)))

    @property
    def p_value(self) -> float:
        """Two-sided. 1 if nobody or everybody converted."""
        return self.reference.p_value(self.statistic)

    def difference(self, alpha: float) -> Bounds:
        """Interval of level 1 - `alpha` for `effect`.

        Source: Mee (1984).
        """
        multiplier = self.reference.multiplier(alpha)
        lower = _lowest_difference(self.baseline, self.variant, multiplier)
        upper = -_lowest_difference(self.variant, self.baseline, multiplier)
        return Bounds(lower, upper).agreeing(self.effect, rejected=self.p_value <= alpha)

    def lift(self, alpha: float) -> Lift:
        """Lift with its interval of level 1 - `alpha`; no upper bound if nobody converted in the baseline.

        Source: Koopman (1984), in the form of Miettinen and Nurminen (1985) without their factor.
        """
        multiplier = self.reference.multiplier(alpha)
        lower = _lowest_ratio(self.baseline, self.variant, multiplier) - 1
        upper = None
        if self.baseline.converted:
            inverse = _lowest_ratio(self.variant, self.baseline, multiplier)
            upper = 1 / inverse - 1
        bounds = Bounds(lower, upper).agreeing(self.effect, rejected=self.p_value <= alpha)
        return Lift(self.variant.rate / self.baseline.rate - 1 if self.baseline.converted else None, bounds)


def wilson(count: Count, alpha: float) -> Bounds:
    """Interval of level 1 - `alpha` for one rate.

    Source: Wilson (1927).
    """
    n, rate, multiplier = count.n, count.rate, STANDARD_NORMAL.multiplier(alpha)
    squared = multiplier * multiplier / n
    middle = rate + squared / 2
    half = multiplier * math.sqrt((rate * (1 - rate) + squared / 4) / n)
    lower = (middle - half) / (1 + squared) if count.converted else 0.0
    upper = (middle + half) / (1 + squared) if count.converted < n else 1.0
    return Bounds(lower, upper)


def _lowest_difference(baseline: Count, variant: Count, multiplier: float) -> float:
    """Smallest difference that the score test keeps."""
    observed = variant.rate - baseline.rate

    def excess(difference: float) -> float:
        p0 = _rate_at_difference(baseline, variant, difference)
        p1 = min(max(p0 + difference, 0.0), 1.0)
        return observed - difference - multiplier * math.sqrt(p1 * (1 - p1) / variant.n + p0 * (1 - p0) / baseline.n)

    return falling_root(excess, -1.0, observed)


def _rate_at_difference(baseline: Count, variant: Count, difference: float) -> float:
    """Most likely rate of the baseline if the variant's is higher by `difference`.

    The root of a cubic that lies in the possible range. The closed form loses digits for rates near
    0 and 1, where two roots almost meet; Newton steps bring them back.
    """
    n, x = baseline.n + variant.n, baseline.converted + variant.converted
    l3 = float(n)
    l2 = (variant.n + 2 * baseline.n) * difference - n - x
    l1 = (baseline.n * difference - n - 2 * baseline.converted) * difference + x
    l0 = baseline.converted * difference * (1 - difference)
    low, high = max(0.0, -difference), min(1.0, 1 - difference)

    third = l2 / (3 * l3)
    q = third**3 - l1 * third / (2 * l3) + l0 / (2 * l3)
    p = math.copysign(math.sqrt(max(third * third - l1 / (3 * l3), 0.0)), q)
    cosine = min(max(q / p**3, -1.0), 1.0) if p else 1.0
    rate = min(max(2 * p * math.cos((math.pi + math.acos(cosine)) / 3) - third, low), high)
    for _ in range(2):
        slope = (3 * l3 * rate + 2 * l2) * rate + l1
        if slope == 0:
            break
        rate = min(max(rate - (((l3 * rate + l2) * rate + l1) * rate + l0) / slope, low), high)
    return rate


def _lowest_ratio(baseline: Count, variant: Count, multiplier: float) -> float:
    """Smallest ratio of variant to baseline that the score test keeps."""

    def excess(ratio: float) -> float:
        p0, p1 = _rates_at_ratio(baseline, variant, ratio)
        variance = p1 * (1 - p1) / variant.n + ratio * ratio * p0 * (1 - p0) / baseline.n
        return variant.rate - ratio * baseline.rate - multiplier * math.sqrt(variance)

    if baseline.converted:
        return falling_root(excess, 0.0, variant.rate / baseline.rate)
    if not variant.converted:
        return 0.0
    high = 1.0
    while excess(high) > 0:
        high *= 2
    return falling_root(excess, 0.0, high)


def _rates_at_ratio(baseline: Count, variant: Count, ratio: float) -> tuple[float, float]:
    """Most likely rates, baseline first, if the variant's is `ratio` times the baseline's."""
    x = baseline.converted + variant.converted
    a = (baseline.n + variant.n) * ratio
    b = variant.n * ratio + variant.converted + baseline.n + baseline.converted * ratio
    root = math.sqrt(max(b * b - 4 * a * x, 0.0))
    p0 = min(2 * x / (b + root), 1.0)
    return p0, min(ratio * p0, 1.0)
