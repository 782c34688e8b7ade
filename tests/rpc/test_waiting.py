"""Calls that wait for their frame."""

from __future__ import annotations

import asyncio

from klero.rpc.decisions import Waiting


async def test_an_answer_that_comes_at_once_is_not_missed() -> None:
    """The writer can be done before whoever queued something has come to wait for it, and then for ever."""
    waiting = Waiting(asyncio.get_running_loop())
    answers = [waiting.answer(ticket) for ticket in (1, 2)]
    waiting.deliver([(2, b"second"), (1, b"first")])

    async with asyncio.timeout(5):
        assert [b"first", b"second"] == await asyncio.gather(*answers)
