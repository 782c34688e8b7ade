"""What a cell of an imported file means: an id, a number, a time."""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import math

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_SHOWN = 60


def shown(cell: object) -> str:
    """A cell as messages quote it, in part if it is long."""
    text = str(cell)
    return f"`{text[:_SHOWN]}{'...' if len(text) > _SHOWN else ''}`"


def as_text(cell: object) -> str:
    """An id or the name of a variant; empty if there is none."""
    if isinstance(cell, str):
        return cell
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    # Columns of whole numbers with gaps are often stored as doubles.
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def as_number(cell: object) -> float | None:
    """A value; None if there is none.

    Raises:
        ValueError: It is no finite number; says what is wrong.
    """
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return None
    number = math.nan
    if isinstance(cell, str | int | float | decimal.Decimal):
        with contextlib.suppress(ValueError, OverflowError):
            number = float(cell)
    # Python reads `1_000`, and nobody else does.
    if math.isfinite(number) and not (isinstance(cell, str) and "_" in cell):
        return number
    hint = ", write decimals with a point and thousands without a comma" if "," in str(cell) else ""
    message = f"{shown(cell)} is no finite number{hint}"
    raise ValueError(message)


def as_time_ns(cell: object) -> int:
    """Unix nanoseconds of a time; one without an offset is UTC.

    Raises:
        ValueError: It is no time; says what is wrong.
    """
    found = _moment(cell)
    if found is None:
        message = f"{shown(cell)} is no time, write it as 2026-01-31T09:00:00Z"
        raise ValueError(message)
    since = (found if found.tzinfo else found.replace(tzinfo=dt.UTC)) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000


def _moment(cell: object) -> dt.datetime | None:
    if isinstance(cell, str):
        try:
            return dt.datetime.fromisoformat(cell.strip())
        except ValueError:
            return None
    if isinstance(cell, dt.datetime):
        return cell
    return dt.datetime.combine(cell, dt.time()) if isinstance(cell, dt.date) else None
