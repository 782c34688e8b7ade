"""Batches: their identity, and what is done when a server does not take them."""

from __future__ import annotations

import time
import uuid
from concurrent import futures
from typing import TYPE_CHECKING

import grpc
import pytest

from klero.client import batches
from klero.client.batches import Sender, uuid7
from klero.client.remote import Remote
from klero.errors import WireError
from klero.v1.decision_pb2 import Outcome
from klero.v1.decision_service_pb2 import RecordRequest, RecordResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Answer = Callable[[bytes, grpc.ServicerContext], bytes]


@pytest.fixture
def fake() -> Iterator[Callable[[Answer], Remote]]:
    """A server whose Record is the test's."""
    servers: list[grpc.Server] = []
    remotes: list[Remote] = []

    def start(answer: Answer) -> Remote:
        server = grpc.server(futures.ThreadPoolExecutor(4))
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            "Record": grpc.unary_unary_rpc_method_handler(answer)
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("klero.v1.DecisionService", handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
        remotes.append(Remote(f"127.0.0.1:{port}"))
        return remotes[-1]

    yield start
    for remote in remotes:
        remote.__exit__(None, None, None)
    for server in servers:
        server.stop(None).wait()


def test_request_ids_are_version_7_and_of_now() -> None:
    """The server refuses ids whose time it cannot place."""
    made = uuid.UUID(uuid7())

    assert (7, uuid.RFC_4122) == (made.version, made.variant)
    assert abs((made.int >> 80) - time.time() * 1000) < 10_000
    assert uuid7() != uuid7()


def test_a_batch_is_sent_again_byte_for_byte(fake: Callable[[Answer], Remote], monkeypatch: pytest.MonkeyPatch) -> None:
    """The id makes a repeat harmless only if it stays the same."""
    monkeypatch.setattr(batches, "_FIRST_WAIT_S", 0.001)
    seen: list[bytes] = []

    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        seen.append(request)
        if len(seen) < 3:
            context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
        return RecordResponse(accepted=1, position=7).SerializeToString()

    with Sender(fake(answer)) as sender:
        sender.send(RecordRequest(outcomes=[Outcome(entity_id="a", event="b")]))

    assert 3 == len(seen)
    assert 1 == len(set(seen))
    assert (1, 7) == (sender.recorded.accepted, sender.recorded.position)


def test_what_is_refused_for_good_is_not_sent_again(fake: Callable[[Answer], Remote]) -> None:
    """Repeating an invalid batch is no use."""
    seen: list[bytes] = []

    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        seen.append(request)
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no")

    with pytest.raises(WireError, match=r"^no$"), Sender(fake(answer)) as sender:
        sender.send(RecordRequest())

    assert 1 == len(seen)


def test_only_so_many_are_on_their_way(fake: Callable[[Answer], Remote]) -> None:
    """A slow server is not buried."""
    running, most = 0, 0

    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        del request, context
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.02)
        running -= 1
        return RecordResponse(accepted=1).SerializeToString()

    with Sender(fake(answer), in_flight=2) as sender:
        for _ in range(8):
            sender.send(RecordRequest())

    assert 8 == sender.recorded.accepted
    assert most <= 2
