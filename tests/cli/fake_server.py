"""A server that answers what a test says, where the real one cannot be brought into a state."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc

from klero.v1 import experiment_service_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from google.protobuf.message import Message

_SERVICE = experiment_service_pb2.DESCRIPTOR.services_by_name["ExperimentService"]


@contextmanager
def fake_server(answers: Mapping[str, Callable[[Any], Message]]) -> Iterator[str]:
    """Answer these methods of ExperimentService; gives the address.

    Args:
        answers: By method, the response to a request.
    """
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(
                _SERVICE.full_name, {method: _handler(method, answer) for method, answer in answers.items()}
            ),
        )
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def _handler(method: str, answer: Callable[[Any], Message]) -> grpc.RpcMethodHandler[Any, Any]:
    request = getattr(experiment_service_pb2, _SERVICE.methods_by_name[method].input_type.name)
    return grpc.unary_unary_rpc_method_handler(
        lambda asked, _context: answer(asked),
        request_deserializer=request.FromString,
        response_serializer=lambda response: response.SerializeToString(),
    )
