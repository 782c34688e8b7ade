"""One metric of some entities: what is known of their values, whatever the kind of metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from klero.analysis import quantiles, ratios
from klero.analysis.fieller import Estimate
from klero.analysis.moments import EMPTY as NO_MOMENTS
from klero.analysis.moments import Moments, merge
from klero.analysis.quantiles import Sketch
from klero.analysis.ratios import PairMoments

if TYPE_CHECKING:
    from collections.abc import Sequence

Values: TypeAlias = Moments | PairMoments | Sketch
"""Of means and rates, of ratios, of quantiles."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One metric of the entities of one epoch and variant."""

    values: Values
    converted: int
    """Entities whose value is not 0."""

    events: int
    """Outcomes read."""

    missing: int = 0
    """Entities without outcome that are left out of `values`."""

    unsettled: int = 0
    """Entities in it whose window has not closed, or closed early."""

    @property
    def n(self) -> int:
        """Entities with a value."""
        return self.values.n

    @property
    def rate_estimate(self) -> Estimate:
        """Rate with its variance. Needs an estimate of the mean.

        A rate of 0 or 1 has no variance of its own, although it is not certain: it then has that of
        the rate by the rule of succession, (x + 1) / (n + 2).
        """
        if 0 < self.converted < self.n:
            return Estimate(self.converted / self.n, self.values.estimate.variance)
        succession = (self.converted + 1) / (self.n + 2)
        return Estimate(self.converted / self.n, succession * (1 - succession) / self.n)


EMPTY = Sample(NO_MOMENTS, 0, 0)


def pool(samples: Sequence[Sample]) -> Sample:
    """All entities of disjoint samples of one metric, whatever the epoch."""
    return Sample(
        _merged([sample.values for sample in samples if sample.n]),
        sum(sample.converted for sample in samples),
        sum(sample.events for sample in samples),
        sum(sample.missing for sample in samples),
        sum(sample.unsettled for sample in samples),
    )


def _merged(parts: Sequence[Values]) -> Values:
    pairs = [part for part in parts if isinstance(part, PairMoments)]
    if pairs:
        return ratios.merge(pairs)
    sketches = [part for part in parts if isinstance(part, Sketch)]
    if sketches:
        return quantiles.merge(sketches)
    return merge(part for part in parts if isinstance(part, Moments))
