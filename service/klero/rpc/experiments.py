"""ExperimentService: translates calls and decides nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from google.protobuf.timestamp_pb2 import Timestamp

from klero import engine as core
from klero import lifecycle
from klero.errors import FieldViolation, InvalidFieldError, ResultsBehindError
from klero.rpc.changes import Cause
from klero.rpc.paging import page_size, page_size_faults
from klero.v1 import experiment_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import Any

    import grpc
    from google.protobuf.message import Message

    from klero.engine import Engine
    from klero.rpc.changes import Changes
    from klero.rpc.decisions import Waiting
    from klero.rpc.results import Results
    from klero.v1.experiment_pb2 import Experiment

DEFAULT_NAMESPACE = "default"
# Each costs a pass over the entities of the iteration.
_MAX_DIMENSIONS = 4
# Longest wait for `min_position` when the call has no deadline.
_MAX_WAIT_S = 60.0
# The answer must still reach the caller before its deadline.
_DEADLINE_MARGIN_S = 0.05


class ExperimentServicer:
    """Experiments over gRPC."""

    def __init__(
        self,
        changes: Changes,
        results: Results,
        engine: Engine,
        waiting: Waiting,
        *,
        clock: Callable[[], int],
    ) -> None:
        """Name the collaborators; `clock` gives Unix milliseconds."""
        self._changes = changes
        self._results = results
        self._engine = engine
        self._waiting = waiting
        self._clock = clock

    def served(self) -> dict[str, Callable[[Any, grpc.aio.ServicerContext[Any, Any]], Awaitable[Any]]]:
        """Calls by method name."""
        return {
            "CreateExperiment": self.create,
            "GetExperiment": self.get,
            "ListExperiments": self.page,
            "StartExperiment": self.start,
            "StopExperiment": self.stop,
            "ArchiveExperiment": self.archive,
            "DeleteExperiment": self.delete,
            "GetExperimentStatus": self.status,
            "GetExperimentResults": self.judged,
        }

    async def create(self, request: pb.CreateExperimentRequest, _context: object) -> pb.CreateExperimentResponse:
        """Store a draft."""
        refuse_unserved(request, "request_id")
        definition, warnings = core.admit(request.experiment)
        draft = lifecycle.draft(definition, now=self._now())
        if not request.validate_only:
            draft = await self._changes.create(draft, Cause("CreateExperiment", request.reason))
        return pb.CreateExperimentResponse(experiment=draft, warnings=warnings)

    async def get(self, request: pb.GetExperimentRequest, _context: object) -> pb.GetExperimentResponse:
        """Read a definition."""
        return pb.GetExperimentResponse(experiment=await self._changes.get(_namespace(request), request.id))

    async def page(self, request: pb.ListExperimentsRequest, _context: object) -> pb.ListExperimentsResponse:
        """Definitions by id; the token of a page is the last id of it."""
        refuse_unserved(request, "filter")
        if faults := page_size_faults(request.page_size):
            raise InvalidFieldError(tuple(faults))
        size = page_size(request.page_size)
        found = await self._changes.page(_namespace(request), after=request.page_token, size=size + 1)
        more = found[size - 1].id if len(found) > size else ""
        return pb.ListExperimentsResponse(experiments=found[:size], next_page_token=more)

    async def start(self, request: pb.StartExperimentRequest, _context: object) -> pb.StartExperimentResponse:
        """Begin an iteration."""

        def step(stored: Experiment) -> Experiment:
            lifecycle.check_etag(stored, request.etag)
            return lifecycle.start(stored, allocation=core.allocation(stored), now=self._now())

        experiment = await self._change(request, step, "StartExperiment")
        return pb.StartExperimentResponse(experiment=experiment, warnings=core.admit(experiment)[1])

    async def stop(self, request: pb.StopExperimentRequest, _context: object) -> pb.StopExperimentResponse:
        """End the iteration."""

        def step(stored: Experiment) -> Experiment:
            lifecycle.check_etag(stored, request.etag)
            return lifecycle.stop(
                stored, ship_variant_id=request.ship_variant_id, immediate=request.immediate, now=self._now()
            )

        return pb.StopExperimentResponse(experiment=await self._change(request, step, "StopExperiment"))

    async def archive(self, request: pb.ArchiveExperimentRequest, _context: object) -> pb.ArchiveExperimentResponse:
        """Put an ended experiment away."""

        def step(stored: Experiment) -> Experiment:
            lifecycle.check_etag(stored, request.etag)
            return lifecycle.archive(stored, now=self._now())

        return pb.ArchiveExperimentResponse(experiment=await self._change(request, step, "ArchiveExperiment"))

    async def delete(self, request: pb.DeleteExperimentRequest, _context: object) -> pb.DeleteExperimentResponse:
        """Remove a draft."""
        refuse_unserved(request, "request_id")

        def check(stored: Experiment) -> None:
            lifecycle.check_etag(stored, request.etag)
            lifecycle.check_deletable(stored)

        if request.validate_only:
            check(await self._changes.get(_namespace(request), request.id))
        else:
            cause = Cause("DeleteExperiment", request.reason)
            await self._changes.delete(_namespace(request), request.id, check, cause)
        return pb.DeleteExperimentResponse()

    async def status(self, request: pb.GetExperimentStatusRequest, _context: object) -> pb.GetExperimentStatusResponse:
        """How it goes."""
        experiment = await self._changes.get(_namespace(request), request.id)
        judged = await self._results.judge(experiment, iteration=0)
        response = pb.GetExperimentStatusResponse(
            status=experiment.status,
            status_reason=experiment.status_reason,
            iteration=experiment.iteration,
            health=judged.health,
            guardrails=judged.guardrails,
            revision=experiment.revision,
            lowest_node_revision=experiment.revision,
            counters=self._results.counters(experiment),
        )
        if experiment.iteration:
            response.progress.CopyFrom(judged.progress)
            response.allocation.CopyFrom(experiment.allocation)
        return response

    async def judged(
        self, request: pb.GetExperimentResultsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.GetExperimentResultsResponse:
        """Results of one iteration, up to at least `min_position`."""
        experiment = await self._changes.get(_namespace(request), request.id)
        _check_dimensions(request.dimensions, experiment)
        await self._wait_for(request.min_position, context)
        results = await self._results.judge(
            experiment, iteration=request.iteration, view=request.view, dimensions=request.dimensions
        )
        return pb.GetExperimentResultsResponse(results=results)

    async def _wait_for(self, position: int, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        # None without a deadline, which the stub of grpc leaves out.
        remaining = cast("float | None", context.time_remaining())
        wait_s = _MAX_WAIT_S if remaining is None else min(_MAX_WAIT_S, remaining - _DEADLINE_MARGIN_S)
        try:
            async with asyncio.timeout(wait_s):
                while self._engine.position < position:
                    await self._waiting.commit()
        except TimeoutError as error:
            raise ResultsBehindError(min_position=position, as_of=self._engine.position) from error

    async def _change(
        self,
        request: pb.StartExperimentRequest | pb.StopExperimentRequest | pb.ArchiveExperimentRequest,
        step: Callable[[Experiment], Experiment],
        action: str,
    ) -> Experiment:
        refuse_unserved(request, "request_id")
        if request.validate_only:
            return step(await self._changes.get(_namespace(request), request.id))
        return await self._changes.change(_namespace(request), request.id, step, Cause(action, request.reason))

    def _now(self) -> Timestamp:
        now = Timestamp()
        now.FromMilliseconds(self._clock())
        return now


def _namespace(request: Any) -> str:  # noqa: ANN401  # every request of the service has the field
    return request.namespace or DEFAULT_NAMESPACE


def _check_dimensions(dimensions: Sequence[str], experiment: Experiment) -> None:
    """Refuse what results cannot be broken down by."""
    known = experiment.analysis_plan.dimensions
    allowed = (
        f"one of analysisPlan.dimensions: {', '.join(known)}" if known else "none, analysisPlan.dimensions is empty"
    )
    violations = [
        FieldViolation(f"dimensions[{index}]", f"`{dimension}` must be {allowed}")
        for index, dimension in enumerate(dimensions)
        if dimension not in known
    ]
    violations += [
        FieldViolation(f"dimensions[{index}]", f"`{dimension}` is named twice; each must be named once")
        for index, dimension in enumerate(dimensions)
        if dimension in dimensions[:index]
    ]
    if len(dimensions) > _MAX_DIMENSIONS:
        violations.append(FieldViolation("dimensions", f"{len(dimensions)} must be at most {_MAX_DIMENSIONS}"))
    if violations:
        raise InvalidFieldError(tuple(violations))


def refuse_unserved(request: Message, *fields: str) -> None:
    """Refuse what would otherwise be ignored."""
    violations = tuple(
        FieldViolation(request.DESCRIPTOR.fields_by_name[field].json_name, "not supported by this version")
        for field in fields
        if getattr(request, field)
    )
    if violations:
        raise InvalidFieldError(violations)
