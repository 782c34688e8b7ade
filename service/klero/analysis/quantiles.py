"""Quantiles of entity values from counts by size.

The quantile of a sample is one of its values, and how uncertain it is shows in the values around
it: those whose ranks the binomial distribution of values below the true quantile does not exclude.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from klero.analysis.bounds import Bounds
from klero.analysis.fieller import Estimate
from klero.analysis.tails import normal_quantile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from klero.storage.v1 import tally_pb2

SPREAD_ALPHA = 0.05
"""Level of the ranks that the variance is taken from, whatever the plan's: one sample, one variance."""

NEEDED_SPREAD = 4.0
"""Squared standard errors that must fit between the quantile's rank and the ends of the sample."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """How many entities have which value, to within a relative error."""

    quantile: float
    """That is asked for, above 0, below 1."""

    accuracy: float
    """Largest relative error of a value. 0 for a sketch of nothing."""

    counts: Mapping[float, int]
    """Entities by value."""

    @property
    def n(self) -> int:
        """Entities."""
        return sum(self.counts.values())

    @property
    def value(self) -> float | None:
        """The quantile. None without entities."""
        return self._at(self.quantile) if self.counts else None

    @property
    def obstacle(self) -> str:
        """Why there is no `estimate`, one clause. Empty: there is one."""
        q = self.quantile
        # Rounded, because 0.99 and its like are no binary fractions.
        needed = round(NEEDED_SPREAD * max(q / (1 - q), (1 - q) / q), 6)
        if self.n > needed:
            return ""
        return f"no more than the {math.floor(needed):,} entities that the quantile {q:g} needs to be bounded"

    @property
    def estimate(self) -> Estimate:
        """The quantile with its variance. Needs an empty `obstacle`.

        Half the distance between the bounding values in standard errors, and the error of the counts.
        Source: Deng, Knoblich, Lu (2018).
        """
        value = self._at(self.quantile)
        z = -normal_quantile(SPREAD_ALPHA / 2)
        half = z * self._standard_error_of_rank
        lower, upper = self._at(max(self.quantile - half, 0.0)), self._at(min(self.quantile + half, 1.0))
        return Estimate(value, ((upper - lower) / (2 * z)) ** 2 + (self.accuracy * value) ** 2)

    @property
    def spread(self) -> None:
        """Single values have no moments here."""
        return None

    def bounds(self, alpha: float) -> Bounds:
        """Interval of level 1 - `alpha` from order statistics, open where the sample ends before it.

        Its ends are moved outwards by the error of the counts.
        """
        half = -normal_quantile(alpha / 2) * self._standard_error_of_rank
        low, high = self.quantile - half, self.quantile + half
        lower = self._at(low) if low > 0 else None
        upper = self._at(high) if high < 1 else None
        return Bounds(
            None if lower is None else lower - self.accuracy * abs(lower),
            None if upper is None else upper + self.accuracy * abs(upper),
        )

    @property
    def _standard_error_of_rank(self) -> float:
        return math.sqrt(self.quantile * (1 - self.quantile) / self.n)

    def _at(self, share: float) -> float:
        """Smallest value that at least `share` of the entities do not exceed. Needs one entity."""
        values = sorted(self.counts)
        below = list(accumulate(self.counts[value] for value in values))
        rank = min(max(math.ceil(share * below[-1]), 1), below[-1])
        return values[bisect_left(below, rank)]


def merge(parts: Sequence[Sketch]) -> Sketch:
    """Counts of all entities of disjoint `parts`, at least one, that ask for one quantile."""
    counts: dict[float, int] = {}
    for part in parts:
        for value, count in part.counts.items():
            counts[value] = counts.get(value, 0) + count
    return Sketch(parts[0].quantile, max(part.accuracy for part in parts), counts)


def from_proto(message: tally_pb2.Sketch, quantile: float) -> Sketch:
    """Read counts by bucket; `klero.storage.v1.Sketch` says which value a bucket stands for."""
    if not (message.zeros or message.positive or message.negative):
        return Sketch(quantile, 0.0, {})
    growth = (1 + message.accuracy) / (1 - message.accuracy)

    def size(bucket: int) -> float:
        return 2 * growth**bucket / (growth + 1)

    counts = {0.0: message.zeros} if message.zeros else {}
    counts |= {size(each): n for each, n in zip(message.positive, message.positive_counts, strict=True)}
    counts |= {-size(each): n for each, n in zip(message.negative, message.negative_counts, strict=True)}
    return Sketch(quantile, message.accuracy, counts)
