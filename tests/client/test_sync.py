"""`Client`: decisions from servers of every kind, and none of them stops the program."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest

import klero
from tests.client.servers import ScriptedServer, free_address, listening, refuse

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_decision_has_all_that_the_server_says() -> None:
    """Agents read the config as their own language has it: integers are ints."""
    with ScriptedServer() as server, klero.Client(server.address, timeout_s=5) as client:
        decision = client.assign("e", "a", attributes={"plan": "pro", "seats": 3, "share": 0.5, "new": True, "x": None})

    assert {"tokens": 512, "temperature": 0.5, "nested": {"ids": [1, 2]}, "off": None} == decision.config
    assert isinstance(decision.config["tokens"], int)
    assert ("b", "split", True, True, True) == (
        decision.variant_id,
        decision.reason,
        decision.enrolled,
        decision.randomized,
        decision.enabled,
    )
    assert (9, 2, 3, 0.5) == (decision.revision, decision.iteration, decision.epoch, decision.propensity)
    assert not decision.is_default
    sent = server.assigns[0].attributes
    assert {"plan", "seats", "share", "new"} == set(sent)
    assert (3, True) == (sent["seats"].int_value, sent["new"].bool_value)


def test_flags_are_asked_in_words_of_flags() -> None:
    """A flag is an experiment."""
    with ScriptedServer() as server, klero.Client(server.address, timeout_s=5) as client:
        assert client.is_enabled("f", "a")
        assert "b" == client.get_variant("f", "a")


@pytest.mark.parametrize("kind", ["absent", "silent", "rubbish", "http"])
def test_a_server_that_is_none_costs_the_timeout_at_most(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """An agent goes on with its default while the server is restarted, overloaded or another program."""
    if kind == "absent":
        _expect_defaults(free_address(), caplog)
        return
    speak = {"silent": None, "rubbish": b"\x00\xff\x17garbage" * 50, "http": b"HTTP/1.1 400 Bad Request\r\n\r\n"}[kind]
    with listening(speak) as address:
        _expect_defaults(address, caplog)


def _expect_defaults(address: str, caplog: pytest.LogCaptureFixture) -> None:
    client = klero.Client(address, timeout_s=0.3)
    started = time.monotonic()
    decision = client.assign("e", "a", default={"model": "m"}, default_variant="old")
    took_s = time.monotonic() - started

    assert took_s < 1.5
    assert ("server_unavailable", "old", {"model": "m"}) == (decision.reason, decision.variant_id, decision.config)
    assert decision.is_default
    assert not decision.enrolled
    assert client.is_enabled("e", "a", default=True)
    assert not client.is_enabled("e", "a")
    assert "x" == client.get_variant("e", "a", default="x")
    assert 1 == sum("defaults stand in" in record.message for record in caplog.records)
    client.close()


def test_a_slow_server_costs_the_timeout() -> None:
    """The time for a decision is the agent's, not the server's."""
    with ScriptedServer() as server, klero.Client(server.address, timeout_s=0.2) as client:
        client.assign("e", "a")

        def slow(request: bytes, context: grpc.ServicerContext) -> bytes:
            del request, context
            time.sleep(1.0)
            return b""

        server.on_assign = slow
        started = time.monotonic()
        decision = client.assign("e", "a")
        assert time.monotonic() - started < 0.9

    assert "server_unavailable" == decision.reason


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (grpc.StatusCode.NOT_FOUND, "ERROR_REASON_EXPERIMENT_NOT_FOUND", "not_found"),
        (grpc.StatusCode.FAILED_PRECONDITION, "ERROR_REASON_ASSIGNED_EXTERNALLY", "refused"),
        (grpc.StatusCode.PERMISSION_DENIED, "ERROR_REASON_PERMISSION_DENIED", "refused"),
        (grpc.StatusCode.UNAVAILABLE, "ERROR_REASON_SNAPSHOT_UNAVAILABLE", "server_unavailable"),
    ],
)
def test_a_refusal_is_a_default_and_one_warning(
    code: grpc.StatusCode, reason: str, expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A misspelt experiment must show in the log, and not as an outage of the agent."""
    with ScriptedServer() as server, klero.Client(server.address, timeout_s=5) as client:
        server.on_assign = lambda _request, context: refuse(context, code, reason)
        decisions = [client.assign("e", "a", default={"x": 1}) for _ in range(3)]

    assert [(expected, {"x": 1})] * 3 == [(decision.reason, decision.config) for decision in decisions]
    assert 1 == sum(record.levelno == logging.WARNING for record in caplog.records)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda client: client.assign("", "a"), "experiment_id must not be empty"),
        (lambda client: client.assign("e"), "no entity"),
        (lambda client: client.assign("e", ""), "entity_id must not be empty"),
        (lambda client: client.assign("e", "a", attributes={"x": float("nan")}), "must be finite"),
        (lambda client: client.assign("e", "a", attributes={"x": 2**63}), "64 bits"),
        (lambda client: client.record("", entity_id="a"), "event must not be empty"),
        (lambda client: client.record("success"), "no entity"),
        (lambda client: client.record("success", 10**400, entity_id="a"), "larger than a double"),
        (lambda client: client.flush(0), "timeout_s must be above 0"),
    ],
)
def test_impossible_values_raise(call: Callable[[klero.Client], object], message: str) -> None:
    """A mistake of the program should be seen where it is made."""
    with klero.Client(free_address()) as client, pytest.raises(ValueError, match=message):
        call(client)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda client: client.assign(7, "a"), "experiment_id must be a string, not int: 7"),
        (lambda client: client.assign("e", 7), "entity_id must be a string"),
        (lambda client: client.assign("e", "a", attributes={"x": object()}), r"attributes\['x'\] must be"),
        (lambda client: client.assign("e", "a", attributes=[1]), "attributes must be a mapping"),
        (lambda client: client.assign("e", entities={"user": 1}), r"entities\['user'\]"),
        (lambda client: client.record("success", "1", entity_id="a"), "value must be a number or a bool, not str"),
        (lambda client: client.record(b"success", entity_id="a"), "event must be a string"),
        (lambda client: client.record("success", entity_id=7), "entity_id must be a string"),
        (lambda client: client.record("success", entity_id="a", dimensions={"m": 1}), r"dimensions\['m'\]"),
        (lambda client: client.record("success", entity_id="a", occurred_at=1), "occurred_at must be a datetime"),
        (lambda client: client.expose("b"), "decision must be a klero.Decision"),
    ],
)
def test_wrong_types_raise(call: Callable[[Any], object], message: str) -> None:
    """As above."""
    with klero.Client(free_address()) as client, pytest.raises(TypeError, match=message):
        call(client)


def test_a_closed_client_says_so() -> None:
    """Nothing is silently kept by a client that will never send it."""
    client = klero.Client(free_address())
    client.close()
    client.close()

    with pytest.raises(RuntimeError, match="the client is closed"):
        client.assign("e", "a")
    with pytest.raises(RuntimeError, match="the client is closed"):
        client.record("success", entity_id="a")
    assert client.flush()


def test_settings_are_checked() -> None:
    """A timeout of 0 would give every entity the default."""
    for settings in ({"timeout_s": 0}, {"queue_size": 0}, {"linger_s": -1}, {"exit_timeout_s": 0}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            klero.Client(free_address(), **settings)  # type: ignore[arg-type]  # by name
