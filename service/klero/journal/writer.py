"""The one thread that appends to the journal.

It takes everything that waits, makes it durable as one frame, has it folded, and hands over the
answers of the calls that waited. A disk that refuses stops it for good: what a disk did not take
cannot be told from what it did, so nothing is tried again before a restart has read it.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from typing import TYPE_CHECKING

from klero.errors import JournalUnavailableError
from klero.journal.frames import StoredFrame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from klero.engine import Engine
    from klero.errors import KleroError
    from klero.journal.space import SpaceGuard
    from klero.journal.sqlite import SqliteJournal

log = logging.getLogger(__name__)


class JournalWriter(threading.Thread):
    """Appends until the queue is closed and empty, or the disk refuses."""

    def __init__(  # noqa: PLR0913  # its collaborators
        self,
        engine: Engine,
        journal: SqliteJournal,
        *,
        deliver: Callable[[Sequence[tuple[int, bytes | KleroError]]], None],
        folded: Callable[[int], None],
        guard: SpaceGuard,
        clock: Callable[[], int],
    ) -> None:
        """Name the collaborators.

        Args:
            engine: Whose queue is written; has folded everything that the journal has.
            journal: Where to.
            deliver: Gets the answer of every ticket of a frame once, from this thread.
            folded: Called after each frame with the length of its body.
            guard: Asked after each frame, and each second without one.
            clock: Gives Unix milliseconds.
        """
        super().__init__(name="journal-writer")
        self._engine = engine
        self._journal = journal
        self._deliver = deliver
        self._folded = folded
        self._guard = guard
        self._clock = clock

    def run(self) -> None:
        """Write frame after frame."""
        self._guard.look()
        position = self._journal.end()
        while (frame := self._engine.take_frame(idle=self._idle)) is not None:
            position += 1
            try:
                self._journal.append(
                    StoredFrame(
                        position=position,
                        time_ms=frame.time_ms,
                        exposures=frame.exposures,
                        outcomes=frame.outcomes,
                        crc=frame.crc,
                        body=frame.body,
                    )
                )
            except sqlite3.Error:
                log.exception("the journal stops: the disk refused frame %d", position)
                self._deliver([(ticket, JournalUnavailableError()) for ticket in self._engine.fail(frame)])
                return
            self._deliver(self._engine.commit(frame, position))
            if self._engine.fault is not None:
                log.critical("the journal stops: frame %d cannot be folded: %s", position, self._engine.fault)
                return
            self._folded(len(frame.body))
            self._guard.look()

    def _idle(self) -> None:
        """Time goes on where nothing comes: windows close by it."""
        self._engine.tick(self._clock())
        self._guard.look()
