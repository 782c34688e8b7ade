"""The end of draining: experiments whose last window has closed become STOPPED by themselves."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp

from klero import lifecycle
from klero.errors import KleroError
from klero.rpc.changes import CONTROLLER, Cause

if TYPE_CHECKING:
    from collections.abc import Callable

    from klero.engine import Engine
    from klero.rpc.changes import Changes
    from klero.v1.experiment_pb2 import Experiment

log = logging.getLogger(__name__)

# Frames that only say that time went on come no more often.
_INTERVAL_S = 1.0


class Draining:
    """Looks at the experiments that drain, for as long as it runs. Belongs to one event loop."""

    def __init__(
        self, changes: Changes, engine: Engine, *, clock: Callable[[], int], interval_s: float = _INTERVAL_S
    ) -> None:
        """Name the collaborators; `clock` gives Unix milliseconds, `interval_s` is the time between looks."""
        self._changes = changes
        self._engine = engine
        self._clock = clock
        self._interval_s = interval_s
        self._closing = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._running = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Finish the change under way and look no more."""
        self._closing.set()
        if self._running is not None:
            await self._running

    async def _run(self) -> None:
        while not self._closing.is_set():
            for experiment in self._changes.draining:
                if self._has_closed(experiment):
                    await self._end(experiment)
            try:
                await asyncio.wait_for(self._closing.wait(), self._interval_s)
            except TimeoutError:
                continue

    def _has_closed(self, experiment: Experiment) -> bool:
        tally = self._engine.tally(experiment.namespace, experiment.id, experiment.iteration)
        return tally is not None and tally.closed

    async def _end(self, experiment: Experiment) -> None:
        def step(stored: Experiment) -> Experiment:
            lifecycle.check_etag(stored, experiment.etag)
            now = Timestamp()
            now.FromMilliseconds(self._clock())
            return lifecycle.drained(stored, now=now)

        cause = Cause(lifecycle.DRAINED, "the last window has closed", CONTROLLER)
        try:
            await self._changes.change(experiment.namespace, experiment.id, step, cause)
        except KleroError as error:
            # Changed meanwhile, or the disk refuses: the next look is at what is in force then.
            log.warning("`%s` has drained and could not be stopped: %s", experiment.id, error)
