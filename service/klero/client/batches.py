"""Batches of a Record: an identity made when they are first sent, several on their way at once."""

from __future__ import annotations

import os
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from klero.client.refusals import wire_error
from klero.errors import WireError
from klero.v1.decision_service_pb2 import RecordRequest, RecordResponse

if TYPE_CHECKING:
    from types import TracebackType

    import grpc

    from klero.client.remote import Remote
    from klero.v1.decision_service_pb2 import RejectedItem

# Statuses after which the same bytes may be sent again.
_AGAIN = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED"})
_ATTEMPTS = 6
_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 2.0


def uuid7() -> str:
    """A UUID of version 7 (RFC 9562): 48 bits of Unix milliseconds, then chance."""
    value = int.from_bytes((time.time_ns() // 1_000_000).to_bytes(6) + os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76  # version
    value = value & ~(0x3 << 62) | 0x2 << 62  # variant
    return str(uuid.UUID(int=value))


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch on its way."""

    label: int
    """The caller's name for it."""

    encoded: bytes
    """What is sent, however often."""

    answer: grpc.Future[bytes]


@dataclass(slots=True)
class Recorded:
    """What became of all batches so far."""

    accepted: int = 0
    """Items stored."""

    rejected: int = 0
    """Items refused for good."""

    position: int = 0
    """Journal position after the last batch."""

    refusals: list[tuple[int, RejectedItem]] = field(default_factory=list)
    """Refused items with the label of their batch; the server lists up to 100 a batch."""


class Sender:
    """Sends batches with up to `in_flight` on their way; every one is answered when `with` ends.

    A batch that the server could not take is sent again, the same bytes, after a pause.
    """

    def __init__(self, remote: Remote, *, in_flight: int = 4) -> None:
        """Send through `remote`."""
        self._remote = remote
        self._in_flight = in_flight
        self._waiting: deque[Batch] = deque()
        self.recorded = Recorded()

    def __enter__(self) -> Self:
        """Send."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait for what is on its way; after an error give it up."""
        while self._waiting:
            if kind is None:
                self._settle()
            else:
                self._waiting.popleft().answer.cancel()

    def send(self, request: RecordRequest, *, label: int = 0) -> None:
        """Send `request`, which gets its id here; waits while too many are on their way.

        Raises:
            WireError: An earlier batch, or this one, was refused whole.
        """
        request.request_id = uuid7()
        while len(self._waiting) >= self._in_flight:
            self._settle()
        encoded = request.SerializeToString()
        self._waiting.append(Batch(label, encoded, self._remote.record_soon(encoded)))

    def _settle(self) -> None:
        batch = self._waiting.popleft()
        response = RecordResponse.FromString(self._answer(batch))
        self.recorded.accepted += response.accepted
        self.recorded.rejected += response.rejected_count
        self.recorded.position = max(self.recorded.position, response.position)
        self.recorded.refusals.extend((batch.label, item) for item in response.rejected)

    def _answer(self, batch: Batch) -> bytes:
        import grpc

        answer = batch.answer
        for attempt in range(_ATTEMPTS):
            try:
                return answer.result()
            except grpc.RpcError as failure:
                error = wire_error(failure, self._remote.address)
                if error.status not in _AGAIN or attempt == _ATTEMPTS - 1:
                    raise error from failure
            time.sleep(error.retry_after_s or min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**attempt))
            answer = self._remote.record_soon(batch.encoded)
        raise WireError(status="UNAVAILABLE", reason="", message="a batch was never answered")
