"""Frames in one SQLite file, a row each: position, time, counts, checksum, body.

Positions are the writer's, rise by one and are never used again. A commit is on the disk when
`append` returns.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from klero.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORMAT = 1
# Bodies are tens of kilobytes: larger pages mean fewer of them to chain and to write.
PAGE_BYTES = 16384

_SCHEMA = """
CREATE TABLE frame (
    position INTEGER PRIMARY KEY,
    time_ms INTEGER NOT NULL,
    exposures INTEGER NOT NULL,
    outcomes INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT
"""


@dataclass(frozen=True, slots=True)
class StoredFrame:
    """One group commit as it lies on the disk."""

    position: int
    """From 1."""

    time_ms: int
    """Unix milliseconds; never below that of the position before."""

    exposures: int
    """Rows of exposures in it."""

    outcomes: int
    """Rows of outcomes in it."""

    crc: int
    """CRC-32 of `body`."""

    body: bytes
    """Encoded `klero.storage.v1.JournalFrame`."""


class SqliteJournal:
    """The frames in the file at `path`, made if it is missing."""

    def __init__(self, path: Path) -> None:
        """Open or make the file.

        Raises:
            StartupError: It cannot be opened, or a newer version of Klero wrote it.
        """
        try:
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._database.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            (version,) = self._database.execute("PRAGMA user_version").fetchone()
            if version > FORMAT:
                raise StartupError(why=f"journal {path} has format {version}, this version reads up to {FORMAT}")
            if version == 0:
                self._database.execute("BEGIN IMMEDIATE")
                self._database.execute(_SCHEMA)
                self._database.execute(f"PRAGMA user_version = {FORMAT}")
                self._database.execute("COMMIT")
        except sqlite3.Error as error:
            raise StartupError(why=f"journal {path} cannot be opened: {error}") from error

    def append(self, frame: StoredFrame) -> None:
        """Make `frame` durable.

        Raises:
            sqlite3.Error: The disk refused, and nothing is known to be stored.
        """
        self._database.execute(
            "INSERT INTO frame VALUES (?, ?, ?, ?, ?, ?)",
            (frame.position, frame.time_ms, frame.exposures, frame.outcomes, frame.crc, frame.body),
        )

    def frames(self, *, after: int) -> Iterator[StoredFrame]:
        """Read the frames behind position `after`, in order."""
        for row in self._database.execute("SELECT * FROM frame WHERE position > ? ORDER BY position", (after,)):
            yield StoredFrame(*row)

    def close(self) -> None:
        """Close the file."""
        self._database.close()
