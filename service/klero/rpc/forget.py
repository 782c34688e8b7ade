"""ForgetEntity: translates the call and decides nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klero.errors import FieldViolation, InvalidFieldError
from klero.rpc.changes import Cause
from klero.rpc.requests import namespace_of
from klero.v1 import experiment_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    import grpc

    from klero.rpc.changes import Changes

_MAX_ENTITY_ID_BYTES = 256


class ForgetServicer:
    """Forgetting over gRPC."""

    def __init__(self, changes: Changes) -> None:
        """Name the collaborator."""
        self._changes = changes

    def served(self) -> dict[str, Callable[[Any, grpc.aio.ServicerContext[Any, Any]], Awaitable[Any]]]:
        """Calls by method name."""
        return {"ForgetEntity": self.forget}

    async def forget(self, request: pb.ForgetEntityRequest, _context: object) -> pb.ForgetEntityResponse:
        """Have nothing known of an entity any more."""
        length = len(request.entity_id.encode())
        if not 0 < length <= _MAX_ENTITY_ID_BYTES:
            raise InvalidFieldError(
                (FieldViolation("entityId", f"{length} bytes, must have 1 to {_MAX_ENTITY_ID_BYTES}"),)
            )
        position = await self._changes.forget(
            namespace_of(request), request.entity_id, Cause("ForgetEntity", request.reason)
        )
        return pb.ForgetEntityResponse(position=position)
