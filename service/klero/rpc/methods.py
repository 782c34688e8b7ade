"""Every method of a service as gRPC handlers: the served ones, and a reason for the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
from google.protobuf import message_factory

from klero.errors import UnimplementedError
from klero.rpc.status import answering

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from google.protobuf.descriptor import ServiceDescriptor

    Call: TypeAlias = Callable[[Any, "grpc.aio.ServicerContext[Any, Any]"], Awaitable[Any]]


def handlers(service: ServiceDescriptor, served: Mapping[str, Call], *, raw: bool = False) -> grpc.GenericRpcHandler:
    """Register every method of `service`.

    Args:
        service: From the contract.
        served: Calls by method name; a method that is missing answers UNIMPLEMENTED and its reason.
        raw: Whether requests and responses stay bytes.
    """
    by_name = {}
    for method in service.methods:
        call = answering(method.name, served.get(method.name, _refuse(method.full_name)))
        request = message_factory.GetMessageClass(method.input_type)
        response = message_factory.GetMessageClass(method.output_type)
        # A stream that is not served fails before its first message, as a single answer does.
        by_name[method.name] = grpc.unary_unary_rpc_method_handler(
            call,
            request_deserializer=None if raw else request.FromString,
            response_serializer=None if raw else response.SerializeToString,
        )
    return grpc.method_handlers_generic_handler(service.full_name, by_name)


def _refuse(full_name: str) -> Call:
    async def refuse(_request: object, _context: object) -> object:
        raise UnimplementedError(method=full_name)

    return refuse
