"""Clients that outlive the server, each with a log of what it sent and what it was told."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

import grpc

from klero.v1.decision_service_pb2 import RecordRequest, RecordResponse
from tests.drill.batches import delivered_again, has_event_ids, new_batch
from tests.rpc.calls import refusal

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

_RECORD = "/klero.v1.DecisionService/Record"
_TIMEOUT_S = 30.0
_RETRY_S = 0.02
# Of a hundred calls, those that repeat an acknowledged batch, and those that deliver its outcomes anew.
_REPEATS = 10
_DELIVERED_AGAIN = 5


class DrillClient:
    """Sends one batch after the other; everything that is known of them afterwards is in `log`.

    The lines are `sent BYTES`, before each attempt; `stored ID ACCEPTED POSITION` or
    `repeat ID ACCEPTED POSITION`, for each acknowledgement; and `failed CODE DETAILS`.
    """

    def __init__(self, number: int, directory: Path) -> None:
        """Begin an empty log `client-NUMBER.log` in `directory`."""
        self.log = directory / f"client-{number}.log"
        self.acknowledged = 0
        """Outcomes of new batches that were acknowledged."""
        self.in_flight = False
        """Whether a call is under way."""
        self.unanswered: bytes | None = None
        """The batch whose call failed."""
        self._file = self.log.open("w", encoding="utf-8", buffering=1)
        self._name = f"entity-{number}"
        self._batches = 0
        self._history: list[bytes] = []

    def close(self) -> None:
        """Close the log."""
        self._file.close()

    def send_until_it_fails(self, address: str, random: Random) -> None:
        """Send new batches, and between them old ones, until the server is gone."""
        with _channel(address) as channel:
            while self.unanswered is None:
                self._send(channel, self._next(random))

    def send_again(self, address: str) -> None:
        """Send what was not answered once more, the same bytes."""
        if self.unanswered is not None:
            body, self.unanswered = self.unanswered, None
            with _channel(address) as channel:
                self._send(channel, body)

    def _next(self, random: Random) -> bytes:
        choice = random.randrange(100)
        if self._history and choice < _REPEATS:
            return random.choice(self._history)
        if self._history and choice < _REPEATS + _DELIVERED_AGAIN:
            old = RecordRequest.FromString(random.choice(self._history))
            if has_event_ids(old):
                return delivered_again(old, random).SerializeToString()
        self._batches += 1
        return new_batch(random, f"{self._name}-{self._batches}").SerializeToString()

    def _send(self, channel: grpc.Channel, body: bytes) -> None:
        call: grpc.UnaryUnaryMultiCallable[bytes, RecordResponse] = channel.unary_unary(
            _RECORD, response_deserializer=RecordResponse.FromString
        )
        self._file.write(f"sent {body.hex()}\n")
        self.in_flight = True
        try:
            response = _answered(call, body)
        except grpc.RpcError as error:
            failed = cast("grpc.Call", error)
            self.unanswered = body
            self._file.write(f"failed {failed.code().name} {' '.join((failed.details() or '').split())}\n")
        else:
            self._acknowledge(body, response)
        finally:
            self.in_flight = False

    def _acknowledge(self, body: bytes, response: RecordResponse) -> None:
        request = RecordRequest.FromString(body)
        word = "repeat" if response.duplicate else "stored"
        self._file.write(f"{word} {request.request_id} {response.accepted} {response.position}\n")
        if not response.duplicate:
            self._history.append(body)
            self.acknowledged += len(request.outcomes)


def _answered(call: grpc.UnaryUnaryMultiCallable[bytes, RecordResponse], body: bytes) -> RecordResponse:
    """The answer; as long as the server itself asks to come again, as it does at its start, that is done."""
    deadline = time.monotonic() + _TIMEOUT_S
    while True:
        try:
            return call(body, timeout=_TIMEOUT_S)
        except grpc.RpcError as error:
            if not _is_refused_for_now(error) or time.monotonic() > deadline:
                raise
        time.sleep(_RETRY_S)


def _is_refused_for_now(error: grpc.RpcError) -> bool:
    """Whether the server refused the call and stored nothing; a broken connection has no details."""
    has_details = any(key == "grpc-status-details-bin" for key, _ in cast("grpc.Call", error).trailing_metadata() or ())
    return has_details and refusal(error).may_retry


def _channel(address: str) -> grpc.Channel:
    # Channels to one address share connections, and with them the pause after a failed attempt.
    return grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])
