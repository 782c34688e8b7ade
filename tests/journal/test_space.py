"""When a disk counts as full."""

from __future__ import annotations

from pathlib import Path

import pytest

from klero.journal.space import SpaceGuard, free_and_total, reserve
from tests.journal.fake_engine import FakeEngine

MIB = 1 << 20
GIB = 1 << 30


@pytest.mark.parametrize(
    ("total", "kept"),
    [
        (0, 0),
        (20 * MIB, 5 * MIB),
        (64 * MIB, 16 * MIB),
        (200 * MIB, 16 * MIB),
        (GIB, GIB // 20),
        (2 * GIB, 64 * MIB),
        (1000 * GIB, 64 * MIB),
    ],
)
def test_what_stays_free_fits_the_disk(total: int, kept: int) -> None:
    """Room for the largest frames on a usual one, and some use of a tiny one."""
    assert kept == reserve(total)


class Watched:
    """A guard of a disk of 1 GiB whose free space and clock the test sets."""

    def __init__(self, free_mib: int) -> None:
        """Begin with so much room."""
        self.free_mib = free_mib
        self.now_s = 0.0
        self.fails = False
        self.engine = FakeEngine()
        self.guard = SpaceGuard(
            Path("/data"), engine=self.engine.engine, space=self._space, monotonic=lambda: self.now_s
        )

    def held(self, free_mib: int, *, later_s: float = 1.0) -> bool:
        """Look later, with so much room; whether Record is held."""
        self.free_mib = free_mib
        self.now_s += later_s
        self.guard.look()
        return self.engine.held[-1]

    def _space(self, _path: Path) -> tuple[int, int]:
        if self.fails:
            raise OSError
        return self.free_mib * MIB, GIB


def test_it_holds_until_the_first_look() -> None:
    """A server that starts on a full disk never takes what it cannot store."""
    watched = Watched(1000)
    assert [True] == watched.engine.held

    assert not watched.held(1000, later_s=0)


def test_it_holds_below_the_reserve_and_releases_well_above(caplog: pytest.LogCaptureFixture) -> None:
    """51.2 MiB are kept of 1 GiB, 64 MiB release: no flutter at the edge."""
    watched = Watched(1000)
    found = [watched.held(free) for free in (52, 51, 52, 63, 64, 52, 51)]

    assert [False, True, True, True, False, False, True] == found
    assert [True, False, True, False, True] == watched.engine.held
    assert "Record is refused: /data has 51 MiB left and 51 MiB are kept free; decisions go on" in caplog.text
    assert "Record is taken again: /data has 64 MiB left" in caplog.text


def test_a_full_disk_at_the_start_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing changes for callers, who are held already; the operator must know why."""
    assert Watched(1).held(1)
    assert "Record is refused" in caplog.text


def test_it_looks_once_a_second() -> None:
    """Thousands of commits a second must not ask the kernel each."""
    watched = Watched(1000)
    assert not watched.held(1000)

    assert not watched.held(1, later_s=0.9)
    assert watched.held(1, later_s=0.1)


def test_a_disk_that_cannot_be_asked_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The writer lives on."""
    watched = Watched(1000)
    assert not watched.held(1000)
    watched.fails = True

    assert not watched.held(1)
    assert "the free space of /data cannot be read" in caplog.text


def test_the_kernel_is_asked(tmp_path: Path) -> None:
    """Free is part of all."""
    free, total = free_and_total(tmp_path)

    assert 0 < free <= total
