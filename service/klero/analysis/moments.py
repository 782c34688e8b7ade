"""Sufficient statistics of one sample and how two of them merge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from klero.analysis.fieller import Estimate
from klero.v1 import results_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

MIN_FOR_VARIANCE = 2
"""Entities below which a sample has no variance."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Count, mean and centred second moment of entity values."""

    n: int
    """Entities, at least 0."""

    mean: float
    """0 without entities."""

    m2: float
    """Sum of squared deviations from the mean, at least 0."""

    @property
    def variance(self) -> float:
        """Unbiased variance of one value. Needs `MIN_FOR_VARIANCE` entities."""
        return self.m2 / (self.n - 1)

    @property
    def variance_of_mean(self) -> float:
        """Squared standard error of `mean`. Needs `MIN_FOR_VARIANCE` entities."""
        return self.variance / self.n

    @property
    def value(self) -> float | None:
        """The mean. None without entities."""
        return self.mean if self.n else None

    @property
    def obstacle(self) -> str:
        """Why there is no `estimate`, one clause. Empty: there is one."""
        return "" if self.n >= MIN_FOR_VARIANCE else f"fewer than {MIN_FOR_VARIANCE} entities"

    @property
    def estimate(self) -> Estimate:
        """The mean with its variance. Needs an empty `obstacle`."""
        return Estimate(self.mean, self.variance_of_mean)

    @property
    def spread(self) -> Moments:
        """Moments of single values."""
        return self


EMPTY = Moments(0, 0.0, 0.0)


def merge(parts: Iterable[Moments]) -> Moments:
    """Moments of all entities of disjoint `parts`.

    Source: Chan, Golub, LeVeque (1979); Pebay (2008).
    """
    total = EMPTY
    for part in parts:
        if part.n == 0:
            continue
        n = total.n + part.n
        distance = part.mean - total.mean
        total = Moments(
            n,
            total.mean + distance * part.n / n,
            total.m2 + part.m2 + distance * distance * total.n * part.n / n,
        )
    return total


def from_proto(message: results_pb2.Moments) -> Moments:
    """Moments of the first term, `y`. A message without entities gives `EMPTY`."""
    if message.n == 0:
        return EMPTY
    return Moments(message.n, message.means[0], message.comoments[0])


def to_proto(moments: Moments) -> results_pb2.Moments:
    """Give the message with the single term `y`."""
    return results_pb2.Moments(n=moments.n, terms=["y"], means=[moments.mean], comoments=[moments.m2])
