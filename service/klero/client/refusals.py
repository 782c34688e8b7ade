"""What a server refuses, read from the status details of a failed call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.rpc import error_details_pb2, status_pb2

from klero.errors import FieldViolation, WireError

if TYPE_CHECKING:
    import grpc

_DETAILS_KEY = "grpc-status-details-bin"


def wire_error(error: grpc.RpcError, address: str) -> WireError:
    """`error` of a call to the server at `address`, in words."""
    call: grpc.Call = error  # type: ignore[assignment]  # errors of calls are calls, which the stubs leave out
    reason, violations, retry_after_s, metadata = "", [], None, dict[str, str]()
    for key, value in call.trailing_metadata() or ():
        if key != _DETAILS_KEY:
            continue
        for detail in status_pb2.Status.FromString(value).details:
            info, bad, retry = (
                error_details_pb2.ErrorInfo(),
                error_details_pb2.BadRequest(),
                error_details_pb2.RetryInfo(),
            )
            if detail.Unpack(info):
                reason, metadata = info.reason, dict(info.metadata)
            elif detail.Unpack(bad):
                violations = [FieldViolation(found.field, found.description) for found in bad.field_violations]
            elif detail.Unpack(retry):
                retry_after_s = retry.retry_delay.ToMilliseconds() / 1000
    status = call.code().name
    message = call.details() or status
    if not reason and status == "UNAVAILABLE":
        message = f"no server answers at {address}: start one with `klero serve`, or name another with --address"
    if not reason and status == "DEADLINE_EXCEEDED":
        message = f"the server at {address} did not answer in time"
    described = WireError(
        status=status,
        reason=reason,
        message=message,
        violations=tuple(violations),
        retry_after_s=retry_after_s,
    )
    described.metadata = metadata
    return described
