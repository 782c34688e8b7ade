"""The road to the server: one connection, remade after a fork.

gRPC cannot be inside a call while the process forks: its threads would be missing in the child, whose
first call could then wait for ever or end the process. So calls go through a gate that is closed for the
length of a fork; what does not end by itself meanwhile is cancelled, and made again by who called.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Protocol, TypeVar

from klero.client.refusals import wire_error
from klero.client.remote import Remote
from klero.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Callable

    import grpc

    from klero.v1.decision_service_pb2 import AssignRequest, AssignResponse, RecordResponse

_FORK_PATIENCE_S = 0.2
_CANCELLED_S = 2.0
_POLL_S = 0.001

Answer = TypeVar("Answer")


class Transport(Protocol):
    """What a client asks of the road to the server."""

    def assign(self, request: AssignRequest, *, timeout_s: float) -> AssignResponse:
        """Decide; raises WireError."""

    def assign_soon(self, request: AssignRequest, *, timeout_s: float) -> Future[AssignResponse]:
        """Decide without waiting; the future has a WireError where `assign` raises it."""

    def close(self) -> None:
        """End; calls under way are cancelled."""


class GrpcTransport:
    """Calls to the server at `address`, from any thread and on both sides of a fork."""

    def __init__(self, address: str) -> None:
        """Connect with the first call; what it takes is loaded now."""
        import grpc  # noqa: F401  # not in the first call, whose caller waits for a decision

        self.address = address
        self.begin()

    def begin(self) -> None:
        """Begin anew, also in the child of a fork: connection and threads are the parent's."""
        # Looked at and changed without a lock, each step atomic: a signal handler may interrupt any of them.
        self._made: dict[str, Remote] = {}
        self._under_way: set[object] = set()
        self._gate = threading.Event()
        self._gate.set()
        self._closed = False

    def assign(self, request: AssignRequest, *, timeout_s: float) -> AssignResponse:
        """Decide.

        Raises:
            WireError: The server refused, or did not answer in time.
        """
        answer: AssignResponse = self._made_again(
            lambda remote, left_s: remote.decisions("Assign", request, timeout_s=left_s), timeout_s
        )
        return answer

    def assign_soon(self, request: AssignRequest, *, timeout_s: float) -> Future[AssignResponse]:
        """Decide without waiting; a call that a fork cuts off fails."""
        answer: Future[AssignResponse] = Future()
        answer.set_running_or_notify_cancel()
        token = object()
        remote = self._enter(token)

        def done(call: grpc.Future[AssignResponse]) -> None:
            import grpc

            self._under_way.discard(token)
            try:
                answer.set_result(call.result())
            except (grpc.FutureCancelledError, grpc.RpcError) as error:
                answer.set_exception(_described(error, self.address))

        try:
            remote.assign_soon(request, timeout_s=timeout_s).add_done_callback(done)
        except ValueError:  # as in `_made_again`
            self._under_way.discard(token)
            answer.set_exception(_cancelled())
        return answer

    def record(self, request: bytes, *, timeout_s: float) -> RecordResponse:
        """Send an encoded RecordRequest.

        Raises:
            WireError: The server refused, or did not answer in time.
        """
        return self._made_again(lambda remote, left_s: remote.record_encoded(request, timeout_s=left_s), timeout_s)

    def close(self) -> None:
        """Close the connection; calls under way are cancelled."""
        self._closed = True
        self._disconnect()

    def before_fork(self) -> None:
        """Let no call be inside gRPC from here on."""
        self._gate.clear()
        if not self._idle_within(_FORK_PATIENCE_S):
            self._disconnect()
            self._idle_within(_CANCELLED_S)

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._gate.set()

    def _made_again(self, call: Callable[[Remote, float], Answer], timeout_s: float) -> Answer:
        """What `call` gives; made again if a fork cut it off."""
        until = time.monotonic() + timeout_s
        while True:
            token = object()
            remote = self._enter(token)
            try:
                return call(remote, max(0.0, until - time.monotonic()))
            except WireError as error:
                if error.status != "CANCELLED" or self._closed or self._made.get("remote") is remote:
                    raise
            except ValueError as error:  # how gRPC says that the channel was closed before the call began
                if self._closed or self._made.get("remote") is remote:
                    raise _cancelled() from error
            finally:
                self._under_way.discard(token)

    def _enter(self, token: object) -> Remote:
        while True:
            self._under_way.add(token)
            # Looked at behind the line above: then either this call sees the gate closed, or the fork sees it.
            if self._gate.is_set():
                break
            self._under_way.discard(token)
            self._gate.wait()
        remote = self._made.get("remote")
        if remote is None:
            made = Remote(self.address)
            remote = self._made.setdefault("remote", made)
            if remote is not made:
                made.close()
        return remote

    def _disconnect(self) -> None:
        remote = self._made.pop("remote", None)
        if remote is not None:
            remote.close()

    def _idle_within(self, patience_s: float) -> bool:
        until = time.monotonic() + patience_s
        while self._under_way:
            if time.monotonic() > until:
                return False
            time.sleep(_POLL_S)
        return True


def _described(error: Exception, address: str) -> WireError:
    import grpc

    if isinstance(error, grpc.RpcError):
        return wire_error(error, address)
    return _cancelled()


def _cancelled() -> WireError:
    return WireError(status="CANCELLED", reason="", message="the call was cancelled")
