"""Whether entities were split as configured: a test that may be read at every look."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from klero.analysis.tails import chi_squared_p_value

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


def single_look_p_value(counts: Sequence[int], weights: Sequence[float]) -> float:
    """P-value of a split by `weights` of entities that are all there: right for one look.

    Args:
        counts: Entities per variant, at least one in all.
        weights: As for `log_evidence`.

    Source: Pearson (1900); chi-squared with variants of weight - 1 degrees of freedom.

    """
    pairs = [(count, weight) for count, weight in zip(counts, weights, strict=True) if weight > 0]
    total, scale = sum(count for count, _ in pairs), sum(weight for _, weight in pairs)
    expected = [total * weight / scale for _, weight in pairs]
    statistic = math.fsum((count - wanted) ** 2 / wanted for (count, _), wanted in zip(pairs, expected, strict=True))
    return chi_squared_p_value(statistic, len(pairs) - 1)
