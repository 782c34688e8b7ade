"""The hot calls: bytes to the core and back, nothing else.

A Record waits for the group commit that holds it. The journal writer wakes all of one commit at
once: one entry into the event loop a commit, however many calls it answers.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from klero.errors import KleroError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from klero.engine import Engine

METHODS = ("Assign", "BatchAssign", "IsEnabled", "GetVariant", "Record")
"""What the core answers."""


class Waiting:
    """Calls that wait for a frame to be durable, by ticket. Belongs to one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait on `loop`."""
        self._loop = loop
        self._futures: dict[int, asyncio.Future[bytes]] = {}
        self._committed = asyncio.Event()

    def answer(self, ticket: int) -> asyncio.Future[bytes]:
        """The answer of `ticket`. Call it right after the ticket was taken, on the loop.

        It fails with a KleroError if the frame is not known to be stored, or if the fold refused the
        batch. No coroutine: one that has not begun would miss what is delivered before.
        """
        future: asyncio.Future[bytes] = self._loop.create_future()
        self._futures[ticket] = future
        return future

    async def commit(self) -> None:
        """Wait for the next commit."""
        await self._committed.wait()

    def deliver(self, answers: Sequence[tuple[int, bytes | KleroError]]) -> None:
        """Wake those of one commit; from any thread."""
        self._loop.call_soon_threadsafe(self._wake, answers)

    def _wake(self, answers: Sequence[tuple[int, bytes | KleroError]]) -> None:
        for ticket, answer in answers:
            future = self._futures.pop(ticket, None)
            if future is None or future.done():
                continue  # the caller has gone, its items are stored all the same
            if isinstance(answer, KleroError):
                future.set_exception(answer)
            else:
                future.set_result(answer)
        committed, self._committed = self._committed, asyncio.Event()
        committed.set()


class Decisions:
    """DecisionService over the core."""

    def __init__(self, engine: Engine, waiting: Waiting, *, clock: Callable[[], int]) -> None:
        """Answer from `engine`; `clock` gives Unix milliseconds."""
        self._engine = engine
        self._waiting = waiting
        self._clock = clock

    async def call(self, method: str, request: bytes) -> bytes:
        """Answer one encoded request of `method`."""
        answer = self._engine.handle(method, request, self._clock())
        return answer if isinstance(answer, bytes) else await self._waiting.answer(answer)
