"""Frames in one SQLite file, a row each: position, time, counts, checksum, body.

Positions are the writer's, rise by one and are never used again. A commit is on the disk when
`append` returns. Format 2 of the file adds the positions that were lost and accepted.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING
from urllib.parse import quote

from klero.errors import StartupError
from klero.journal import frames
from klero.journal.lost import Lost

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import Self

    from klero.journal.frames import StoredFrame, Unreadable

FORMAT = 2
# Bodies are tens of kilobytes: larger pages mean fewer of them to chain and to write.
PAGE_BYTES = 16384

_FRAMES = """
CREATE TABLE frame (
    position INTEGER PRIMARY KEY,
    time_ms INTEGER NOT NULL,
    exposures INTEGER NOT NULL,
    outcomes INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT
"""
_LOST = """
CREATE TABLE lost (
    first INTEGER PRIMARY KEY,
    last INTEGER NOT NULL,
    why TEXT NOT NULL
) STRICT
"""
# What brings a file from the format before to this one.
_STEPS = {1: _FRAMES, 2: _LOST}


class SqliteJournal:
    """The frames in the file at `path`."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open the file; unless it is only read, make it if it is missing and bring it to this format.

        Args:
            path: Of the file.
            read_only: Change nothing; other processes may write meanwhile.

        Raises:
            StartupError: It cannot be opened, or a newer version of Klero wrote it.
        """
        try:
            if read_only:
                source = f"file:{quote(str(path))}?mode=ro"
                self._database = sqlite3.connect(source, uri=True, isolation_level=None, check_same_thread=False)
            else:
                self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
                self._database.execute(f"PRAGMA page_size = {PAGE_BYTES}")
                self._database.execute("PRAGMA journal_mode = WAL")
                self._database.execute("PRAGMA synchronous = FULL")
            (self._format,) = self._database.execute("PRAGMA user_version").fetchone()
            if self._format > FORMAT:
                raise StartupError(why=f"journal {path} has format {self._format}, this version reads up to {FORMAT}")
            if not read_only:
                self._upgrade()
        except sqlite3.Error as error:
            raise StartupError(why=f"journal {path} cannot be opened: {error}") from error

    def __enter__(self) -> Self:
        """Use the file."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the file."""
        self.close()

    def append(self, frame: StoredFrame) -> None:
        """Make `frame` durable.

        Raises:
            sqlite3.Error: The disk refused, and nothing is known to be stored.
        """
        self._database.execute(
            "INSERT INTO frame VALUES (?, ?, ?, ?, ?, ?)",
            (frame.position, frame.time_ms, frame.exposures, frame.outcomes, frame.crc, frame.body),
        )

    def frames(self, *, after: int = 0, until: int | None = None) -> Iterator[StoredFrame | Unreadable]:
        """Read what is behind position `after`, up to `until`, in order; see `klero.journal.frames.read`."""
        return frames.read(self._database, after=after, until=until)

    def accepted(self) -> list[Lost]:
        """Positions that were lost and accepted, in order; none if that itself is damaged, so that they show again."""
        if self._format < 2:  # noqa: PLR2004  # the format that brought the table
            return []
        try:
            rows = self._database.execute("SELECT first, last, why FROM lost ORDER BY first").fetchall()
        except sqlite3.DatabaseError as error:
            frames.damage(error)
            return []
        return [Lost(*row) for row in rows]

    def accept(self, lost: Iterable[Lost], whole: Iterable[StoredFrame]) -> None:
        """Fill an empty journal with the `whole` frames of another and what it has `lost`, all or nothing.

        Raises:
            sqlite3.Error: The disk refused.
        """
        self._database.execute("BEGIN IMMEDIATE")
        for frame in whole:
            self.append(frame)
        self._database.executemany(
            "INSERT INTO lost VALUES (?, ?, ?)", [(found.first, found.last, found.why) for found in lost]
        )
        self._database.execute("COMMIT")

    def merge_log(self) -> None:
        """Bring all that is durable from SQLite's write-ahead log into the file itself.

        Raises:
            sqlite3.Error: The disk refused, or another process reads the file.
        """
        (busy, _, _) = self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            message = "another process reads it"
            raise sqlite3.OperationalError(message)

    def end(self) -> int:
        """Highest position that was ever used; 0: none. A last page that cannot be read does not count."""
        lost = max((found.last or 0 for found in self.accepted()), default=0)
        return max(lost, frames.highest_position(self._database) or 0)

    def last_time_ms(self) -> int:
        """Time of the last frame, Unix milliseconds. 0: there is none, or it cannot be read."""
        highest = frames.highest_position(self._database) or 0
        for found in self.frames(after=highest - 1):
            if isinstance(found, frames.StoredFrame):
                return found.time_ms
        return 0

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _upgrade(self) -> None:
        if self._format == FORMAT:
            return
        self._database.execute("BEGIN IMMEDIATE")
        for step in range(self._format + 1, FORMAT + 1):
            self._database.execute(_STEPS[step])
        self._database.execute(f"PRAGMA user_version = {FORMAT}")
        self._database.execute("COMMIT")
        self._format = FORMAT
