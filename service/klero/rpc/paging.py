"""How many items one page of a list has."""

from __future__ import annotations

from klero.errors import FieldViolation

_DEFAULT = 100
_MOST = 1000


def page_size_faults(requested: int) -> list[FieldViolation]:
    """What is wrong with `page_size` of a request."""
    if 0 <= requested <= _MOST:
        return []
    return [FieldViolation("pageSize", f"{requested} must be from 0 to {_MOST}")]


def page_size(requested: int) -> int:
    """Items of a page, for a size without faults; 0 asks for the default."""
    return requested or _DEFAULT
