"""What a server does again and again, until it goes down."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod


class Rounds(ABC):
    """A task of rounds with a rest after each. Belongs to one event loop."""

    def __init__(self) -> None:
        """Nothing is done before `start`."""
        self._closing = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin with the first round."""
        self._running = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Finish the round under way and begin no more."""
        self._closing.set()
        if self._running is not None:
            await self._running

    @abstractmethod
    async def round(self) -> float:
        """Do what is to be done now; returns how long to rest, seconds."""

    async def _run(self) -> None:
        while not self._closing.is_set():
            rest_s = await self.round()
            try:
                await asyncio.wait_for(self._closing.wait(), rest_s)
            except TimeoutError:
                continue
