"""What is recorded arrives once, in its order, through every trouble on the way."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import grpc
import pytest

import klero
from klero.client import delivery, outbox
from klero.v1.decision_pb2 import DecisionReason
from klero.v1.decision_service_pb2 import RecordRequest, RecordResponse, RejectedItem
from klero.v1.error_reason_pb2 import ErrorReason
from tests.client.servers import ScriptedServer, free_address, listening, refuse, stored

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of a test."""
    monkeypatch.setattr(delivery, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(delivery, "_LONGEST_PAUSE_S", 0.1)


def test_outcomes_go_in_batches_in_their_order() -> None:
    """A call to the server for each outcome would be its load."""
    with ScriptedServer() as server, klero.Client(server.address) as client:
        for number in range(5000):
            client.record("n", number, entity_id="a")
        assert client.flush()
        counts, waiting = client.counts, client.waiting

    assert list(range(5000)) == [outcome.value for outcome in server.outcomes()]
    assert len(server.records) < 50
    assert (5000, 0, 0, 0) == (counts.accepted, counts.rejected, counts.dropped, waiting)


def test_an_outcome_has_all_that_was_given() -> None:
    """What is left out is the server's to fill in: a fresh outcome has the server's time."""
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    with ScriptedServer() as server, klero.Client(server.address, namespace="n") as client:
        client.record("success", True, entity_id="a")  # noqa: FBT003  # as agents write it
        client.record(
            "cost",
            2,
            entities={"user": "u", "task": "t"},
            occurred_at=at,
            event_id="i",
            supersedes="h",
            dimensions={"model": "m"},
        )
    first, second = server.outcomes()

    assert "n" == server.requests()[0].namespace
    assert ("a", "success", 1.0, False) == (first.entity_id, first.event, first.value, first.HasField("occurred_at"))
    assert ({"user": "u", "task": "t"}, {"model": "m"}) == (dict(second.entities), dict(second.dimensions))
    assert ("i", "h", at) == (second.event_id, second.supersedes, second.occurred_at.ToDatetime(tzinfo=UTC))


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED])
def test_a_batch_is_sent_again_byte_for_byte(code: grpc.StatusCode) -> None:
    """The server knows a repeat by its request id and its bytes."""
    with ScriptedServer() as server, klero.Client(server.address) as client:

        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            if len(server.records) < 4:
                refuse(context, code, "ERROR_REASON_OVERLOADED", retry_s=0.01)
            return stored(request, context)

        server.on_record = answer
        client.record("a", entity_id="a")
        assert client.flush()

    assert 4 == len(server.records)
    assert 1 == len(set(server.records))
    assert 1 == client.counts.accepted


def test_the_server_says_how_long_to_wait() -> None:
    """A server under load is not buried by those that it sent away."""
    times: list[float] = []
    with ScriptedServer() as server, klero.Client(server.address) as client:

        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            times.append(time.monotonic())
            if len(times) == 1:
                refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "ERROR_REASON_OVERLOADED", retry_s=0.4)
            return stored(request, context)

        server.on_record = answer
        client.record("a", entity_id="a")
        assert client.flush()

    assert 2 == len(times)
    assert 0.4 <= times[1] - times[0] < 1.5


def test_an_answer_that_is_lost_is_asked_for_again() -> None:
    """Stored or not, nobody knows: the same bytes settle it."""
    with ScriptedServer() as server:
        client = klero.Client(server.address)
        server.on_record = lambda _request, context: _without_reason(context)
        client.record("a", entity_id="a")
        assert not client.flush(0.2)
        server.on_record = stored
        assert client.flush()
        client.close()

    assert 1 == len(set(server.records))


def _without_reason(context: grpc.ServicerContext) -> bytes:
    context.abort(grpc.StatusCode.UNKNOWN, "broken off")
    raise AssertionError


def test_what_is_refused_for_good_holds_up_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """One bad batch must not keep all later ones."""
    with ScriptedServer() as server, klero.Client(server.address) as client:
        server.on_record = lambda _request, context: refuse(
            context, grpc.StatusCode.INVALID_ARGUMENT, "ERROR_REASON_INVALID_FIELD"
        )
        client.record("a", entity_id="a")
        assert client.flush()
        server.on_record = stored
        client.record("b", entity_id="a")
        assert client.flush()
        counts = client.counts

    assert 2 == len(server.records)
    assert (1, 1, 0) == (counts.accepted, counts.rejected, counts.dropped)
    assert ["batches are refused: refused by the test"] == caplog.messages


def test_refused_items_are_counted_and_named_once(caplog: pytest.LogCaptureFixture) -> None:
    """A NaN among outcomes shows in the log, not in a crash."""
    answer = RecordResponse(
        accepted=1,
        rejected_count=2,
        rejected=[RejectedItem(reason=ErrorReason.ERROR_REASON_VALUE_NOT_FINITE, message="`cost` is NaN")] * 2,
    )
    with ScriptedServer() as server, klero.Client(server.address) as client:
        server.on_record = lambda _request, _context: answer.SerializeToString()
        client.record("cost", float("nan"), entity_id="a")
        assert client.flush()

    assert (1, 2) == (client.counts.accepted, client.counts.rejected)
    assert ["an outcome or exposure is refused: `cost` is NaN"] == caplog.messages


def test_what_cannot_be_encoded_keeps_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    """Text from models may hold anything."""
    with ScriptedServer() as server, klero.Client(server.address) as client:
        for number in range(100):
            client.record("bad \ud800" if number == 37 else "good", number, entity_id="a")
        assert client.flush()
        counts = client.counts

    assert [number for number in range(100) if number != 37] == [outcome.value for outcome in server.outcomes()]
    assert (99, 1, 0) == (counts.accepted, counts.rejected, counts.dropped)
    assert 1 == len(caplog.messages)


@pytest.mark.parametrize("speak", [None, b"\x00\xff\x17garbage" * 50])
def test_a_full_queue_drops_and_never_waits(speak: bytes | None, caplog: pytest.LogCaptureFixture) -> None:
    """An agent keeps its pace and its memory when nobody takes its outcomes."""
    with listening(speak) as address:
        client = klero.Client(address, queue_size=100)
        started = time.monotonic()
        for _ in range(20_000):
            client.record("a", entity_id="a")
        assert time.monotonic() - started < 2.0
        assert client.counts.dropped + client.waiting == 20_000
        assert client.counts.dropped >= 19_000
        client.close(timeout_s=0.2)

    assert 20_000 == client.counts.dropped
    assert 1 == sum("wait already" in message for message in caplog.messages)
    assert any("given up" in message for message in caplog.messages)


def test_what_waits_for_long_has_the_time_it_was_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an outage of hours an outcome must still lie in its window."""
    monkeypatch.setattr("klero.client.items.FRESH_NS", 0)
    before = time.time()
    with ScriptedServer() as server, klero.Client(server.address) as client:
        client.record("a", entity_id="a")
    after = time.time()

    assert before <= server.outcomes()[0].occurred_at.ToNanoseconds() / 1e9 <= after


def test_large_outcomes_are_spread_over_batches() -> None:
    """The server refuses what is above 4 MB whole."""
    large = {"trace": "x" * 15_000}
    with ScriptedServer() as server, klero.Client(server.address) as client:
        for number in range(900):
            client.record("n", number, entity_id="a", dimensions=large)
        assert client.flush(20)

    assert all(len(request) <= 4_000_000 for request in server.records)
    assert list(range(900)) == [outcome.value for outcome in server.outcomes()]
    assert len(server.records) == len(server.requests())


def test_threads_share_a_client() -> None:
    """A program has one client, whatever its threads."""
    with ScriptedServer() as server, klero.Client(server.address) as client:

        def work(name: str) -> None:
            for number in range(500):
                client.record(name, number, entity_id=name)

        threads = [threading.Thread(target=work, args=(f"t{index}",)) for index in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.flush()

    for index in range(8):
        assert list(range(500)) == [outcome.value for outcome in server.outcomes() if outcome.event == f"t{index}"]


def test_a_deferred_decision_is_exposed_when_it_is_used() -> None:
    """What is fetched ahead and never used must not count."""
    with ScriptedServer() as server, klero.Client(server.address, timeout_s=5) as client:
        decision = client.assign("e", "a", attributes={"plan": "pro"}, expose=False)
        client.assign("e", "b", expose=False)
        client.expose(decision)
        client.record("success", entity_id="a")
        assert client.flush()

    request = server.requests()[0]
    (exposure,) = request.exposures
    assert [2, 2] == [assign.exposure for assign in server.assigns]
    assert ("e", "a", "b", 2, 3, 9) == (
        exposure.experiment_id,
        exposure.entity_id,
        exposure.variant_id,
        exposure.iteration,
        exposure.epoch,
        exposure.revision,
    )
    assert DecisionReason.DECISION_REASON_SPLIT == exposure.reason
    assert "pro" == exposure.attributes["plan"].string_value
    assert 1 == len(request.outcomes)


def test_exposures_that_count_nowhere_are_not_sent() -> None:
    """A default is no exposure."""
    with ScriptedServer() as server:
        away = klero.Client(free_address(), timeout_s=0.1)
        default = away.assign("e", "a")
        away.close()
        with klero.Client(server.address) as client:
            client.expose(default)
            client.expose(klero.Decision.external("x", "v", entity_id="a"))

    assert [("x", "v", 0)] == [(sent.experiment_id, sent.variant_id, sent.reason) for sent in server.exposures()]


@pytest.mark.parametrize("notice", ["assign", "record"])
def test_exposures_are_sent_again_when_the_server_is_lost(notice: str) -> None:
    """A server that ends by force may lose those that it queued in its last second."""
    server = ScriptedServer()
    client = klero.Client(server.address, timeout_s=5)
    client.assign("e", "a")
    server.stop()
    if notice == "assign":
        assert client.assign("e", "b").is_default
    else:
        client.record("success", entity_id="a")
        assert not client.flush(0.3)
    with ScriptedServer(server.address) as again:
        _eventually(again.exposures)
        client.close()

        assert [("e", "a", "b")] == [
            (sent.experiment_id, sent.entity_id, sent.variant_id) for sent in again.exposures()
        ]
        assert again.exposures()[0].HasField("occurred_at")


def test_many_failures_of_one_outage_make_few_batches() -> None:
    """An agent that asks on during an outage must not cut what waits into single outcomes."""
    server = ScriptedServer()
    client = klero.Client(server.address, timeout_s=5, linger_s=0.01)
    client.assign("e", "a")
    server.stop()
    for number in range(200):
        client.record("n", number, entity_id="a")
        client.assign("e", f"b{number}")
    with ScriptedServer(server.address) as again:
        assert client.flush(10)
        client.close()

    assert 200 == len(again.outcomes())
    assert len(again.requests()) < 10


@pytest.mark.parametrize("sign", ["flush", "assign"])
def test_a_server_that_is_back_is_called_at_once(sign: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits must not be given up at the end of a program only because a pause was long."""
    monkeypatch.setattr(delivery, "_FIRST_PAUSE_S", 60.0)
    monkeypatch.setattr(delivery, "_LONGEST_PAUSE_S", 60.0)
    monkeypatch.setattr(outbox, "_FOUND_AFTER_S", 0.0)
    address = free_address()
    client = klero.Client(address, timeout_s=5, linger_s=0.01)
    client.record("n", entity_id="a")
    time.sleep(0.2)
    with ScriptedServer(address) as server:
        monkeypatch.setattr(delivery, "_FIRST_PAUSE_S", 0.01)
        if sign == "flush":
            assert client.flush(5)
        else:
            _eventually(lambda: not client.assign("e", "a").is_default)
            _eventually(server.outcomes)
        assert 1 == len(server.outcomes())
        client.close()


def test_old_exposures_are_not_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are on the server's disk."""
    monkeypatch.setattr(outbox, "_AT_RISK_S", 0.0)
    server = ScriptedServer()
    client = klero.Client(server.address, timeout_s=5)
    client.assign("e", "a")
    server.stop()
    client.record("success", entity_id="a")
    client.flush(0.3)
    with ScriptedServer(server.address) as again:
        client.close()

    assert [] == again.exposures()
    assert 1 == len(again.outcomes())


def test_a_request_id_is_made_for_each_batch() -> None:
    """Two batches under one id would count as one."""
    with ScriptedServer() as server, klero.Client(server.address) as client:
        for _ in range(3):
            client.record("a", entity_id="a")
            assert client.flush()

    ids = [RecordRequest.FromString(request).request_id for request in server.records]
    assert 3 == len(set(ids))
    assert all("7" == identity[14] for identity in ids)


def _eventually(found: Callable[[], object]) -> None:
    until = time.monotonic() + 10
    while not found() and time.monotonic() < until:
        time.sleep(0.01)
