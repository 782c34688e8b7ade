"""Tasks of rounds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from klero.rpc.rounds import Rounds

if TYPE_CHECKING:
    from collections.abc import Callable


class Counted(Rounds):
    """Counts its rounds; each takes a while, and the rest after it is as long as the test wants."""

    def __init__(self, rest_s: float) -> None:
        """Begin with none."""
        super().__init__()
        self.begun = self.done = 0
        self.rest_s = rest_s

    async def round(self) -> float:
        """Count it."""
        self.begun += 1
        await asyncio.sleep(0.01)
        self.done += 1
        return self.rest_s


async def test_a_round_under_way_is_finished() -> None:
    """A shutdown in the middle of a change must not leave half of it."""
    rounds = Counted(rest_s=0)
    rounds.start()
    await _until(lambda: rounds.begun >= 3)
    await rounds.close()

    assert rounds.begun == rounds.done >= 3


async def test_a_rest_ends_with_the_task() -> None:
    """A server that waits for a look in an hour stops at once."""
    rounds = Counted(rest_s=3600)
    rounds.start()
    await _until(lambda: rounds.done > 0)
    async with asyncio.timeout(10):
        await rounds.close()

    assert 1 == rounds.done


async def test_what_never_began_can_be_closed() -> None:
    """A server whose journal is damaged goes down before it begins."""
    rounds = Counted(rest_s=0)
    await rounds.close()

    assert 0 == rounds.begun


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  # nobody tells: what is looked at knows nothing of tests
            await asyncio.sleep(0)
