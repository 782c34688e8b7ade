"""What waits to be sent: a bounded queue, and the one thread that empties it.

`put` is all that a caller's thread does. Whatever may be called from a signal handler takes no lock that
another thread could hold.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Protocol

from klero.client.notices import log

if TYPE_CHECKING:
    from collections.abc import Callable

    from klero.client.delivery import Counts, Delivery
    from klero.client.items import Exposure, Item
    from klero.client.notices import Notices

# Exposures of this age are surely in the journal of the server that was told of them.
_AT_RISK_S = 5.0
_MAX_AT_RISK = 10_000
_FOUND_AFTER_S = 0.5
_BATCH_ITEMS = 2000
_ABANDONED_S = 2.0


class Box(Protocol):
    """Where a client leaves what is to be remembered."""

    @property
    def counts(self) -> Counts:
        """What became of items so far."""

    @property
    def waiting(self) -> int:
        """Items that are not stored, refused or given up yet."""

    def put(self, item: Item) -> None:
        """Leave an item; never waits."""

    def told(self, exposure: Exposure) -> None:
        """Note an exposure that the server queued by itself."""

    def server_found(self) -> None:
        """Note that a server answers."""

    def server_lost(self) -> None:
        """Note that a server does not answer any more."""

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything left before is settled; whether it was within `timeout_s`."""

    def close(self, timeout_s: float, *, cut_off: Callable[[], None]) -> None:
        """Send what waits, at most for `timeout_s`, and end; `cut_off` ends the call under way."""


class _Mark(Future[None]):
    """A place in the queue; done when everything before it is settled."""

    last = False


class Outbox:
    """Sends items in the order in which they were left."""

    def __init__(
        self,
        make: Callable[[Callable[[], None]], Delivery],
        *,
        size: int,
        linger_s: float,
        notices: Notices,
        started: Callable[[], None],
    ) -> None:
        """Begin empty; the thread starts with the first item.

        Args:
            make: Makes the delivery, also anew after a fork; is given what to call when a server is lost.
            size: Items that may wait; those beyond are dropped and counted.
            linger_s: How long the first item of a batch waits for others.
            notices: Where people are told.
            started: Called when the thread has started.
        """
        self._make = make
        self._size = size
        self._started = started
        self._linger_s = linger_s
        self._notices = notices
        self.begin()

    def begin(self) -> None:
        """Begin anew, also in the child of a fork: what waits is the parent's."""
        self._queue: SimpleQueue[Item | _Mark] = SimpleQueue()
        self._delivery = self._make(self.server_lost)
        self._at_risk: deque[tuple[float, Exposure]] = deque(maxlen=_MAX_AT_RISK)
        self._lost: deque[Exposure] = deque()
        self._hurry = threading.Event()
        self._starting = threading.RLock()
        self._thread: threading.Thread | None = None
        self._in_hand = 0
        self._room = self._size
        self._overflowing = threading.RLock()
        self._overflow = 0

    @property
    def counts(self) -> Counts:
        """What became of items so far, in this process."""
        done = self._delivery.counts
        return replace(done, dropped=done.dropped + self._overflow)

    @property
    def waiting(self) -> int:
        """Items that are not stored, refused or given up yet."""
        return self._queue.qsize() + self._in_hand

    def put(self, item: Item) -> None:
        """Leave an item; if too many wait it is dropped and counted."""
        if self._queue.qsize() >= self._room:
            self._drop()
            return
        self._queue.put(item)
        if self._thread is None:
            self._start()

    def told(self, exposure: Exposure) -> None:
        """Note an exposure that a server queued: one that ends by force can lose the last second of them."""
        self._at_risk.append((time.monotonic(), exposure))

    def server_found(self) -> None:
        """Send soon what waits for a server that was away."""
        self._delivery.try_now(after_s=_FOUND_AFTER_S)

    def server_lost(self) -> None:
        """Send again what a server that is gone may not have stored; repeats are harmless."""
        oldest, found = time.monotonic() - _AT_RISK_S, False
        while self._at_risk:
            try:
                at, exposure = self._at_risk.popleft()
            except IndexError:  # another thread had the last one
                break
            if at >= oldest:
                self._lost.append(exposure)
                found = True
        if found:
            self._queue.put(_Mark())
            self._start()

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything left before is settled; whether it was within `timeout_s`."""
        if not self._room or (self._thread is None and not self.waiting):
            return not self.waiting
        return self._settled_within(timeout_s)

    def _settled_within(self, timeout_s: float) -> bool:
        mark = _Mark()
        self._queue.put(mark)
        self._hurry.set()
        self._delivery.try_now()
        self._start()
        try:
            mark.result(timeout_s)
        except TimeoutError:
            return False
        return True

    def close(self, timeout_s: float, *, cut_off: Callable[[], None]) -> None:
        """Send what waits, at most for `timeout_s`; what is left then is given up and counted.

        `cut_off` ends the call under way, which may wait for a server that never answers.
        """
        if not self._room:
            return
        self._room = 0
        if self._thread is None and not self.waiting:
            cut_off()
            return
        dropped = self.counts.dropped
        if not self._settled_within(timeout_s):
            self._delivery.abandon()
        cut_off()
        last = _Mark()
        last.last = True
        self._queue.put(last)
        self._start()
        if self._thread is not None:
            self._thread.join(_ABANDONED_S)
        lost = self.counts.dropped - dropped
        if lost:
            log.warning("not stored within %g s and given up: outcomes and exposures, %d in all", timeout_s, lost)

    def _drop(self) -> None:
        with self._overflowing:
            self._overflow += 1
        if not self._room:
            self._notices.once("ended", "what is recorded after the end of the client is dropped")
            return
        self._notices.at_times(
            "full",
            "%d outcomes wait already, so this one and others are dropped; `counts.dropped` counts them",
            self._size,
        )

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                # A daemon: it may wait for a server that never comes, and the process must end all the same.
                self._thread = threading.Thread(target=self._run, name="klero-outbox", daemon=True)
                self._thread.start()
                self._started()

    def _run(self) -> None:
        while True:
            first = self._queue.get()
            if not isinstance(first, _Mark):
                self._in_hand = 1
                if self._queue.qsize() < _BATCH_ITEMS and self._hurry.wait(self._linger_s):
                    self._hurry.clear()
            items, mark = self._take(first)
            self._deliver(items)
            while self._lost:
                self._deliver([self._lost.popleft() for _ in range(min(len(self._lost), _BATCH_ITEMS))])
            if mark is not None:
                mark.set_result(None)
                if mark.last:
                    return

    def _take(self, first: Item | _Mark) -> tuple[list[Item], _Mark | None]:
        """The next batch, and the mark behind it."""
        items: list[Item] = []
        found: Item | _Mark = first
        while not isinstance(found, _Mark):
            items.append(found)
            if len(items) >= _BATCH_ITEMS:
                return items, None
            try:
                found = self._queue.get_nowait()
            except Empty:
                return items, None
        return items, found

    def _deliver(self, items: list[Item]) -> None:
        if not items:
            return
        self._in_hand = len(items)
        try:
            self._delivery.deliver(items)
        except Exception:  # noqa: BLE001  # a batch that cannot be encoded must not end the thread, and with it all others
            self._delivery.counts.dropped += len(items)
            log.exception("a batch cannot be sent")
        self._in_hand = 0
