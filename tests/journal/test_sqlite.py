"""Frames in one SQLite file."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from klero.errors import StartupError
from klero.journal.lost import Lost
from klero.journal.sqlite import FORMAT, SqliteJournal
from tests.journal.made import execute, frame, journal_of

if TYPE_CHECKING:
    from pathlib import Path

WRITER = """
import sys, pathlib
from klero.journal.sqlite import SqliteJournal
from tests.journal.made import frame
journal = SqliteJournal(pathlib.Path(sys.argv[1]))
for position in range(1, 10_000):
    journal.append(frame(position, padding=20_000))
    print(position, flush=True)
    if sys.stdin.readline() != "more\\n":
        break
journal.close()
"""
FORMAT_1 = """
CREATE TABLE frame (
    position INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, exposures INTEGER NOT NULL,
    outcomes INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL
) STRICT
"""


def old_journal(path: Path) -> Path:
    """A file as the first version wrote it, with one frame."""
    execute(path, FORMAT_1)
    execute(path, "PRAGMA user_version = 1")
    old = frame(1, frame_format=1)
    execute(
        path,
        "INSERT INTO frame VALUES (?, ?, ?, ?, ?, ?)",
        old.position,
        old.time_ms,
        old.exposures,
        old.outcomes,
        old.crc,
        old.body,
    )
    return path


def test_frames_come_back_in_order_after_a_restart(tmp_path: Path) -> None:
    """The tally is rebuilt from them and nothing else."""
    path = journal_of(tmp_path / "journal.db", [frame(1), frame(2), frame(3)])

    with SqliteJournal(path) as again:
        assert [frame(2), frame(3)] == list(again.frames(after=1))
        assert [frame(2)] == list(again.frames(after=1, until=2))
        assert (3, frame(3).time_ms) == (again.end(), again.last_time_ms())


def test_a_position_is_used_once(tmp_path: Path) -> None:
    """Positions name what an acknowledgement covered."""
    with SqliteJournal(tmp_path / "journal.db") as journal:
        journal.append(frame(1))

        with pytest.raises(sqlite3.IntegrityError):
            journal.append(frame(1))


def test_every_commit_is_synced(tmp_path: Path) -> None:
    """An acknowledged outcome survives power loss."""
    with SqliteJournal(tmp_path / "journal.db") as journal:
        (mode,) = journal._database.execute("PRAGMA journal_mode").fetchone()  # noqa: SLF001  # settings of this connection
        (synchronous,) = journal._database.execute("PRAGMA synchronous").fetchone()  # noqa: SLF001  # as above
    assert ("wal", 2) == (mode, synchronous)


def test_an_empty_journal_has_no_end(tmp_path: Path) -> None:
    """The first frame of all gets position 1."""
    with SqliteJournal(tmp_path / "journal.db") as journal:
        assert ([], 0, 0) == (list(journal.frames()), journal.end(), journal.last_time_ms())


def test_a_file_of_the_first_version_is_read_as_it_is_and_upgraded_by_a_server(tmp_path: Path) -> None:
    """Whoever upgrades keeps all outcomes, and can look before the upgrade without changing anything."""
    path = old_journal(tmp_path / "journal.db")
    with SqliteJournal(path, read_only=True) as journal:
        assert ([frame(1, frame_format=1)], []) == (list(journal.frames()), journal.accepted())

    with SqliteJournal(path) as journal:
        journal.append(frame(2))
    with SqliteJournal(path) as journal:
        assert [1, 2] == [found.position for found in journal.frames()]
        assert [] == journal.accepted()
    with closing(sqlite3.connect(path)) as database:
        assert (FORMAT,) == database.execute("PRAGMA user_version").fetchone()


def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    """An older Klero must not write frames between newer ones."""
    path = journal_of(tmp_path / "journal.db", [])
    execute(path, f"PRAGMA user_version = {FORMAT + 1}")

    for read_only in (True, False):
        with pytest.raises(StartupError, match=f"has format {FORMAT + 1}, this version reads up to {FORMAT}"):
            SqliteJournal(path, read_only=read_only)


def test_what_is_only_read_is_not_made(tmp_path: Path) -> None:
    """A mistyped directory is named, and no empty journal appears in it."""
    with pytest.raises(StartupError, match="cannot be opened"):
        SqliteJournal(tmp_path / "journal.db", read_only=True)
    assert [] == list(tmp_path.iterdir())


def test_a_reader_sees_whole_frames_beside_a_writing_process(tmp_path: Path) -> None:
    """Exports and checks run beside a server, and neither disturbs the other."""
    path = tmp_path / "journal.db"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        assert "1\n" == writer.stdout.readline()
        with SqliteJournal(path, read_only=True) as reader:
            for position in range(2, 20):
                writer.stdin.write("more\n")
                writer.stdin.flush()
                assert f"{position}\n" == writer.stdout.readline()
                assert list(range(1, position + 1)) == [found.position for found in reader.frames()]
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                reader.append(frame(100))
        writer.stdin.write("end\n")
        writer.stdin.flush()
        assert writer.wait(10) == 0


def test_accepted_positions_are_remembered_and_never_used_again(tmp_path: Path) -> None:
    """Whoever was told a position must not find another frame there."""
    path = tmp_path / "journal.db"
    lost = [Lost(2, 3, "missing"), Lost(5, 9, "missing")]
    with SqliteJournal(path) as journal:
        journal.accept(lost, [frame(1), frame(4)])
    with SqliteJournal(path) as journal:
        assert (lost, 9) == (journal.accepted(), journal.end())
