"""The task that looks at running iterations from time to time and keeps what it sees.

A look is kept when something was counted since the one before, and the time since the start or the
enrolled entities have grown by one percent: closer looks would lie on one another in any picture.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from klero.catalog.history import Look
from klero.errors import CatalogUnavailableError
from klero.rpc.rounds import Rounds
from klero.storage.v1.tally_pb2 import IterationTally

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from klero.catalog.history import History, Iteration
    from klero.engine import Engine
    from klero.rpc.changes import Changes

log = logging.getLogger(__name__)

# Growth of elapsed time or of enrolled entities between two looks.
GROWTH = 0.01
# Between two readings of one iteration, which cost time, however young or old it is.
_SHORTEST_MS, _LONGEST_MS = 250, 60_000
# A round of readings is followed by at least this many times its length.
_REST = 19
# Readings of one round, so that it ends soon.
_MOST_AT_ONCE = 256
# After the disk has refused.
_PAUSE_S = 10.0


@dataclass(slots=True)
class _Watched:
    """What is known of an iteration without reading its tally."""

    began_ms: int
    looked_at_ms: int = 0
    """When the newest look was kept. 0: none was."""
    enrolled: int = 0
    counted: bytes = b""
    """Of the newest look."""
    position: int = -1
    """Journal position of the newest reading. -1: nothing was read yet, the looks kept before neither."""
    unkept: bool = False
    """Whether that reading differed from the newest look."""


def counted(tally: IterationTally) -> bytes:
    """What a point shows of a tally: equal as long as no arm changes, whatever came in beside it."""
    return IterationTally(arms=tally.arms, closed=tally.closed).SerializeToString(deterministic=True)


def enrolled_in(tally: IterationTally) -> int:
    """Entities in all arms."""
    return sum(arm.enrolled for arm in tally.arms)


class Looks(Rounds):
    """Looks for as long as it runs. Belongs to one event loop; reads and writes in a thread beside it."""

    def __init__(
        self,
        changes: Changes,
        engine: Engine,
        history: History,
        *,
        clock: Callable[[], int],
        interval_s: float = _SHORTEST_MS / 1000,
    ) -> None:
        """Name the collaborators; `clock` gives Unix milliseconds, `interval_s` is the time between rounds."""
        super().__init__()
        self._changes = changes
        self._engine = engine
        self._history = history
        self._clock = clock
        self._interval_s = interval_s
        self._counting: Mapping[Iteration, int] = {}
        self._watched: dict[Iteration, _Watched] = {}
        # When each of them is to be read next, the earliest first.
        self._due: list[tuple[int, Iteration]] = []
        self._looking = threading.Lock()

    async def round(self) -> float:
        """Look, if anything is due."""
        began = time.monotonic()
        rest_s = self._interval_s
        try:
            if self._changes.counting is not self._counting or self._is_due():
                await asyncio.to_thread(self.look, self._changes.counting)
        except CatalogUnavailableError as error:
            log.warning("the history of results lacks a look: %s", error.__cause__)
            rest_s = _PAUSE_S
        return max(rest_s, _REST * (time.monotonic() - began))

    def look(self, counting: Mapping[Iteration, int]) -> None:
        """Read what is due and keep what is worth it; a last time of those that are not in `counting` any more.

        Args:
            counting: Iterations that can still change, each with its start, Unix milliseconds.

        Raises:
            CatalogUnavailableError: The disk refuses; the next round tries again.
        """
        with self._looking:
            now_ms = self._clock()
            if counting is not self._counting:
                for iteration in counting.keys() - self._watched.keys():
                    self._watched[iteration] = _Watched(counting[iteration])
                    heapq.heappush(self._due, (now_ms, iteration))
            self._keep([(each, kept) for each in self._take_due(now_ms) if (kept := self._read(each, now_ms))])
            for iteration in self._watched.keys() - counting.keys():
                self._look_last(iteration)
            # Only now, so that what failed is tried again.
            self._counting = counting

    def kept(self, iteration: Iteration) -> list[Look]:
        """Looks that were kept, oldest first.

        Raises:
            CatalogUnavailableError: The disk refuses.
        """
        return self._history.looks(iteration)

    def end(self, iteration: Iteration) -> None:
        """Keep the last look at an iteration that has closed, unless it is there already.

        It is missing if the iteration took less than a round, or if the process died at its end.

        Raises:
            CatalogUnavailableError: The disk refuses.
        """
        with self._looking:
            self._watched.setdefault(iteration, _Watched(began_ms=0))
            self._look_last(iteration)

    def _look_last(self, iteration: Iteration) -> None:
        tally = self._read(iteration, self._clock(), last=True)
        self._keep([] if tally is None else [(iteration, tally)])
        del self._watched[iteration]

    def _is_due(self) -> bool:
        return bool(self._due) and self._due[0][0] <= self._clock()

    def _take_due(self, now_ms: int) -> list[Iteration]:
        """Iterations to read now; each is due again after one percent of its age."""
        due: list[Iteration] = []
        while self._due and self._due[0][0] <= now_ms and len(due) < _MOST_AT_ONCE:
            _, iteration = heapq.heappop(self._due)
            if iteration in self._watched:
                due.append(iteration)
                age_ms = now_ms - self._watched[iteration].began_ms
                pause_ms = min(max(_SHORTEST_MS, int(GROWTH * age_ms)), _LONGEST_MS)
                heapq.heappush(self._due, (now_ms + pause_ms, iteration))
        return due

    def _read(self, iteration: Iteration, now_ms: int, *, last: bool = False) -> IterationTally | None:
        """Tally of an iteration, if it is to be kept."""
        watched = self._watched[iteration]
        if watched.position < 0:
            self._recall(iteration, watched)
        if watched.position == self._engine.position and not watched.unkept:
            return None
        tally = self._engine.tally(*iteration)
        if tally is None or not tally.arms:
            return None
        watched.position = tally.position
        watched.unkept = counted(tally) != watched.counted
        has_grown = (
            now_ms - watched.began_ms >= (1 + GROWTH) * (watched.looked_at_ms - watched.began_ms)
            or enrolled_in(tally) >= (1 + GROWTH) * watched.enrolled
        )
        return tally if watched.unkept and (last or has_grown) else None

    def _recall(self, iteration: Iteration, watched: _Watched) -> None:
        """Go on behind the looks of an earlier process."""
        newest = self._history.last(iteration)
        watched.position = 0
        if newest is not None:
            watched.looked_at_ms, watched.enrolled = newest.looked_at_ms, newest.enrolled
            watched.counted = counted(IterationTally.FromString(newest.tally))

    def _keep(self, found: list[tuple[Iteration, IterationTally]]) -> None:
        if not found:
            return
        # Read again, because reading took its time and a look must not be dated before what it counts.
        now_ms = self._clock()
        self._history.add(
            (iteration, Look(now_ms, enrolled_in(tally), tally.SerializeToString())) for iteration, tally in found
        )
        for iteration, tally in found:
            watched = self._watched[iteration]
            watched.looked_at_ms, watched.enrolled = now_ms, enrolled_in(tally)
            watched.counted, watched.unkept = counted(tally), False
