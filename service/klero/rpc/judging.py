"""GetExperimentStatus and GetExperimentResults: translates calls and decides nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from klero.errors import FieldViolation, InvalidFieldError, ResultsBehindError
from klero.rpc.requests import namespace_of
from klero.v1 import experiment_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import Any

    import grpc

    from klero.engine import Engine
    from klero.rpc.changes import Changes
    from klero.rpc.decisions import Waiting
    from klero.rpc.results import Results
    from klero.v1.experiment_pb2 import Experiment

# Each costs a pass over the entities of the iteration.
_MAX_DIMENSIONS = 4
# Longest wait for `min_position` when the call has no deadline.
_MAX_WAIT_S = 60.0
# The answer must still reach the caller before its deadline.
_DEADLINE_MARGIN_S = 0.05


class JudgingServicer:
    """What an experiment has brought so far, over gRPC."""

    def __init__(self, changes: Changes, results: Results, engine: Engine, waiting: Waiting) -> None:
        """Name the collaborators."""
        self._changes = changes
        self._results = results
        self._engine = engine
        self._waiting = waiting

    def served(self) -> dict[str, Callable[[Any, grpc.aio.ServicerContext[Any, Any]], Awaitable[Any]]]:
        """Calls by method name."""
        return {"GetExperimentStatus": self.status, "GetExperimentResults": self.judged}

    async def status(self, request: pb.GetExperimentStatusRequest, _context: object) -> pb.GetExperimentStatusResponse:
        """How it goes."""
        experiment = await self._changes.get(namespace_of(request), request.id)
        of_latest = await self._changes.judged(experiment.namespace, experiment.id, 0)
        judged = await self._results.judge(of_latest, iteration=0)
        response = pb.GetExperimentStatusResponse(
            status=experiment.status,
            status_reason=experiment.status_reason,
            iteration=experiment.iteration,
            health=judged.health,
            guardrails=judged.guardrails,
            revision=experiment.revision,
            lowest_node_revision=self._changes.revision,
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
        experiment = await self._changes.judged(namespace_of(request), request.id, request.iteration)
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
