"""Tail probabilities and quantiles of the normal and Student's distribution.

The only importer of scipy. Tails come from functions that keep their relative precision far out,
never from 1 - cdf, which is exactly 0 beyond about 8 standard errors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from scipy.special import chdtrc, ndtri, stdtr, stdtrit


class Reference(Protocol):
    """What an estimate divided by its standard error is held against."""

    @property
    def degrees_of_freedom(self) -> float | None:
        """Student's; None: not a Student distribution."""

    @property
    def always_valid(self) -> bool:
        """Whether p-values and intervals hold at every look."""

    @property
    def method(self) -> str:
        """Name of the interval: `ConfidenceInterval.method`."""

    def p_value(self, statistic: float) -> float:
        """Two-sided p-value of an estimate that is `statistic` standard errors from 0."""

    def multiplier(self, alpha: float) -> float:
        """Half width in standard errors of the interval of level 1 - `alpha`."""


@dataclass(frozen=True, slots=True)
class Normal:
    """Standard normal distribution, for large samples looked at once."""

    degrees_of_freedom: None = None
    always_valid: bool = False
    method: str = "z"

    def p_value(self, statistic: float) -> float:
        """Two-sided p-value; keeps its precision down to 1e-300."""
        return math.erfc(abs(statistic) / math.sqrt(2))

    def multiplier(self, alpha: float) -> float:
        """Quantile 1 - `alpha` / 2."""
        return -float(ndtri(alpha / 2))


@dataclass(frozen=True, slots=True)
class Student:
    """Student's distribution, for means looked at once."""

    degrees_of_freedom: float
    always_valid: bool = False
    method: str = "t"

    def p_value(self, statistic: float) -> float:
        """Two-sided p-value."""
        return 2 * float(stdtr(self.degrees_of_freedom, -abs(statistic)))

    def multiplier(self, alpha: float) -> float:
        """Quantile 1 - `alpha` / 2."""
        return -float(stdtrit(self.degrees_of_freedom, alpha / 2))


def normal_quantile(probability: float) -> float:
    """Value that a standard normal variable stays below with `probability`."""
    return float(ndtri(probability))


def chi_squared_p_value(statistic: float, degrees_of_freedom: int) -> float:
    """Probability that a chi-squared variable is above `statistic`, which is at least 0."""
    return float(chdtrc(degrees_of_freedom, statistic))
