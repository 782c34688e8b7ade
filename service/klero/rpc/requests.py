"""What requests of people have in common: namespace, time, and an id under which a repeat is known."""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from klero.catalog.requests import Remembered, RepeatedRequestError
from klero.errors import FieldViolation, InvalidFieldError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from google.protobuf.message import Message

    from klero.rpc.changes import Changes

DEFAULT_NAMESPACE = "default"
# What else a request may bring that names its namespace.
_RESOURCES = ("experiment", "override")

_Stored = TypeVar("_Stored")
_Response = TypeVar("_Response", bound="Message")


def namespace_of(request: Any) -> str:  # noqa: ANN401  # every request of the service has the field, or its resource
    """The namespace that a request is about."""
    if "namespace" in request.DESCRIPTOR.fields_by_name:
        return request.namespace or DEFAULT_NAMESPACE
    resource = next(name for name in _RESOURCES if name in request.DESCRIPTOR.fields_by_name)
    return getattr(request, resource).namespace or DEFAULT_NAMESPACE


def timestamp(time_ms: int) -> Timestamp:
    """The same time as a message; `time_ms` is Unix milliseconds."""
    found = Timestamp()
    found.FromMilliseconds(time_ms)
    return found


async def answered_once(
    request: Any,  # noqa: ANN401  # every request that changes something has the fields
    changes: Changes,
    make: Callable[[Remembered | None], Awaitable[_Stored]],
    answer: Callable[[_Stored], _Response],
    *,
    now_ms: int,
) -> _Response | bytes:
    """Make a change and answer it; a repeat of a request with an id gets the bytes of the first answer.

    Args:
        request: Has `request_id` and `validate_only`.
        changes: Remembers answers.
        make: Makes the change, and gives what is stored in the end.
        answer: From that, the response.
        now_ms: Unix milliseconds.

    Raises:
        InvalidFieldError: `request_id` is no UUID.
        RequestIdReusedError: It was used for another request.

    """
    if request.request_id:
        _check_id(request.request_id)
    if not request.request_id or request.validate_only:
        return answer(await make(None))
    remembered = Remembered(
        namespace=namespace_of(request),
        request_id=request.request_id,
        fingerprint=_fingerprint(request),
        now_ms=now_ms,
        answer=lambda stored: answer(stored).SerializeToString(),
    )
    while True:
        first = await changes.remembered(remembered)
        if first is not None:
            return first
        try:
            return answer(await make(remembered))
        except RepeatedRequestError:
            # The same request came twice at once, and the other one was faster.
            continue


def _check_id(request_id: str) -> None:
    try:
        uuid.UUID(request_id)
    except ValueError as error:
        raise InvalidFieldError((FieldViolation("requestId", f"`{request_id}` must be a UUID, or empty"),)) from error


def _fingerprint(request: Message) -> bytes:
    body = request.SerializeToString(deterministic=True)
    return hashlib.sha256(request.DESCRIPTOR.full_name.encode() + b"\0" + body).digest()
