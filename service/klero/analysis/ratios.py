"""Sums divided by sums: moments of two values per entity, and the ratio of their means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from klero.analysis.moments import MIN_FOR_VARIANCE, Moments
from klero.v1 import results_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

    from klero.analysis.fieller import Estimate


@dataclass(frozen=True, slots=True)
class PairMoments:
    """Count, means and centred second moments of numerator `y` and denominator `z` of entities."""

    n: int
    """Entities, at least 0."""

    mean_y: float
    mean_z: float
    """0 without entities, as `mean_y`."""

    yy: float
    yz: float
    zz: float
    """Sums of products of deviations from the means."""

    @property
    def value(self) -> float | None:
        """Ratio of the means. None: the denominator is 0."""
        return self.mean_y / self.mean_z if self.mean_z else None

    @property
    def obstacle(self) -> str:
        """Why there is no `estimate`, one clause. Empty: there is one."""
        if self.n < MIN_FOR_VARIANCE:
            return f"fewer than {MIN_FOR_VARIANCE} entities"
        return "" if self.mean_z else "a denominator of 0"

    @property
    def estimate(self) -> Estimate:
        """The ratio with its variance. Needs an empty `obstacle`."""
        return self.spread.estimate

    @property
    def spread(self) -> Moments:
        """Moments of r + (y - r z) / mean(z), whose mean is the ratio r. Needs an empty `obstacle`.

        To first order the ratio varies as the mean of this single value per entity does, so that
        every method for means serves ratios too.
        Source: Deng, Knoblich, Lu (2018), delta method.
        """
        ratio = self.mean_y / self.mean_z
        squares = self.yy - 2 * ratio * self.yz + ratio * ratio * self.zz
        # Below 0 by rounding alone, where all entities have the same ratio.
        return Moments(self.n, ratio, max(squares, 0.0) / (self.mean_z * self.mean_z))


def merge(parts: Iterable[PairMoments]) -> PairMoments:
    """Moments of all entities of disjoint `parts`.

    Source: Pebay (2008).
    """
    total = PairMoments(0, 0.0, 0.0, 0.0, 0.0, 0.0)
    for part in parts:
        if part.n == 0:
            continue
        n = total.n + part.n
        share, between = part.n / n, total.n * part.n / n
        dy, dz = part.mean_y - total.mean_y, part.mean_z - total.mean_z
        total = PairMoments(
            n,
            total.mean_y + dy * share,
            total.mean_z + dz * share,
            total.yy + part.yy + dy * dy * between,
            total.yz + part.yz + dy * dz * between,
            total.zz + part.zz + dz * dz * between,
        )
    return total


def from_proto(message: results_pb2.Moments) -> PairMoments:
    """Moments of the terms `y` and `z`. A message without entities gives none."""
    if message.n == 0:
        return merge(())
    mean_y, mean_z = message.means
    yy, yz, zz = message.comoments
    return PairMoments(message.n, mean_y, mean_z, yy, yz, zz)


def to_proto(moments: PairMoments) -> results_pb2.Moments:
    """Give the message with the terms `y` and `z`."""
    return results_pb2.Moments(
        n=moments.n,
        terms=["y", "z"],
        means=[moments.mean_y, moments.mean_z],
        comoments=[moments.yy, moments.yz, moments.zz],
    )
