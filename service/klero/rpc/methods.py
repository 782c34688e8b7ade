"""Every method of a service as gRPC handlers: the served ones, and a reason for the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
from google.protobuf import message_factory
from google.protobuf.message import DecodeError

from klero.errors import FieldViolation, InvalidFieldError, UnimplementedError
from klero.rpc.status import answering

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

    from klero.rpc.admission import Admission

    Call: TypeAlias = Callable[[Any, "grpc.aio.ServicerContext[Any, Any]"], Awaitable[Any]]


def handlers(
    service: ServiceDescriptor, served: Mapping[str, Call], *, admission: Admission, raw: bool = False
) -> grpc.GenericRpcHandler:
    """Register every method of `service`.

    Args:
        service: From the contract.
        served: Calls by method name; a method that is missing answers UNIMPLEMENTED and its reason.
        admission: Asked before each call.
        raw: Whether requests and responses stay bytes.
    """
    by_name: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {}
    for method in service.methods:
        call = served.get(method.name)
        if call is None:
            call = _refuse(method.full_name)
        elif not raw:
            call = _decoded(method, call)
        # A stream that is not served fails before its first message, as a single answer does.
        by_name[method.name] = grpc.unary_unary_rpc_method_handler(answering(method.name, _admitted(admission, call)))
    return grpc.method_handlers_generic_handler(service.full_name, by_name)


def _admitted(admission: Admission, call: Call) -> Call:
    async def admitted(request: object, context: grpc.aio.ServicerContext[Any, Any]) -> object:
        admission.check()
        return await call(request, context)

    return admitted


def _decoded(method: MethodDescriptor, call: Call) -> Call:
    """From bytes to bytes: left to gRPC, a request that cannot be decoded fails as UNKNOWN, without a reason."""
    message_class = message_factory.GetMessageClass(method.input_type)

    async def decoded(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        try:
            message = message_class.FromString(request)
        except DecodeError as error:
            raise InvalidFieldError((FieldViolation("", f"the request cannot be decoded: {error}"),)) from error
        response = await call(message, context)
        # Repeats are answered by the bytes of the first answer.
        return response if isinstance(response, bytes) else bytes(response.SerializeToString())

    return decoded


def _refuse(full_name: str) -> Call:
    async def refuse(_request: object, _context: object) -> object:
        raise UnimplementedError(method=full_name)

    return refuse
