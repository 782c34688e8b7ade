"""Calls to a server by the names of the contract, and its errors as `WireError`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from google.protobuf import message_factory

from klero.client.refusals import wire_error
from klero.v1 import decision_service_pb2, experiment_service_pb2
from klero.v1.decision_service_pb2 import AssignRequest, AssignResponse, RecordResponse

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    import grpc
    from google.protobuf.descriptor import ServiceDescriptor
    from google.protobuf.message import Message

TIMEOUT_S = 30.0
_MAX_MESSAGE_BYTES = 16 * 1024 * 1024
_OPTIONS = (
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.enable_http_proxy", 0),
    # A server that comes back is found at once: the default waits up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Connections are not shared between channels, and with them the pause after a failed attempt.
    ("grpc.use_local_subchannel_pool", 1),
)

_DECISIONS = decision_service_pb2.DESCRIPTOR.services_by_name["DecisionService"]
_EXPERIMENTS = experiment_service_pb2.DESCRIPTOR.services_by_name["ExperimentService"]


class Remote:
    """A connection to the server at `address`; open from `with` to its end, shared by threads."""

    def __init__(self, address: str) -> None:
        """Name the server; nothing is sent before the first call."""
        import grpc

        self.address = address
        self._channel = grpc.insecure_channel(address, options=_OPTIONS)

    def __enter__(self) -> Self:
        """Use the connection."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """As `close`."""
        self.close()

    def close(self) -> None:
        """Close the connection; calls under way are cancelled."""
        self._channel.close()

    def experiments(self, method: str, request: Message, *, timeout_s: float = TIMEOUT_S) -> Any:  # noqa: ANN401  # by method
        """Call a method of ExperimentService; returns its response message.

        Raises:
            WireError: The server refused, or could not be reached.
        """
        return self._call(_EXPERIMENTS, method, request, timeout_s)

    def decisions(self, method: str, request: Message, *, timeout_s: float = TIMEOUT_S) -> Any:  # noqa: ANN401  # by method
        """Call a method of DecisionService; returns its response message.

        Raises:
            WireError: The server refused, or could not be reached.
        """
        return self._call(_DECISIONS, method, request, timeout_s)

    def assign_soon(self, request: AssignRequest, *, timeout_s: float) -> grpc.Future[AssignResponse]:
        """Call Assign without waiting; the future has the response, or a grpc.RpcError."""
        assign: grpc.UnaryUnaryMultiCallable[AssignRequest, AssignResponse] = self._channel.unary_unary(
            f"/{_DECISIONS.full_name}/Assign",
            request_serializer=AssignRequest.SerializeToString,
            response_deserializer=AssignResponse.FromString,
        )
        return assign.future(request, timeout=timeout_s)

    def record_encoded(self, request: bytes, *, timeout_s: float = TIMEOUT_S) -> RecordResponse:
        """Send an encoded RecordRequest.

        Raises:
            WireError: The server refused, or could not be reached.
        """
        import grpc

        record: grpc.UnaryUnaryMultiCallable[bytes, RecordResponse] = self._channel.unary_unary(
            f"/{_DECISIONS.full_name}/Record", response_deserializer=RecordResponse.FromString
        )
        try:
            return record(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise wire_error(error, self.address) from error

    def record_soon(self, request: bytes, *, timeout_s: float = TIMEOUT_S) -> grpc.Future[bytes]:
        """Send an encoded RecordRequest without waiting; the future has the encoded response."""
        record: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(
            f"/{_DECISIONS.full_name}/Record"
        )
        return record.future(request, timeout=timeout_s)

    def _call(self, service: ServiceDescriptor, method: str, request: Message, timeout_s: float) -> Message:
        import grpc

        answer = message_factory.GetMessageClass(service.methods_by_name[method].output_type)
        call: Callable[..., Message] = self._channel.unary_unary(
            f"/{service.full_name}/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        try:
            return call(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise wire_error(error, self.address) from error
