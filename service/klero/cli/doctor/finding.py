"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """Works, and probably not as meant."""

    FAILED = "failed"
    """Does not work, or loses data."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the answer."""

    check: str
    """What was looked at, in a word or two."""

    state: State

    sentence: str
    """What was found."""

    advice: str = ""
    """What to do. Empty: nothing."""
