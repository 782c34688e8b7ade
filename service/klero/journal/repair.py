"""Going on without lost frames: every whole one is copied into a fresh file, the damaged file is kept.

Checkpoints stay. They were made when the frames were whole, so what they have counted of a lost frame
is still counted after it; only a start without them, and the export, lack it.
"""

from __future__ import annotations

import os
import sqlite3
from heapq import merge
from typing import TYPE_CHECKING

from klero.errors import StartupError
from klero.journal.checking import checked
from klero.journal.frames import StoredFrame
from klero.journal.lost import Lost, without
from klero.journal.salvage import salvage
from klero.journal.sqlite import SqliteJournal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

# Positions given up where the end cannot be read: more than one can think were used.
_OPEN_END = 1 << 20


def accept_loss(path: Path, *, known_until: int, now: datetime) -> tuple[Lost, ...]:
    """Make the journal at `path` whole without what is lost; returns that, nothing if it was whole.

    Positions of the other frames stay. The damaged file becomes `<name>.damaged-<time>` beside it.

    Args:
        path: Of a journal that no other process uses.
        known_until: A position that is known to have been used, at the least.
        now: UTC, for the name.

    Raises:
        StartupError: It cannot be opened, or the disk refuses; then nothing has changed.
    """
    if not path.exists():
        return ()
    with SqliteJournal(path) as damaged:
        try:
            accepted = damaged.accepted()
            found = checked(damaged.frames(), accepted=accepted, known_until=known_until)
            unread = [item for item in found if isinstance(item, Lost)]
            if not unread:
                return ()
            # All of it into the file: what is hidden there is looked for in the file's pages.
            damaged.merge_log()
            hidden = [frame.position for frame in _hidden(path, unread)]
            lost = tuple(_closed(left) for item in unread for left in without(item, _alone(hidden)))
            _copy(damaged, path, unread, lost)
        except (sqlite3.Error, OSError) as error:
            raise StartupError(why=f"journal {path} cannot be made whole: {error}") from error
    _exchange(path, now)
    return lost


def _hidden(path: Path, unread: list[Lost]) -> Iterator[StoredFrame]:
    """Whole frames at positions that SQLite cannot read."""

    def wanted(position: int) -> bool:
        return any(lost.first <= position and (lost.last is None or position <= lost.last) for lost in unread)

    return salvage(path, wanted=wanted)


def _alone(positions: list[int]) -> list[Lost]:
    return [Lost(position, position, "") for position in positions]


def _closed(found: Lost) -> Lost:
    return Lost(found.first, found.first + _OPEN_END - 1, found.why) if found.last is None else found


def _fresh(path: Path) -> Path:
    return path.with_name(f"{path.name}.fresh")


def _copy(damaged: SqliteJournal, path: Path, unread: list[Lost], lost: tuple[Lost, ...]) -> None:
    fresh = _fresh(path)
    for left_over in (fresh, fresh.with_name(f"{fresh.name}-wal"), fresh.with_name(f"{fresh.name}-shm")):
        left_over.unlink(missing_ok=True)
    with SqliteJournal(fresh) as whole:
        readable = (item for item in checked(damaged.frames(), accepted=()) if isinstance(item, StoredFrame))
        frames = merge(readable, _hidden(path, unread), key=lambda frame: frame.position)
        whole.accept([*damaged.accepted(), *lost], frames)
        whole.merge_log()


def _exchange(path: Path, now: datetime) -> None:
    """The damaged file gets its second name first, so that there is a journal at every moment."""
    try:
        os.link(path, path.with_name(f"{path.name}.damaged-{now:%Y%m%dT%H%M%SZ}"))
        _fresh(path).replace(path)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise StartupError(why=f"journal {path} cannot be moved aside: {error.strerror}") from error
