"""`AsyncClient`: the event loop goes on while a decision is awaited."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING

import klero
from tests.client.servers import ScriptedServer, assigned, free_address, listening

if TYPE_CHECKING:
    import grpc


async def test_decisions_are_awaited_side_by_side() -> None:
    """Agents in one event loop do not wait for one another."""

    def slow(request: bytes, context: grpc.ServicerContext) -> bytes:
        time.sleep(0.2)
        return assigned(request, context)

    with ScriptedServer() as server:
        async with klero.AsyncClient(server.address, timeout_s=5) as client:
            server.on_assign = slow
            started = time.monotonic()
            decisions = await asyncio.gather(*(client.assign("e", f"a{number}") for number in range(8)))
            took_s = time.monotonic() - started
            assert await client.is_enabled("e", "a")
            assert "b" == await client.get_variant("e", "a")
            client.record("success", entity_id="a")
            assert await client.flush()

    assert [f"a{number}" for number in range(8)] == [decision.entity_id for decision in decisions]
    assert took_s < 1.2
    assert ["success"] == [outcome.event for outcome in server.outcomes()]


async def test_without_a_server_there_is_the_default() -> None:
    """As for `Client`."""
    with listening(None) as silent:
        for address in (free_address(), silent):
            client = klero.AsyncClient(address, timeout_s=0.2)
            decision = await client.assign("e", "a", default={"x": 1})
            assert ("server_unavailable", {"x": 1}) == (decision.reason, decision.config)
            client.record("success", entity_id="a")
            assert not await client.flush(0.1)
            await client.close(0.1)
            assert 1 == client.counts.dropped
            assert await client.flush()


def test_methods_are_those_of_the_client() -> None:
    """Who knows one knows the other."""
    names = {name for name in dir(klero.Client) if not name.startswith("_")}

    assert names == {name for name in dir(klero.AsyncClient) if not name.startswith("_")}
    for name in names:
        one, other = getattr(klero.Client, name), getattr(klero.AsyncClient, name)
        if callable(one):
            assert inspect.signature(one).parameters == inspect.signature(other).parameters
    assert inspect.signature(klero.Client).parameters == inspect.signature(klero.AsyncClient).parameters
