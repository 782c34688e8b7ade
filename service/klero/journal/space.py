"""Whether the disk has room: what comes is refused before the disk refuses it.

A disk that refuses stops the journal until a restart; one that is nearly full only has to be cleared.
"""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from klero.engine import Engine

_MIB = 1 << 20
# A frame has up to 16 MiB, and SQLite writes it to its log before the file.
_MOST_RESERVED = 64 * _MIB
_LEAST_RESERVED = 16 * _MIB
_LOOK_EVERY_S = 1.0

log = logging.getLogger(__name__)


def reserve(total: int) -> int:
    """Bytes of a file system of `total` that stay free.

    A twentieth, but from 16 to 64 MiB; and never more than a quarter, so that a tiny one can be used at all.
    """
    return min(total // 4, max(_LEAST_RESERVED, min(_MOST_RESERVED, total // 20)))


def free_and_total(path: Path) -> tuple[int, int]:
    """Bytes that this process may still use of the file system of `path`, and all that it has.

    Raises:
        OSError: The path is not there.
    """
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize


class SpaceGuard:
    """Holds writes back while the file system of the data directory is nearly full."""

    def __init__(
        self,
        path: Path,
        *,
        engine: Engine,
        space: Callable[[Path], tuple[int, int]] = free_and_total,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Hold until the first look at the file system of `path`.

        Args:
            path: The data directory.
            engine: That refuses Record while it is held.
            space: Free and all bytes of the file system of a path.
            monotonic: Seconds from some start.
        """
        self._path = path
        self._engine = engine
        self._space = space
        self._monotonic = monotonic
        self._look_again = monotonic()
        # None: not looked yet.
        self._held: bool | None = None
        engine.hold(held=True)

    def look(self) -> None:
        """Look at the disk, at most once a second; hold or release if that changes anything."""
        now = self._monotonic()
        if now < self._look_again:
            return
        self._look_again = now + _LOOK_EVERY_S
        try:
            free, total = self._space(self._path)
        except OSError:
            log.exception("the free space of %s cannot be read", self._path)
            return
        kept = reserve(total)
        # Released a quarter later than held, or it would change with every file that comes and goes.
        held = free < (kept + kept // 4 if self._held else kept)
        if held == self._held:
            return
        if held:
            log.error(
                "Record is refused: %s has %d MiB left and %d MiB are kept free; decisions go on",
                self._path,
                free // _MIB,
                kept // _MIB,
            )
        elif self._held:
            log.warning("Record is taken again: %s has %d MiB left", self._path, free // _MIB)
        self._held = held
        self._engine.hold(held=held)
