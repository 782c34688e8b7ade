"""From the disk to a tally: checkpoints, then the frames behind them, while every frame is verified."""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING

from klero.errors import StartupError
from klero.journal.checking import checked
from klero.journal.lost import Lost, described

if TYPE_CHECKING:
    from collections.abc import Callable

    from klero.engine import Engine
    from klero.journal.checkpoints import Checkpoints
    from klero.journal.sqlite import SqliteJournal

# A few seconds of reading.
_LOG_EVERY = 1 << 14

log = logging.getLogger(__name__)


def replay(
    engine: Engine,
    journal: SqliteJournal,
    checkpoints: Checkpoints,
    *,
    folded: Callable[[int], None],
    cancelled: Callable[[], bool],
) -> bool:
    """Bring an empty `engine` to the end of `journal`; returns whether it is there.

    Args:
        engine: That has folded nothing yet.
        journal: Where from.
        checkpoints: What need not be folded again.
        folded: Called for each frame that was, with the length of its body.
        cancelled: Whether to give up between two frames.

    Raises:
        StartupError: Frames are damaged or missing, or cannot be folded; names them.
    """
    restored = engine.restore(checkpoints.read(engine.checkpoint_parts))
    for unusable in restored.unusable:
        log.warning("a checkpoint cannot be used, its frames are folded again: %s", unusable)
    lost: list[Lost] = []
    end = journal.end()
    try:
        for found in checked(journal.frames(), accepted=journal.accepted(), known_until=checkpoints.last_position()):
            if cancelled():
                return False
            if isinstance(found, Lost):
                lost.append(found)
            elif found.position > restored.position and not lost:
                _fold(engine, found.position, found.crc, found.body)
                folded(len(found.body))
            if not isinstance(found, Lost) and found.position % _LOG_EVERY == 0:
                log.info("reading the journal: position %d of %d", found.position, end)
    except sqlite3.Error as error:
        raise StartupError(why=f"the journal cannot be read: {error}") from error
    if lost:
        noun = "frame" if len(lost) == 1 and lost[0].first == lost[0].last else "frames"
        raise StartupError(
            why=f"journal {noun} {described(lost)} cannot be read; `klero serve --accept-loss` goes on without, "
            "and keeps the damaged file"
        )
    return True


def _fold(engine: Engine, position: int, crc: int, body: bytes) -> None:
    try:
        engine.replay(position=position, crc=crc, body=body)
    except ValueError as error:
        raise StartupError(why=f"journal frame {position} cannot be read: {error}") from error
