"""Effects estimated within each epoch and then combined.

Entities from before and after a change of weights cannot be pooled: with rates that drift, pooling
finds effects where there are none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from klero.analysis.fieller import Estimate
from klero.analysis.moments import MIN_FOR_VARIANCE, Moments, merge

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Sample:
    """One metric of the entities of one epoch and variant."""

    moments: Moments
    converted: int
    """Entities whose value is not 0."""

    events: int
    """Outcomes read."""

    @property
    def estimate(self) -> Estimate:
        """Mean with its variance. Needs `MIN_FOR_VARIANCE` entities."""
        return Estimate(self.moments.mean, self.moments.variance_of_mean)

    @property
    def rate_estimate(self) -> Estimate:
        """Rate with its variance. Needs `MIN_FOR_VARIANCE` entities.

        A rate of 0 or 1 has no variance of its own, although it is not certain: it then has that of
        the rate by the rule of succession, (x + 1) / (n + 2).
        """
        n = self.moments.n
        if 0 < self.converted < n:
            return Estimate(self.converted / n, self.moments.variance_of_mean)
        succession = (self.converted + 1) / (n + 2)
        return Estimate(self.converted / n, succession * (1 - succession) / n)


EMPTY = Sample(merge(()), 0, 0)


def pool(samples: Sequence[Sample]) -> Sample:
    """All entities of one variant, whatever the epoch."""
    return Sample(
        merge(sample.moments for sample in samples),
        sum(sample.converted for sample in samples),
        sum(sample.events for sample in samples),
    )


@dataclass(frozen=True, slots=True)
class Stratum:
    """Two variants in one epoch."""

    epoch: int
    baseline: Sample
    variant: Sample

    @property
    def entities(self) -> int:
        """Of both variants."""
        return self.baseline.moments.n + self.variant.moments.n

    @property
    def usable(self) -> bool:
        """Whether both variants have a variance here."""
        return min(self.baseline.moments.n, self.variant.moments.n) >= MIN_FOR_VARIANCE


def post_stratify(strata: Sequence[Stratum], *, rates: bool) -> tuple[Estimate, Estimate]:
    """Mean of baseline and of variant, each epoch weighted by its entities of both.

    D = sum of N_e / N * D_e with variance sum of (N_e / N)^2 * V_e is their difference, and equal
    weights on both sides make the lift agree with it.

    Args:
        strata: At least one, each usable.
        rates: Whether values are 0 and 1.

    Source: Miratrix, Sekhon, Yu (2013).

    """
    weights = [stratum.entities for stratum in strata]

    def weighted(samples: Sequence[Sample]) -> Estimate:
        parts = [sample.rate_estimate if rates else sample.estimate for sample in samples]
        return _weighted(parts, weights)

    return weighted([stratum.baseline for stratum in strata]), weighted([stratum.variant for stratum in strata])


def _weighted(parts: Sequence[Estimate], weights: Sequence[int]) -> Estimate:
    total = sum(weights)
    return Estimate(
        sum(weight * part.value for part, weight in zip(parts, weights, strict=True)) / total,
        sum(weight * weight * part.variance for part, weight in zip(parts, weights, strict=True)) / (total * total),
    )
