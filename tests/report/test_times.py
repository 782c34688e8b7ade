"""Times in reports are UTC and round where an axis has room for few."""

from __future__ import annotations

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from klero.report.scale import Scale
from klero.report.times import time_text, time_ticks
from tests.report.made import BEGIN_S

MIDNIGHT_S = 1_789_948_800
"""2026-09-21 00:00:00 UTC, as `date -u -d @1789948800` says."""


def test_a_time_is_written_to_the_second() -> None:
    """Looks of a young experiment are seconds apart."""
    assert "2026-09-21 14:13:20" == time_text(Timestamp(seconds=BEGIN_S, nanos=999_000_000))


@pytest.mark.parametrize(
    ("seconds", "labels"),
    [
        (3, ["21 Sep", "00:00:01", "00:00:02", "00:00:03"]),
        (3600, ["21 Sep", "00:30", "01:00"]),
        (86_400, ["21 Sep", "06:00", "12:00", "18:00", "22 Sep"]),
        (4 * 86_400, ["21 Sep", "22 Sep", "23 Sep", "24 Sep", "25 Sep"]),
        (364 * 86_400, ["Oct 2026", "Jan 2027", "Apr 2027", "Jul 2027"]),
        (5 * 364 * 86_400, ["Oct 2027", "Oct 2029"]),
    ],
)
def test_ticks_are_round_times(seconds: int, labels: list[str]) -> None:
    """From the first minute of an experiment to its last year, midnights are dates."""
    scale = Scale(MIDNIGHT_S, MIDNIGHT_S + seconds)

    assert labels == [label for _, label in time_ticks(scale, 4)]
