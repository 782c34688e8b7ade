"""What happens at its time without anybody's call: planned starts and ends, and the end of draining."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from klero import engine as core
from klero import lifecycle
from klero.errors import KleroError
from klero.rpc.changes import CONTROLLER, Cause
from klero.rpc.requests import timestamp
from klero.rpc.rounds import Rounds

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.timestamp_pb2 import Timestamp

    from klero.engine import Engine
    from klero.rpc.changes import Changes
    from klero.v1.experiment_pb2 import Experiment

log = logging.getLogger(__name__)

# Frames that only say that time went on come no more often.
_INTERVAL_S = 1.0


class Timetable(Rounds):
    """Looks at what is due, for as long as it runs. Belongs to one event loop."""

    def __init__(
        self, changes: Changes, engine: Engine, *, clock: Callable[[], int], interval_s: float = _INTERVAL_S
    ) -> None:
        """Name the collaborators; `clock` gives Unix milliseconds, `interval_s` is the time between looks."""
        super().__init__()
        self._changes = changes
        self._engine = engine
        self._clock = clock
        self._interval_s = interval_s

    async def round(self) -> float:
        """Do what is due."""
        for experiment in self._changes.timed:
            due = self._due(experiment)
            if due is not None:
                await self._change(experiment, due)
        return self._interval_s

    def _due(self, experiment: Experiment) -> str | None:
        """The controller's action that is due."""
        if experiment.status == lifecycle.DRAINING:
            known = self._engine.iteration(experiment.namespace, experiment.id, experiment.iteration)
            return lifecycle.DRAINED if known is not None and known.closed else None
        return lifecycle.due(experiment, now_ms=self._clock())

    async def _change(self, experiment: Experiment, action: str) -> None:
        step, reason = _ACTIONS[action]

        def checked(stored: Experiment) -> Experiment:
            lifecycle.check_etag(stored, experiment.etag)
            return step(stored, timestamp(self._clock()))

        try:
            await self._changes.change(experiment.namespace, experiment.id, checked, Cause(action, reason, CONTROLLER))
        except KleroError as error:
            # Changed meanwhile, or the disk refuses: the next look is at what is in force then.
            log.warning("%s of `%s` failed: %s", action, experiment.id, error)


def _begin(stored: Experiment, now: Timestamp) -> Experiment:
    return lifecycle.begin(stored, allocation=core.allocation(stored), now=now)


def _end(stored: Experiment, now: Timestamp) -> Experiment:
    return lifecycle.stop(stored, ship_variant_id="", now=now)


_ACTIONS: dict[str, tuple[Callable[[Experiment, Timestamp], Experiment], str]] = {
    lifecycle.SCHEDULED_START: (_begin, "schedule.startAt has come"),
    lifecycle.SCHEDULED_END: (_end, "schedule.endAt has come, or config.duration is over"),
    lifecycle.DRAINED: (lambda stored, now: lifecycle.drained(stored, now=now), "the last window has closed"),
}
