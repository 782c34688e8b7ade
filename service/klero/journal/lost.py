"""Positions whose frames are gone: as ranges, in words, and without those that were accepted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SHOWN = 20
"""Ranges that a message names."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Neighbouring positions without a frame that can be used."""

    first: int
    """From 1."""

    last: int | None
    """The last one of them. None: the end of the journal cannot be read, so this and all behind it."""

    why: str
    """What was found there."""

    def __str__(self) -> str:
        """Show the positions: `7`, `7-9`, `7 and all behind`."""
        if self.last is None:
            return f"{self.first} and all behind"
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


def described(lost: Iterable[Lost]) -> str:
    """Positions and reasons in one line: `2 (checksum does not match), 5-7 (missing)`."""
    ranges = list(lost)
    named = ", ".join(f"{found} ({found.why})" for found in ranges[:SHOWN])
    more = len(ranges) - SHOWN
    return f"{named} and {more} more ranges" if more > 0 else named


def without(found: Lost, accepted: Iterable[Lost]) -> list[Lost]:
    """What is left of `found` when the positions of `accepted`, in order, are taken out."""
    left: list[Lost] = []
    first = found.first
    for known in accepted:
        if known.last is None or known.last < first:
            continue
        if found.last is not None and known.first > found.last:
            break
        if known.first > first:
            left.append(Lost(first, known.first - 1, found.why))
        first = known.last + 1
    if found.last is None or first <= found.last:
        left.append(Lost(first, found.last, found.why))
    return left
