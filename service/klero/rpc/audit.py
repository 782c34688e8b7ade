"""ListAuditEntries: translates the call and decides nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klero.errors import FieldViolation, InvalidFieldError
from klero.rpc.experiments import DEFAULT_NAMESPACE
from klero.v1 import experiment_service_pb2 as pb
from klero.v1.events_pb2 import ResourceType

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    import grpc

    from klero.rpc.changes import Changes
    from klero.v1.events_pb2 import AuditEntry

_PAGE_SIZE = 100
_MAX_PAGE_SIZE = 1000
# Above every revision that SQLite can count.
_NEWEST = 2**63 - 1


class AuditServicer:
    """The audit trail over gRPC."""

    def __init__(self, changes: Changes) -> None:
        """Name the collaborator."""
        self._changes = changes

    def served(self) -> dict[str, Callable[[Any, grpc.aio.ServicerContext[Any, Any]], Awaitable[Any]]]:
        """Calls by method name."""
        return {"ListAuditEntries": self.page}

    async def page(self, request: pb.ListAuditEntriesRequest, _context: object) -> pb.ListAuditEntriesResponse:
        """Entries newest first; the token of a page is the revision of its last entry."""
        violations = []
        if not 0 <= request.page_size <= _MAX_PAGE_SIZE:
            violations.append(FieldViolation("pageSize", f"{request.page_size} must be from 0 to {_MAX_PAGE_SIZE}"))
        if request.page_token and not request.page_token.isdecimal():
            violations.append(FieldViolation("pageToken", "is not one that an answer has given"))
        if violations:
            raise InvalidFieldError(tuple(violations))
        size = request.page_size or _PAGE_SIZE
        before = min(int(request.page_token), _NEWEST) if request.page_token else _NEWEST
        namespace = request.namespace or DEFAULT_NAMESPACE
        found = await self._changes.audit_page(
            namespace, before=before, size=size + 1, wanted=lambda entry: _matches(request, entry)
        )
        more = str(found[size - 1].revision) if len(found) > size else ""
        return pb.ListAuditEntriesResponse(entries=found[:size], next_page_token=more)


def _matches(request: pb.ListAuditEntriesRequest, entry: AuditEntry) -> bool:
    at_ms = entry.occurred_at.ToMilliseconds()
    return (
        request.resource_type in {ResourceType.RESOURCE_TYPE_UNSPECIFIED, entry.resource_type}
        and (not request.resource_id or entry.resource_id.split("/")[0] == request.resource_id.split("/")[0])
        and request.actor in {"", entry.actor}
        and (not request.HasField("since") or request.since.ToMilliseconds() <= at_ms)
        and (not request.HasField("until") or at_ms < request.until.ToMilliseconds())
    )
