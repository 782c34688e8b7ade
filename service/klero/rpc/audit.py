"""ListAuditEntries: translates the call and decides nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klero.rpc.paging import page_of, page_token
from klero.rpc.requests import namespace_of
from klero.v1 import experiment_service_pb2 as pb
from klero.v1.events_pb2 import ResourceType

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    import grpc

    from klero.rpc.changes import Changes
    from klero.v1.events_pb2 import AuditEntry

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
        size, last = page_of(request)
        before = min(int(last), _NEWEST) if last.isdecimal() else _NEWEST
        found = await self._changes.audit_page(
            namespace_of(request), before=before, size=size + 1, wanted=lambda entry: _matches(request, entry)
        )
        more = page_token(request, str(found[size - 1].revision)) if len(found) > size else ""
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
