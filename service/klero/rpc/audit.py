"""ListAuditEntries: translates the call and decides nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klero.errors import FieldViolation, InvalidFieldError
from klero.rpc.experiments import DEFAULT_NAMESPACE
from klero.rpc.paging import page_size, page_size_faults
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
        violations = page_size_faults(request.page_size)
        if request.page_token and not request.page_token.isdecimal():
            violations.append(FieldViolation("pageToken", "is not one that an answer has given"))
        if violations:
            raise InvalidFieldError(tuple(violations))
        size = page_size(request.page_size)
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
