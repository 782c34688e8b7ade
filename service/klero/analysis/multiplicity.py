"""Correction for several comparisons."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """P-values adjusted so that the chance of any false claim in the family is bounded.

    Args:
        p_values: One per comparison of the family, in any order. None: not computed; it counts
            in the family's size and stays None.

    Source: Holm (1979).

    """
    known = sorted((p_value, index) for index, p_value in enumerate(p_values) if p_value is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p_value, index) in enumerate(known):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_value))
        adjusted[index] = largest
    return adjusted


def benjamini_hochberg(p_values: Sequence[float | None]) -> list[float | None]:
    """P-values adjusted so that the expected share of false claims among all claims is bounded.

    Args:
        p_values: As for `holm`.

    Source: Benjamini and Hochberg (1995).

    """
    known = sorted(((p_value, index) for index, p_value in enumerate(p_values) if p_value is not None), reverse=True)
    adjusted: list[float | None] = [None] * len(p_values)
    smallest = 1.0
    for above, (p_value, index) in enumerate(known):
        smallest = min(smallest, len(p_values) / (len(known) - above) * p_value)
        adjusted[index] = smallest
    return adjusted
