"""Effects estimated within each epoch and then combined.

Entities from before and after a change of weights cannot be pooled: with rates that drift, pooling
finds effects where there are none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from klero.analysis.fieller import Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from klero.analysis.samples import Sample


@dataclass(frozen=True, slots=True)
class Stratum:
    """Two variants in one epoch."""

    epoch: int
    baseline: Sample
    variant: Sample

    @property
    def entities(self) -> int:
        """Of both variants."""
        return self.baseline.n + self.variant.n

    @property
    def obstacle(self) -> str:
        """Why the two cannot be compared here, one clause. Empty: they can."""
        return self.baseline.values.obstacle or self.variant.values.obstacle


def post_stratify(strata: Sequence[Stratum], *, rates: bool) -> tuple[Estimate, Estimate]:
    """Value of baseline and of variant, each epoch weighted by its entities of both.

    D = sum of N_e / N * D_e with variance sum of (N_e / N)^2 * V_e is their difference, and equal
    weights on both sides make the lift agree with it.

    Args:
        strata: At least one, each without obstacle.
        rates: Whether values are 0 and 1.

    Source: Miratrix, Sekhon, Yu (2013).

    """
    weights = [stratum.entities for stratum in strata]

    def weighted(samples: Sequence[Sample]) -> Estimate:
        parts = [sample.rate_estimate if rates else sample.values.estimate for sample in samples]
        return _weighted(parts, weights)

    return weighted([stratum.baseline for stratum in strata]), weighted([stratum.variant for stratum in strata])


def _weighted(parts: Sequence[Estimate], weights: Sequence[int]) -> Estimate:
    total = sum(weights)
    return Estimate(
        sum(weight * part.value for part, weight in zip(parts, weights, strict=True)) / total,
        sum(weight * weight * part.variance for part, weight in zip(parts, weights, strict=True)) / (total * total),
    )
