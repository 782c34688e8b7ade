"""Numbers that know how they were written, so that messages quote what stands in the file.

`1e3` where text is wanted must be answered with `"1e3"`, not with `"1000.0"`.
"""

from __future__ import annotations

_LONGEST_INTEGER = 400


class WrittenInt(int):
    """A whole number and its spelling."""

    written: str


class WrittenFloat(float):
    """A number and its spelling."""

    written: str


def written_int(text: str) -> int | float:
    """The number that `text` spells in decimal; one of hundreds of digits as a float, for its field to refuse."""
    if len(text) > _LONGEST_INTEGER:
        return written_float(text)
    number = WrittenInt(text)
    number.written = text
    return number


def written_float(text: str) -> float:
    """The number that `text` spells."""
    number = WrittenFloat(text)
    number.written = text
    return number


def spelling(number: float) -> str:
    """How a number was written; if it was computed, how Python writes it."""
    return str(getattr(number, "written", repr(number)))
