"""Start, Pause, Resume, Stop and Archive: translates calls and decides nothing."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from klero import engine as core
from klero import lifecycle
from klero.rpc.changes import Cause
from klero.rpc.requests import answered_once, namespace_of, timestamp
from klero.v1 import experiment_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeAlias

    import grpc
    from google.protobuf.message import Message
    from google.protobuf.timestamp_pb2 import Timestamp

    from klero.catalog.requests import Remembered
    from klero.rpc.changes import Changes
    from klero.v1.experiment_pb2 import Experiment

    Step: TypeAlias = Callable[[Experiment, Any, Timestamp], Experiment]
    Answer: TypeAlias = Callable[[Experiment], Message]


class TransitionServicer:
    """Changes of status over gRPC."""

    def __init__(self, changes: Changes, *, clock: Callable[[], int]) -> None:
        """Name the collaborator; `clock` gives Unix milliseconds."""
        self._changes = changes
        self._clock = clock

    def served(self) -> dict[str, Callable[[Any, grpc.aio.ServicerContext[Any, Any]], Awaitable[Any]]]:
        """Calls by method name."""
        return {action: functools.partial(self._call, action) for action in _TRANSITIONS}

    async def _call(self, action: str, request: Any, _context: object) -> Message | bytes:  # noqa: ANN401  # by action
        """Move an experiment to another status."""
        step, answer = _TRANSITIONS[action]
        now_ms, namespace = self._clock(), namespace_of(request)

        def checked(stored: Experiment) -> Experiment:
            lifecycle.check_etag(stored, request.etag)
            return step(stored, request, timestamp(now_ms))

        async def make(remember: Remembered | None) -> Experiment:
            if request.validate_only:
                return checked(await self._changes.get(namespace, request.id))
            cause = Cause(action, request.reason, remember=remember)
            return await self._changes.change(namespace, request.id, checked, cause)

        return await answered_once(request, self._changes, make, answer, now_ms=now_ms)


def _started(experiment: Experiment) -> Message:
    return pb.StartExperimentResponse(experiment=experiment, warnings=core.admit(experiment)[1])


_TRANSITIONS: dict[str, tuple[Step, Answer]] = {
    "StartExperiment": (
        lambda stored, _, now: lifecycle.start(stored, allocation=core.allocation(stored), now=now),
        _started,
    ),
    "PauseExperiment": (
        lambda stored, _, now: lifecycle.pause(stored, now=now),
        lambda stored: pb.PauseExperimentResponse(experiment=stored),
    ),
    "ResumeExperiment": (
        lambda stored, _, now: lifecycle.resume(stored, now=now),
        lambda stored: pb.ResumeExperimentResponse(experiment=stored),
    ),
    "StopExperiment": (
        lambda stored, request, now: lifecycle.stop(
            stored, ship_variant_id=request.ship_variant_id, immediate=request.immediate, now=now
        ),
        lambda stored: pb.StopExperimentResponse(experiment=stored),
    ),
    "ArchiveExperiment": (
        lambda stored, _, now: lifecycle.archive(stored, now=now),
        lambda stored: pb.ArchiveExperimentResponse(experiment=stored),
    ),
}
