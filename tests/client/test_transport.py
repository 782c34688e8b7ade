"""The gate that keeps calls out of gRPC while the process forks."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from klero.client.transport import GrpcTransport
from klero.errors import WireError
from klero.v1.decision_service_pb2 import AssignRequest, AssignResponse
from tests.client.servers import ScriptedServer, assigned

if TYPE_CHECKING:
    from collections.abc import Iterator

    import grpc

    from klero.client.remote import Remote

REQUEST = AssignRequest(experiment_id="e", entity_id="a")


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """A server that answers."""
    with ScriptedServer() as scripted:
        yield scripted


class Caller(threading.Thread):
    """Calls once."""

    def __init__(self, transport: GrpcTransport) -> None:
        """Begin at once."""
        super().__init__(daemon=True)
        self.transport = transport
        self.answer: AssignResponse | WireError | None = None
        self.start()

    def run(self) -> None:
        """Keep the answer."""
        try:
            self.answer = self.transport.assign(REQUEST, timeout_s=10)
        except WireError as error:
            self.answer = error


def test_calls_wait_for_the_end_of_a_fork(server: ScriptedServer) -> None:
    """A thread that gRPC starts meanwhile would be missing in the child."""
    transport = GrpcTransport(server.address)
    transport.before_fork()
    caller = Caller(transport)
    time.sleep(0.2)
    before = len(server.assigns)
    transport.after_fork_in_parent()
    caller.join(5)
    transport.close()

    assert 0 == before
    assert isinstance(caller.answer, AssignResponse)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_call_under_way_is_cut_off_for_a_fork(server: ScriptedServer, asynchronous: bool) -> None:  # noqa: FBT001  # a table
    """A fork must not wait for a server; the caller gets its answer behind it."""
    entered = threading.Event()

    def slow(request: bytes, context: grpc.ServicerContext) -> bytes:
        entered.set()
        time.sleep(1.5 if len(server.assigns) == 1 else 0)
        return assigned(request, context)

    server.on_assign = slow
    transport = GrpcTransport(server.address)
    soon = transport.assign_soon(REQUEST, timeout_s=10) if asynchronous else None
    caller = None if asynchronous else Caller(transport)
    assert entered.wait(5)
    started = time.monotonic()
    transport.before_fork()
    took_s = time.monotonic() - started
    transport.after_fork_in_parent()

    assert took_s < 1.0
    if soon is not None:
        assert isinstance(soon.exception(5), WireError)
    if caller is not None:
        caller.join(5)
        assert isinstance(caller.answer, AssignResponse)
        assert 2 == len(server.assigns)
    transport.close()


def test_a_call_that_close_cuts_off_fails(server: ScriptedServer) -> None:
    """Who closes a client means it."""
    entered = threading.Event()

    def slow(request: bytes, context: grpc.ServicerContext) -> bytes:
        entered.set()
        time.sleep(0.5)
        return assigned(request, context)

    server.on_assign = slow
    transport = GrpcTransport(server.address)
    caller = Caller(transport)
    assert entered.wait(5)
    transport.close()
    caller.join(5)

    assert isinstance(caller.answer, WireError)
    assert "CANCELLED" == caller.answer.status
    assert 1 == len(server.assigns)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_connection_that_is_gone_before_the_call_begins(
    server: ScriptedServer,
    asynchronous: bool,  # noqa: FBT001  # a table
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A fork may close it between the gate and the call."""
    transport = GrpcTransport(server.address)
    enter = transport._enter  # noqa: SLF001  # there is no other way between the two

    def closed_meanwhile(token: object) -> Remote:
        remote = enter(token)
        monkeypatch.undo()
        transport._disconnect()  # noqa: SLF001  # as above
        return remote

    monkeypatch.setattr(transport, "_enter", closed_meanwhile)
    if asynchronous:
        assert isinstance(transport.assign_soon(REQUEST, timeout_s=5).exception(5), WireError)
    else:
        assert "b" == transport.assign(REQUEST, timeout_s=5).decision.variant_id
    transport.close()
