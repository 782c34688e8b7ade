"""The thread that writes checkpoints, one part after the other, while the writer goes on."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from klero.engine import Engine
    from klero.journal.checkpoints import Checkpoints

ROTATION_BYTES = 64 << 20
"""Bodies of frames since the last rotation began after which the next one is due."""
ROTATION_FRAMES = 1 << 14
"""Frames after which it is due, however small."""
# Commits wait for the encoding of a part, so they get their turn before the next one.
_PAUSE_S = 0.05

log = logging.getLogger(__name__)


class Checkpointer(threading.Thread):
    """Writes all parts when enough has come, and once more at the end if anything has."""

    def __init__(
        self,
        engine: Engine,
        checkpoints: Checkpoints,
        *,
        rotation_bytes: int = ROTATION_BYTES,
        rotation_frames: int = ROTATION_FRAMES,
    ) -> None:
        """Name the collaborators and how much may come between two rotations."""
        super().__init__(name="checkpointer")
        self._engine = engine
        self._checkpoints = checkpoints
        self._rotation_bytes = rotation_bytes
        self._rotation_frames = rotation_frames
        self._changed = threading.Condition()
        self._frames = 0
        self._bytes = 0
        self._closed = False

    def folded(self, body_bytes: int) -> None:
        """Count a frame; from any thread."""
        with self._changed:
            self._frames += 1
            self._bytes += body_bytes
            if self._due():
                self._changed.notify()

    def close(self) -> None:
        """Write what has come since the last rotation, and end the thread if it was started."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self.ident is not None:
            self.join()

    def run(self) -> None:
        """Rotate whenever it is due, and at the end."""
        closed = False
        while not closed:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._due())
                closed, frames = self._closed, self._frames
                self._frames = self._bytes = 0
            if frames:
                self._rotate()

    def _due(self) -> bool:
        return self._bytes >= self._rotation_bytes or self._frames >= self._rotation_frames

    def _rotate(self) -> None:
        """Part 0 first: it has what the others refer to."""
        try:
            for part in range(self._engine.checkpoint_parts):
                position, state = self._engine.checkpoint(part)
                self._checkpoints.write(part, position, state)
                with self._changed:
                    self._changed.wait_for(lambda: self._closed, _PAUSE_S)
        except OSError:
            log.exception("a checkpoint cannot be written; the next rotation tries again")
