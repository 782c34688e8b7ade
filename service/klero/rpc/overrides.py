"""SetOverride, DeleteOverride and ListOverrides: translates the calls and decides nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klero import overrides
from klero.overrides import Whom
from klero.rpc.changes import Cause
from klero.rpc.paging import page_of, page_token
from klero.rpc.requests import answered_once, namespace_of
from klero.v1 import experiment_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    import grpc

    from klero.catalog.requests import Remembered
    from klero.rpc.changes import Changes
    from klero.v1.experiment_pb2 import Experiment, Override


class OverrideServicer:
    """Overrides over gRPC."""

    def __init__(self, changes: Changes, *, clock: Callable[[], int]) -> None:
        """Name the collaborators; `clock` gives Unix milliseconds."""
        self._changes = changes
        self._clock = clock

    def served(self) -> dict[str, Callable[[Any, grpc.aio.ServicerContext[Any, Any]], Awaitable[Any]]]:
        """Calls by method name."""
        return {"SetOverride": self.set, "DeleteOverride": self.delete, "ListOverrides": self.page}

    async def set(self, request: pb.SetOverrideRequest, _context: object) -> pb.SetOverrideResponse | bytes:
        """Force a variant."""
        now_ms = self._clock()
        whom = Whom(namespace_of(request), request.override.experiment_id, request.override.entity_id)

        async def make(remember: Remembered | None) -> Override | None:
            overrides.check_request(request, now_ms=now_ms)
            cause = Cause("SetOverride", request.reason, remember=remember)

            def step(experiment: Experiment, before: Override | None) -> Override:
                return overrides.forced(request, experiment, before, now_ms=now_ms, actor=cause.actor)

            if request.validate_only:
                return step(*await self._changes.override(whom))
            return await self._changes.force(whom, step, cause)

        def answer(stored: Override | None) -> pb.SetOverrideResponse:
            return pb.SetOverrideResponse(override=stored)

        return await answered_once(request, self._changes, make, answer, now_ms=now_ms)

    async def delete(self, request: pb.DeleteOverrideRequest, _context: object) -> pb.DeleteOverrideResponse | bytes:
        """End an override."""
        whom = Whom(namespace_of(request), request.experiment_id, request.entity_id)

        def step(_experiment: Experiment, before: Override | None) -> None:
            overrides.check_removable(whom, before, request.etag)

        async def make(remember: Remembered | None) -> None:
            if request.validate_only:
                step(*await self._changes.override(whom))
            else:
                await self._changes.force(whom, step, Cause("DeleteOverride", request.reason, remember=remember))

        return await answered_once(
            request, self._changes, make, lambda _: pb.DeleteOverrideResponse(), now_ms=self._clock()
        )

    async def page(self, request: pb.ListOverridesRequest, _context: object) -> pb.ListOverridesResponse:
        """Overrides by experiment, then entity; the token of a page is the name of its last override."""
        namespace, (size, last) = namespace_of(request), page_of(request)
        if request.experiment_id:
            # A mistyped id has no overrides either: it is refused instead.
            await self._changes.get(namespace, request.experiment_id)
        experiment_id, _, entity_id = last.partition("/")
        found = await self._changes.overrides_page(
            namespace,
            experiment_id=request.experiment_id,
            after=Whom(namespace, experiment_id, entity_id) if last else None,
            size=size + 1,
        )
        if len(found) <= size:
            return pb.ListOverridesResponse(overrides=found)
        end = found[size - 1]
        token = page_token(request, Whom(namespace, end.experiment_id, end.entity_id).resource_id)
        return pb.ListOverridesResponse(overrides=found[:size], next_page_token=token)
