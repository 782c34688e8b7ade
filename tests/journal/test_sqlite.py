"""Frames in one SQLite file."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from klero.errors import StartupError
from klero.journal.sqlite import SqliteJournal, StoredFrame

if TYPE_CHECKING:
    from pathlib import Path


def frame(position: int) -> StoredFrame:
    """Some frame."""
    return StoredFrame(position=position, time_ms=1000 + position, exposures=1, outcomes=2, crc=3, body=b"body")


def test_frames_come_back_in_order_after_a_restart(tmp_path: Path) -> None:
    """The tally is rebuilt from them and nothing else."""
    journal = SqliteJournal(tmp_path / "journal.db")
    for position in (1, 2, 3):
        journal.append(frame(position))
    journal.close()
    again = SqliteJournal(tmp_path / "journal.db")

    assert [frame(2), frame(3)] == list(again.frames(after=1))
    again.close()


def test_a_position_is_used_once(tmp_path: Path) -> None:
    """Positions name what an acknowledgement covered."""
    journal = SqliteJournal(tmp_path / "journal.db")
    journal.append(frame(1))

    with pytest.raises(sqlite3.IntegrityError):
        journal.append(frame(1))
    journal.close()


def test_every_commit_is_synced(tmp_path: Path) -> None:
    """An acknowledged outcome survives power loss."""
    journal = SqliteJournal(tmp_path / "journal.db")

    (mode,) = journal._database.execute("PRAGMA journal_mode").fetchone()  # noqa: SLF001  # settings of this connection
    (synchronous,) = journal._database.execute("PRAGMA synchronous").fetchone()  # noqa: SLF001  # as above
    assert ("wal", 2) == (mode, synchronous)
    journal.close()


def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    """An older Klero must not write frames between newer ones."""
    path = tmp_path / "journal.db"
    SqliteJournal(path).close()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 2")
    database.close()

    with pytest.raises(StartupError, match="format 2"):
        SqliteJournal(path)
