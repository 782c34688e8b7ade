"""Times as people read them, and round ones to write beside an axis. Everything is UTC."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from klero.report.scale import Scale

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400
_QUARTER_S = 91 * _DAY_S
_STEPS_S = (
    *(1, 2, 5, 10, 30),
    *(_MINUTE_S * minutes for minutes in (1, 2, 5, 10, 30)),
    *(_HOUR_S * hours for hours in (1, 3, 6, 12)),
    *(_DAY_S * days for days in (1, 2, 7, 14, 28)),
    *(_QUARTER_S * quarters for quarters in (1, 2, 4)),
)


def time_text(at: Timestamp) -> str:
    """`2026-11-24 18:19:16`."""
    return f"{_datetime(seconds(at)):%Y-%m-%d %H:%M:%S}"


def seconds(at: Timestamp) -> float:
    """Seconds since 1970, as plots count time."""
    return at.ToNanoseconds() / 1e9


def time_ticks(scale: Scale, most: int) -> list[tuple[float, str]]:
    """Round times on an axis of seconds since 1970, about `most` of them, each with its label."""
    rough = (scale.highest - scale.lowest) / most
    longest = _STEPS_S[-1]
    step = next((step for step in _STEPS_S if step >= rough), longest * math.ceil(rough / longest))
    first, last = math.ceil(scale.lowest / step), math.floor(scale.highest / step)
    return [(index * step, _label(index * step, step)) for index in range(first, last + 1)]


def _label(at_s: float, step_s: int) -> str:
    """A time of day between midnights, a date on them."""
    at = _datetime(at_s)
    if at_s % _DAY_S == 0:
        return f"{at.day} {at:%b}" if step_s < _QUARTER_S else f"{at:%b %Y}"
    return f"{at:%H:%M}" if step_s >= _MINUTE_S else f"{at:%H:%M:%S}"


def _datetime(at_s: float) -> datetime:
    return datetime.fromtimestamp(at_s, UTC)
