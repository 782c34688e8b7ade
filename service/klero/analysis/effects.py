"""How large an effect is: in standard deviations, and against the smallest one worth acting on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from klero.v1.results_pb2 import EffectSize, PracticalEffect

if TYPE_CHECKING:
    from collections.abc import Iterable

    from klero.analysis.bounds import Bounds
    from klero.analysis.moments import Moments

SMALL, MEDIUM, LARGE = 0.2, 0.5, 0.8
"""Cohen (1988)."""


def cohens_d(effect: float, parts: Iterable[Moments]) -> float | None:
    """`effect` in standard deviations pooled within `parts`, or None if nothing varies within them.

    Source: Cohen (1988).
    """
    squares, freedom = 0.0, 0
    for part in parts:
        squares += part.m2
        freedom += part.n - 1
    return effect / math.sqrt(squares / freedom) if squares > 0 else None


def cohens_h(baseline_rate: float, variant_rate: float) -> float | None:
    """Difference of rates on the scale where their variance is constant; None if both are 0 or both 1.

    Source: Cohen (1988).
    """
    if baseline_rate == variant_rate and baseline_rate in {0.0, 1.0}:
        return None
    # Post-stratified rates are sums of floats and can pass 1 by a rounding.
    angles = [2 * math.asin(math.sqrt(min(rate, 1.0))) for rate in (baseline_rate, variant_rate)]
    return angles[1] - angles[0]


def size_label(standardized: float | None) -> EffectSize.ValueType:
    """Cohen's word for a standardized effect; unspecified for None."""
    if standardized is None:
        return EffectSize.EFFECT_SIZE_UNSPECIFIED
    size = abs(standardized)
    if size < SMALL:
        return EffectSize.EFFECT_SIZE_NEGLIGIBLE
    if size < MEDIUM:
        return EffectSize.EFFECT_SIZE_SMALL
    return EffectSize.EFFECT_SIZE_MEDIUM if size < LARGE else EffectSize.EFFECT_SIZE_LARGE


def practical(bounds: Bounds | None, min_effect: float) -> PracticalEffect.ValueType:
    """Where `bounds` lie against -`min_effect` to `min_effect`, in the scale of both.

    Args:
        bounds: None: not computed, which is undecided.
        min_effect: 0: none set.

    """
    if min_effect == 0:
        return PracticalEffect.PRACTICAL_EFFECT_UNSPECIFIED
    if bounds is None:
        return PracticalEffect.PRACTICAL_EFFECT_UNDECIDED
    lower = -math.inf if bounds.lower is None else bounds.lower
    upper = math.inf if bounds.upper is None else bounds.upper
    if -min_effect < lower and upper < min_effect:
        return PracticalEffect.PRACTICAL_EFFECT_BELOW_MINIMUM
    if lower >= min_effect or upper <= -min_effect:
        return PracticalEffect.PRACTICAL_EFFECT_AT_LEAST_MINIMUM
    return PracticalEffect.PRACTICAL_EFFECT_UNDECIDED
