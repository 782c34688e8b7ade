"""Create, Get, List, Update and Delete: translates calls and decides nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from klero import engine as core
from klero import lifecycle
from klero.errors import AlreadyExistsError, ExperimentNotFoundError
from klero.rpc.changes import Cause
from klero.rpc.filters import conditions
from klero.rpc.paging import page_of, page_token
from klero.rpc.requests import answered_once, namespace_of, timestamp
from klero.rpc.updates import Updating
from klero.v1 import experiment_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    import grpc

    from klero.catalog.requests import Remembered
    from klero.rpc.changes import Changes
    from klero.v1.experiment_pb2 import Experiment


class ExperimentServicer:
    """Definitions over gRPC."""

    def __init__(self, changes: Changes, *, clock: Callable[[], int]) -> None:
        """Name the collaborator; `clock` gives Unix milliseconds."""
        self._changes = changes
        self._clock = clock

    def served(self) -> dict[str, Callable[[Any, grpc.aio.ServicerContext[Any, Any]], Awaitable[Any]]]:
        """Calls by method name."""
        return {
            "CreateExperiment": self.create,
            "GetExperiment": self.get,
            "ListExperiments": self.page,
            "UpdateExperiment": self.update,
            "DeleteExperiment": self.delete,
        }

    async def create(
        self, request: pb.CreateExperimentRequest, _context: object
    ) -> pb.CreateExperimentResponse | bytes:
        """Store a draft."""
        definition, warnings = core.admit(request.experiment)
        now_ms = self._clock()
        draft = lifecycle.draft(definition, now=timestamp(now_ms))

        async def make(remember: Remembered | None) -> Experiment:
            if request.validate_only:
                await self._refuse_taken(draft)
                return draft
            return await self._changes.create(draft, Cause("CreateExperiment", request.reason, remember=remember))

        def answer(stored: Experiment) -> pb.CreateExperimentResponse:
            return pb.CreateExperimentResponse(experiment=stored, warnings=warnings)

        return await answered_once(request, self._changes, make, answer, now_ms=now_ms)

    async def get(self, request: pb.GetExperimentRequest, _context: object) -> pb.GetExperimentResponse:
        """Read a definition."""
        return pb.GetExperimentResponse(experiment=await self._changes.get(namespace_of(request), request.id))

    async def page(self, request: pb.ListExperimentsRequest, _context: object) -> pb.ListExperimentsResponse:
        """Definitions by id that pass the filter."""
        wanted, (size, last) = conditions(request.filter), page_of(request)
        found = await self._changes.page(namespace_of(request), after=last, size=size + 1, wanted=wanted)
        more = page_token(request, found[size - 1].id) if len(found) > size else ""
        return pb.ListExperimentsResponse(experiments=found[:size], next_page_token=more)

    async def update(
        self, request: pb.UpdateExperimentRequest, _context: object
    ) -> pb.UpdateExperimentResponse | bytes:
        """Change a definition."""
        now_ms, namespace = self._clock(), namespace_of(request.experiment)
        updating = Updating(request, now=timestamp(now_ms))

        async def make(remember: Remembered | None) -> Experiment:
            if request.validate_only:
                stored = await self._changes.get(namespace, request.experiment.id)
                return await asyncio.to_thread(updating.step, stored)
            cause = Cause("UpdateExperiment", request.reason, remember=remember)
            return await self._changes.change(namespace, request.experiment.id, updating.step, cause)

        return await answered_once(request, self._changes, make, updating.answer, now_ms=now_ms)

    async def delete(
        self, request: pb.DeleteExperimentRequest, _context: object
    ) -> pb.DeleteExperimentResponse | bytes:
        """Remove a draft."""
        namespace = namespace_of(request)

        def check(stored: Experiment) -> None:
            lifecycle.check_etag(stored, request.etag)
            lifecycle.check_deletable(stored)

        async def make(remember: Remembered | None) -> None:
            if request.validate_only:
                check(await self._changes.get(namespace, request.id))
                return
            cause = Cause("DeleteExperiment", request.reason, remember=remember)
            await self._changes.delete(namespace, request.id, check, cause)

        return await answered_once(
            request,
            self._changes,
            make,
            lambda _: pb.DeleteExperimentResponse(),
            now_ms=self._clock(),
        )

    async def _refuse_taken(self, definition: Experiment) -> None:
        try:
            await self._changes.get(definition.namespace, definition.id)
        except ExperimentNotFoundError:
            return
        raise AlreadyExistsError(namespace=definition.namespace, resource_type="experiment", id=definition.id)
