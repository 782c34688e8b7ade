"""Whether entities were split as configured: a test that may be read at every look."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

CONCENTRATION = 10_000.0
"""Weight of the prior around the configured split: deviations are expected to be small."""


def log_evidence(counts: Sequence[int], weights: Sequence[float]) -> float:
    """Logarithm of the e-value against a split by `weights`; those of several epochs add up.

    Dirichlet-multinomial against multinomial. Depends on the counts alone, so that it is the same
    however often somebody looked.

    Args:
        counts: Entities per variant.
        weights: Configured weights in the same order, any scale. Variants of weight 0 are left out,
            with their entities: they were not to get any since the weight was set.

    Source: Lindon and Malek (2022).

    """
    pairs = [(count, weight) for count, weight in zip(counts, weights, strict=True) if weight > 0]
    scale = sum(weight for _, weight in pairs)
    shares = [(count, weight / scale) for count, weight in pairs]
    total = sum(count for count, _ in shares)
    evidence = math.lgamma(CONCENTRATION) - math.lgamma(CONCENTRATION + total)
    for count, share in shares:
        prior = CONCENTRATION * share
        evidence += math.lgamma(prior + count) - math.lgamma(prior) - count * math.log(share)
    return evidence


def p_value(evidence: float) -> float:
    """Always-valid p-value of an e-value, given as its logarithm."""
    return math.exp(min(0.0, -evidence))
