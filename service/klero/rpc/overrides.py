"""SetOverride, DeleteOverride and ListOverrides: translates the calls and decides nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klero import overrides
from klero.errors import FieldViolation, InvalidFieldError
from klero.overrides import Whom
from klero.rpc.changes import Cause
from klero.rpc.experiments import DEFAULT_NAMESPACE, refuse_unserved
from klero.rpc.paging import page_size, page_size_faults
from klero.v1 import experiment_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    import grpc

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

    async def set(self, request: pb.SetOverrideRequest, _context: object) -> pb.SetOverrideResponse:
        """Force a variant."""
        refuse_unserved(request, "request_id")
        overrides.check_request(request, now_ms=self._clock())
        cause = Cause("SetOverride", request.reason)

        def step(experiment: Experiment, before: Override | None) -> Override:
            return overrides.forced(request, experiment, before, now_ms=self._clock(), actor=cause.actor)

        asked = request.override
        whom = Whom(asked.namespace or DEFAULT_NAMESPACE, asked.experiment_id, asked.entity_id)
        if request.validate_only:
            return pb.SetOverrideResponse(override=step(*await self._changes.override(whom)))
        return pb.SetOverrideResponse(override=await self._changes.force(whom, step, cause))

    async def delete(self, request: pb.DeleteOverrideRequest, _context: object) -> pb.DeleteOverrideResponse:
        """End an override."""
        refuse_unserved(request, "request_id")
        whom = Whom(request.namespace or DEFAULT_NAMESPACE, request.experiment_id, request.entity_id)

        def step(_experiment: Experiment, before: Override | None) -> None:
            overrides.check_removable(whom, before, request.etag)

        if request.validate_only:
            step(*await self._changes.override(whom))
        else:
            await self._changes.force(whom, step, Cause("DeleteOverride", request.reason))
        return pb.DeleteOverrideResponse()

    async def page(self, request: pb.ListOverridesRequest, _context: object) -> pb.ListOverridesResponse:
        """Overrides by experiment, then entity; the token of a page is the name of its last override."""
        namespace = request.namespace or DEFAULT_NAMESPACE
        experiment_id, slash, entity_id = request.page_token.partition("/")
        violations = page_size_faults(request.page_size)
        if request.page_token and not slash:
            violations.append(FieldViolation("pageToken", "is not one that an answer has given"))
        if violations:
            raise InvalidFieldError(tuple(violations))
        if request.experiment_id:
            # A mistyped id has no overrides either: it is refused instead.
            await self._changes.get(namespace, request.experiment_id)
        size = page_size(request.page_size)
        found = await self._changes.overrides_page(
            namespace,
            experiment_id=request.experiment_id,
            after=Whom(namespace, experiment_id, entity_id) if slash else None,
            size=size + 1,
        )
        last = found[size - 1] if len(found) > size else None
        return pb.ListOverridesResponse(
            overrides=found[:size],
            next_page_token=Whom(namespace, last.experiment_id, last.entity_id).resource_id if last else "",
        )
