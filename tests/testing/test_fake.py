"""Clients without a server behave as those with one, but for what the test fixes."""

from __future__ import annotations

import pytest

from klero.testing import FakeAsyncClient, FakeClient, Fixed, fixed


def agent(client: FakeClient) -> str:
    """Code under test, as it calls any client."""
    with client.run("r1"):
        decision = client.assign("prompt", default={"text": "old"})
        client.record("cost_usd", 0.5, dimensions={"model": "m"})
        return str(decision.config["text"])


def test_everyone_gets_what_was_fixed() -> None:
    """A test must not depend on a hash."""
    client = fixed({"prompt": Fixed("new", {"text": "think", "limit": 3}), "search": True, "old": False, "e": "b"})

    assert "think" == agent(client)
    assert 3 == client.assign("prompt", "a").config["limit"]
    assert client.is_enabled("search", "a")
    assert not client.is_enabled("old", "a", default=True)
    assert "b" == client.get_variant("e", "a")
    assert [0.5] == client.values("cost_usd")
    assert ["cost_usd", "duration_s", "success"] == [outcome.event for outcome in client.outcomes]
    assert ("prompt", "r1", "new") == (
        client.exposures[0].experiment_id,
        client.exposures[0].entity_id,
        client.exposures[0].variant_id,
    )


def test_what_was_not_fixed_is_not_there() -> None:
    """As with a server; a test sees its own misspelling."""
    client = FakeClient()

    assert "old" == agent(client)
    assert "not_found" == client.assign("prompt", "a").reason
    client.fix("prompt", "b")
    assert "b" == client.get_variant("prompt", "a")


def test_an_outage_can_be_played() -> None:
    """Programs should be tested without a server too."""
    client = fixed({"prompt": Fixed("new", {"text": "think"})})
    client.go_away()

    assert "old" == agent(client)
    assert "server_unavailable" == client.assign("prompt", "a").reason
    client.come_back()
    assert "think" == agent(client)


def test_deferred_exposures_are_those_that_were_used() -> None:
    """As with a server."""
    client = fixed({"e": "b"})
    decision = client.assign("e", "a", expose=False)

    assert [] == client.exposures
    client.expose(decision)
    assert [decision] == client.exposures


def test_mistakes_raise_as_they_would() -> None:
    """A fake that takes anything would hide them."""
    client = FakeClient()
    with pytest.raises(ValueError, match="no entity"):
        client.record("success")
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.record("success", entity_id="a")
    assert (0, 0, True) == (client.waiting, client.counts.accepted, client.flush())


async def test_the_asynchronous_fake() -> None:
    """The same, awaited."""
    async with FakeAsyncClient({"e": "b"}) as client:
        assert "b" == await client.get_variant("e", "a")
        client.go_away()
        assert "x" == await client.get_variant("e", "a", default="x")
        client.record("success", entity_id="a")
        assert await client.flush()

    assert [1.0] == client.values("success")
