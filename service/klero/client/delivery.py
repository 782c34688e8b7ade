"""One batch until the server has it: the same bytes again and again, with growing pauses."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from klero.client.batches import uuid7
from klero.client.items import batches
from klero.client.notices import log
from klero.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from klero.client.items import Item
    from klero.client.notices import Notices
    from klero.v1.decision_service_pb2 import RecordResponse

# Refusals of the request itself: the same bytes would be refused again.
_FOR_GOOD = frozenset({
    "INVALID_ARGUMENT", "FAILED_PRECONDITION", "NOT_FOUND", "OUT_OF_RANGE", "UNIMPLEMENTED", "UNAUTHENTICATED",
    "PERMISSION_DENIED",
})  # fmt: skip
# Reasons of a server that is gone, or about to be.
_ENDING = frozenset({"", "ERROR_REASON_SHUTTING_DOWN"})
_ATTEMPT_S = 10.0
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0


@dataclass(slots=True)
class Counts:
    """What became of items so far."""

    accepted: int = 0
    """The server has them."""

    rejected: int = 0
    """Refused for good; the log says why."""

    dropped: int = 0
    """Never sent: the queue was full, or they were given up at the end."""


class Recorder(Protocol):
    """The road to Record."""

    def record(self, request: bytes, *, timeout_s: float) -> RecordResponse:
        """Send an encoded RecordRequest and wait for its answer; raises WireError."""


class Delivery:
    """Takes batches to the server, one after the other."""

    def __init__(
        self,
        transport: Recorder,
        *,
        namespace: str,
        notices: Notices,
        server_lost: Callable[[], None],
    ) -> None:
        """Prepare.

        Args:
            transport: Sends them.
            namespace: Of all batches.
            notices: Where people are told.
            server_lost: Called when a server did not answer, which may mean that it ended.
        """
        self._transport = transport
        self._namespace = namespace
        self._notices = notices
        self._server_lost = server_lost
        self._random = random.Random()  # noqa: S311  # spreads repeats, hides nothing
        self._abandoned = False
        self._away = False
        self._paused_s = 0.0
        self._resume = threading.Event()
        self.counts = Counts()

    def try_now(self, *, after_s: float = 0.0) -> None:
        """End the pause, if it is one for a server that was away: it may be back.

        Not before `after_s` of it, so that a server that only decides is not called with each decision.
        """
        if self._away and time.monotonic() - self._paused_s >= after_s:
            self._resume.set()

    def abandon(self) -> None:
        """Give up what the server has not taken yet."""
        self._abandoned = True
        self._resume.set()

    def deliver(self, items: Sequence[Item]) -> None:
        """Send `items`; returns when they are stored, refused or given up."""
        if self._abandoned:
            self.counts.dropped += len(items)
            return
        try:
            requests = [
                (request.SerializeToString(), len(request.exposures) + len(request.outcomes))
                for request in batches(
                    items, namespace=self._namespace, request_id=uuid7(), now_ns=time.time_ns(), another_id=_ids()
                )
            ]
        except ValueError as error:
            self._without_the_bad(items, error)
            return
        for encoded, size in requests:
            self._until_stored(encoded, size)

    def _without_the_bad(self, items: Sequence[Item], error: ValueError) -> None:
        """Send all but those that cannot be encoded, such as an event with half a surrogate pair."""
        if len(items) == 1:
            self.counts.rejected += 1
            self._notices.once("encode", "an outcome or exposure cannot be encoded: %s", error)
            return
        middle = len(items) // 2
        self.deliver(items[:middle])
        self.deliver(items[middle:])

    def _until_stored(self, encoded: bytes, size: int) -> None:
        attempt, sent = 0, 0
        while not self._abandoned:
            sent += 1
            try:
                response = self._transport.record(encoded, timeout_s=_ATTEMPT_S)
            except WireError as error:
                if error.status in _FOR_GOOD:
                    self.counts.rejected += size
                    self._notices.once(error.wire_reason or error.status, "batches are refused: %s", error)
                    return
                attempt = self._pause(error, attempt)
            else:
                self._stored(response, recovered=sent > 1)
                return
        self.counts.dropped += size

    def _pause(self, error: WireError, attempt: int) -> int:
        """Wait before the next attempt; returns its number, from the beginning if the server may be back."""
        self._resume.clear()
        if not error.wire_reason:
            self._server_lost()
        self._paused_s = time.monotonic()
        self._away = error.wire_reason in _ENDING
        self._notices.at_times("away", "outcomes wait, and are sent again: %s", error)
        pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(attempt, 10)) * self._random.uniform(0.5, 1.0)
        if error.retry_after_s is not None:
            pause_s = error.retry_after_s * self._random.uniform(1.0, 1.5)
        resumed = not self._abandoned and self._resume.wait(pause_s)
        self._away = False
        return 0 if resumed else attempt + 1

    def _stored(self, response: RecordResponse, *, recovered: bool) -> None:
        self.counts.accepted += response.accepted
        self.counts.rejected += response.rejected_count
        if recovered:
            log.info("outcomes that waited are stored")
        for item in response.rejected:
            self._notices.once(f"item {item.reason}", "an outcome or exposure is refused: %s", item.message)


def _ids() -> Iterator[str]:
    while True:
        yield uuid7()
