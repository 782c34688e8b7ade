"""Reading frames, also from a file with damaged pages.

The normal road is one cursor. Where it meets a page that cannot be read, the positions behind are
tried one by one until one can, so that every frame outside of damaged pages is found.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# Positions tried behind the last readable frame if the file cannot say where it ends: more than fit
# on one page.
PROBES = 1024
# Primary result codes of SQLite that mean damage; others, such as a lock, pass.
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR})
_PRIMARY = 0xFF
# Of the columns of a frame.
_TYPES = [int, int, int, int, int, bytes]


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


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A position on a damaged page."""

    position: int
    """From 1."""

    open_end: bool
    """Whether it stands for all behind it, because the end of the journal cannot be read either."""

    why: str
    """What SQLite says."""


def read(database: sqlite3.Connection, *, after: int, until: int | None = None) -> Iterator[StoredFrame | Unreadable]:
    """Read what is behind position `after`, up to `until`, in order. Nothing is verified.

    Raises:
        sqlite3.Error: The database cannot be read for another reason than damage.
    """
    position = after
    while True:
        found_damage = ""
        try:
            for row in database.execute("SELECT * FROM frame WHERE position > ? ORDER BY position", (position,)):
                found = _stored(row)
                if until is not None and found.position > until:
                    return
                # A damaged page may make a position up, and nothing may be passed over because of it.
                if position < found.position <= position + PROBES:
                    position = found.position
                yield found
        except sqlite3.DatabaseError as error:
            found_damage = damage(error)
        if not found_damage:
            return
        for found in _one_by_one(database, after=position, until=until):
            yield found
            if isinstance(found, StoredFrame):
                position = found.position
                break
        else:
            return


def highest_position(database: sqlite3.Connection) -> int | None:
    """Position of the last frame, 0 without any; None if it is on a damaged page.

    Raises:
        sqlite3.Error: The database cannot be read for another reason than damage.
    """
    try:
        (highest,) = database.execute("SELECT max(position) FROM frame").fetchone()
    except sqlite3.DatabaseError as error:
        damage(error)
        return None
    return highest or 0


def _one_by_one(database: sqlite3.Connection, *, after: int, until: int | None) -> Iterator[StoredFrame | Unreadable]:
    highest = highest_position(database)
    end = after + PROBES if highest is None else highest
    for position in range(after + 1, (end if until is None else min(end, until)) + 1):
        try:
            row = database.execute("SELECT * FROM frame WHERE position = ?", (position,)).fetchone()
        except sqlite3.DatabaseError as error:
            yield Unreadable(position, open_end=highest is None, why=damage(error))
        else:
            if row is not None:
                yield _stored(row)


def _stored(row: tuple[Any, ...]) -> StoredFrame | Unreadable:
    """The frame of a row; a damaged page may hold anything, also other types than the table allows."""
    if [type(cell) for cell in row] == _TYPES:
        return StoredFrame(*row)
    return Unreadable(row[0], open_end=False, why="the row holds other types")


def damage(error: sqlite3.DatabaseError) -> str:
    """What is damaged, in SQLite's words.

    Raises:
        sqlite3.DatabaseError: `error` itself, if it means anything else.
    """
    # Errors of the module itself, such as a closed connection, have no code.
    if getattr(error, "sqlite_errorcode", 0) & _PRIMARY not in _DAMAGE:
        raise error
    return str(error)
