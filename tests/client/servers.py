"""Servers as clients meet them: scripted by the test, silent, and speaking something else."""

from __future__ import annotations

import socket
import threading
from concurrent import futures
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from klero.v1.decision_pb2 import Decision, DecisionReason
from klero.v1.decision_service_pb2 import AssignRequest, AssignResponse, RecordRequest, RecordResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from klero.v1.decision_pb2 import Exposure, Outcome

    Answer = Callable[[bytes, grpc.ServicerContext], bytes]


class ScriptedServer:
    """Assign and Record, by default as a server answers; `on_assign` and `on_record` may be replaced."""

    def __init__(self, address: str = "127.0.0.1:0") -> None:
        """Serve from here on."""
        self.records: list[bytes] = []
        """Requests of Record, in their order, repeats too."""
        self.assigns: list[AssignRequest] = []
        self.on_assign: Answer = assigned
        self.on_record: Answer = stored
        self._server = grpc.server(futures.ThreadPoolExecutor(8))
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            "Assign": grpc.unary_unary_rpc_method_handler(self._assign),
            "Record": grpc.unary_unary_rpc_method_handler(self._record),
        }
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("klero.v1.DecisionService", handlers),)
        )
        self.address = f"127.0.0.1:{self._server.add_insecure_port(address)}"
        self._server.start()

    def __enter__(self) -> Self:
        """Serve."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """As `stop`."""
        self.stop()

    def stop(self) -> None:
        """Serve no more."""
        self._server.stop(None).wait()

    def requests(self) -> list[RecordRequest]:
        """Batches without their repeats, by their identity."""
        return list({request.request_id: request for request in map(RecordRequest.FromString, self.records)}.values())

    def outcomes(self) -> list[Outcome]:
        """Outcomes of all batches."""
        return [outcome for request in self.requests() for outcome in request.outcomes]

    def exposures(self) -> list[Exposure]:
        """Exposures of all batches."""
        return [exposure for request in self.requests() for exposure in request.exposures]

    def _assign(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.assigns.append(AssignRequest.FromString(request))
        return self.on_assign(request, context)

    def _record(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.records.append(request)
        return self.on_record(request, context)


def assigned(request: bytes, context: grpc.ServicerContext) -> bytes:
    """Variant `b` by chance, with a config."""
    del context
    asked = AssignRequest.FromString(request)
    decision = Decision(
        experiment_id=asked.experiment_id,
        entity_id=asked.entity_id,
        variant_id="b",
        reason=DecisionReason.DECISION_REASON_SPLIT,
        enrolled=True,
        randomized=True,
        enabled=True,
        revision=9,
        iteration=2,
        epoch=3,
        propensity=0.5,
    )
    decision.config.update({"tokens": 512, "temperature": 0.5, "nested": {"ids": [1, 2]}, "off": None})
    return AssignResponse(decision=decision).SerializeToString()


def stored(request: bytes, context: grpc.ServicerContext) -> bytes:
    """All accepted."""
    del context
    batch = RecordRequest.FromString(request)
    return RecordResponse(accepted=len(batch.outcomes) + len(batch.exposures)).SerializeToString()


def refuse(context: grpc.ServicerContext, code: grpc.StatusCode, reason: str, *, retry_s: float | None = None) -> bytes:
    """End the call as a server does, with its reason."""
    details = [error_details_pb2.ErrorInfo(reason=reason, domain="klero.v1")]
    if retry_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(round(retry_s * 1000))
        details.append(retry)
    status = status_pb2.Status(code=code.value[0], message="refused by the test")
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(code, status.message)
    raise AssertionError


@contextmanager
def listening(speak: bytes | None) -> Iterator[str]:
    """A port whose every connection gets `speak` and is then kept open; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        kept: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                kept.append(connection)
                if speak is not None:
                    connection.sendall(speak)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in kept:
                connection.close()


def free_address() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"
