"""Asymptotic confidence sequences: intervals and p-values that hold at every look.

Robbins' normal mixture with variance estimated from the data. Of the sums that can be monitored it
needs the number of entities and the present standard error only.
Source: Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas (arXiv 2103.06476), equation 9; the same bound
as Howard, Ramdas, McAuliffe, Sekhon (arXiv 1810.08240), equation 14.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MIN_ENTITIES = 100
"""Entities per variant from which the asymptotic bound is used."""

MIN_OF_EACH_KIND = 25
"""Entities per variant that convert, and that do not, from which it is used for rates."""

DEFAULT_PLANNED_ENTITIES = 5000
"""Entities at which sequences are tightest when nothing is planned; no choice makes them invalid."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """Reference for an estimate from `entities` entities, tightest at the planned number of them."""

    entities: int
    """Entities behind the estimate, at least 1."""

    rate: float
    """Squared mixing parameter rho; see `mixing_rate`. Fixed before the data."""

    degrees_of_freedom: None = None
    always_valid: bool = True
    method: str = "confidence_sequence"

    def p_value(self, statistic: float) -> float:
        """Always-valid p-value: at most alpha exactly when |statistic| reaches `multiplier(alpha)`."""
        growth = self.entities * self.rate
        exponent = -growth * statistic * statistic / (2 * (growth + 1))
        return min(1.0, math.sqrt(growth + 1) * math.exp(exponent))

    def multiplier(self, alpha: float) -> float:
        """Half width of the sequence of level 1 - `alpha` in standard errors."""
        growth = self.entities * self.rate
        return math.sqrt((growth + 1) / growth * math.log((growth + 1) / (alpha * alpha)))


def mixing_rate(alpha: float, planned_entities: int) -> float:
    """Squared mixing parameter that makes the sequence of level 1 - `alpha` tight at the plan.

    Args:
        alpha: Above 0, below 1.
        planned_entities: At least 1, fixed before the data.

    """
    return (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / planned_entities
