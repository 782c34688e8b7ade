"""The one road from errors to gRPC statuses."""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING, NoReturn, TypeVar

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from klero.errors import EncodedError, InternalError, KleroError
from klero.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from google.protobuf.message import Message

Request = TypeVar("Request")
Response = TypeVar("Response")

DOMAIN = "klero.v1"
DETAILS_KEY = "grpc-status-details-bin"

log = logging.getLogger(__name__)

_CODES = {code.value[0]: code for code in grpc.StatusCode}


def details_of(error: KleroError) -> bytes:
    """Encode `error` as `google.rpc.Status` with ErrorInfo and, where they apply, BadRequest and RetryInfo."""
    if isinstance(error, EncodedError):
        return error.details
    info = error_details_pb2.ErrorInfo(reason=ErrorReason.Name(error.reason), domain=DOMAIN, metadata=error.metadata)
    details: list[Message] = [info]
    if error.violations:
        bad_request = error_details_pb2.BadRequest()
        for violation in error.violations:
            bad_request.field_violations.add(field=violation.field, description=violation.description)
        details.append(bad_request)
    if error.retry_after_s is not None:
        delay = Duration()
        delay.FromMilliseconds(round(error.retry_after_s * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    status = status_pb2.Status(code=error.code, message=str(error))
    for detail in details:
        packed = Any()
        packed.Pack(detail)
        status.details.append(packed)
    encoded: bytes = status.SerializeToString()  # google.rpc ships no types
    return encoded


def answering(
    method: str, call: Callable[[Request, grpc.aio.ServicerContext[Request, Response]], Awaitable[Response]]
) -> Callable[[Request, grpc.aio.ServicerContext[Request, Response]], Awaitable[Response]]:
    """Wrap the servicer's `call` so that whatever it raises becomes a status."""

    async def answer(request: Request, context: grpc.aio.ServicerContext[Request, Response]) -> Response:
        try:
            return await call(request, context)
        except KleroError as error:
            await _abort(context, error)
        except Exception:
            log_id = uuid.uuid4().hex
            log.exception("%s failed, log id %s", method, log_id)
            await _abort(context, InternalError(log_id=log_id))

    return answer


async def _abort(context: grpc.aio.ServicerContext[Request, Response], error: KleroError) -> NoReturn:
    await context.abort(_CODES[error.code], str(error), ((DETAILS_KEY, details_of(error)),))
