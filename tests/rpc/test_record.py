"""Record over gRPC: what is counted, what is refused, and that a repeat counts once."""

from __future__ import annotations

import itertools
import math
import time
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from klero.v1.decision_pb2 import AttributeValue, Exposure, Outcome
from klero.v1.decision_service_pb2 import Durability, RecordList, RecordRequest, RejectedItem
from klero.v1.error_reason_pb2 import ErrorReason
from klero.v1.experiment_service_pb2 import StopExperimentRequest
from tests.rpc.calls import Client, ab_test, connected, external, refused, uuid7
from tests.server_process import running_server

if TYPE_CHECKING:
    from pathlib import Path

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
GOOD = Outcome(entity_id="u", event="cost", value=2.0)
_numbers = itertools.count(1)


def now_ms() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


def fresh_id(age_ms: int = 0) -> str:
    """A request id that no other test uses, made `age_ms` ago."""
    return uuid7(now_ms() - age_ms, next(_numbers))


def at(delay_ms: int) -> Timestamp:
    """The time `delay_ms` from now."""
    time = Timestamp()
    time.FromMilliseconds(now_ms() + delay_ms)
    return time


def exposure(**fields: object) -> Exposure:
    """Entity `u` in `b` of the external experiment, with `fields` set otherwise."""
    message = Exposure(experiment_id="outside", entity_id="u", variant_id="b")
    message.MergeFrom(Exposure(**fields))  # type: ignore[arg-type]  # by name, from the table
    return message


def numbered(count: int, value: AttributeValue) -> dict[str, AttributeValue]:
    """So many attributes."""
    return {f"key-{number}": value for number in range(count)}


BAD_OUTCOMES = {
    "not a number": (Outcome(entity_id="u", event="cost", value=math.nan), "VALUE_NOT_FINITE", "value is NaN"),
    "infinite": (Outcome(entity_id="u", event="cost", value=math.inf), "VALUE_NOT_FINITE", "value is inf"),
    "no entity": (Outcome(event="cost"), "ENTITY_ID_INVALID", "empty"),
    "long entity": (Outcome(entity_id="é" * 129, event="cost"), "ENTITY_ID_INVALID", "258 bytes, at most 256"),
    "empty entity of a type": (Outcome(event="cost", entities={"user": ""}), "ENTITY_ID_INVALID", "empty"),
    "many entities": (
        Outcome(event="cost", entities={f"type-{number}": "u" for number in range(65)}),
        "ITEM_TOO_LARGE",
        "65 entities",
    ),
    "long entity types": (
        Outcome(event="cost", entities={"x" * 17_000: "u"}),
        "ITEM_TOO_LARGE",
        "at most 64 of 16384 bytes",
    ),
    "no event": (Outcome(entity_id="u"), "EVENT_INVALID", "1 to 128 bytes"),
    "event with a line end": (Outcome(entity_id="u", event="a\nb"), "EVENT_INVALID", "control characters"),
    "long event": (Outcome(entity_id="u", event="x" * 129), "EVENT_INVALID", "1 to 128 bytes"),
    "unknown experiment": (
        Outcome(entity_id="u", event="cost", experiment_id="outsid", variant_id="b"),
        "EXPERIMENT_NOT_FOUND",
        "did you mean `outside`?",
    ),
    "variant without experiment": (Outcome(entity_id="u", event="cost", variant_id="b"), "EXPERIMENT_NOT_FOUND", "``"),
    "unknown variant": (
        Outcome(entity_id="u", event="cost", experiment_id="outside", variant_id="c"),
        "VARIANT_NOT_FOUND",
        "no variant `c`, only a, b",
    ),
    "variant of one that Klero assigns": (
        Outcome(entity_id="u", event="cost", experiment_id="inside", variant_id="b"),
        "VARIANT_NOT_EXPECTED",
        "not assigned by another system",
    ),
    "tomorrow": (
        Outcome(entity_id="u", event="cost", occurred_at=at(25 * HOUR_MS)),
        "OCCURRED_AT_OUT_OF_RANGE",
        "more than 24 hours ahead",
    ),
    "no such time": (
        Outcome(entity_id="u", event="cost", occurred_at=Timestamp(seconds=1, nanos=-1)),
        "OCCURRED_AT_OUT_OF_RANGE",
        "no valid time",
    ),
    "no such year": (
        Outcome(entity_id="u", event="cost", occurred_at=Timestamp(seconds=2**62)),
        "OCCURRED_AT_OUT_OF_RANGE",
        "no valid time",
    ),
    "long event id": (
        Outcome(entity_id="u", event="cost", event_id="x" * 129),
        "INVALID_FIELD",
        "event_id has 129 bytes",
    ),
    "event id with a line end": (
        Outcome(entity_id="u", event="cost", event_id="a\nb"),
        "INVALID_FIELD",
        "without control characters",
    ),
    "supersedes without event id": (
        Outcome(entity_id="u", event="cost", supersedes="e"),
        "INVALID_FIELD",
        "supersedes needs an event_id",
    ),
    "supersedes itself": (
        Outcome(entity_id="u", event="cost", event_id="e", supersedes="e"),
        "INVALID_FIELD",
        "supersedes is `e`, the event_id of the outcome itself",
    ),
    "dimensions": (Outcome(entity_id="u", event="cost", dimensions={"k": "v"}), "INVALID_FIELD", "dimensions is not"),
    "pair": (Outcome(entity_id="u", event="cost", pair_id="p"), "INVALID_FIELD", "pair_id is not supported"),
}
BAD_EXPOSURES = {
    "unknown experiment": (exposure(experiment_id="insid"), "EXPERIMENT_NOT_FOUND", "did you mean `inside`?"),
    "unknown variant": (exposure(variant_id="c"), "VARIANT_NOT_FOUND", "no variant `c`, only a, b"),
    "long entity": (exposure(entity_id="x" * 257), "ENTITY_ID_INVALID", "257 bytes, at most 256"),
    "tomorrow": (exposure(occurred_at=at(25 * HOUR_MS)), "OCCURRED_AT_OUT_OF_RANGE", "24 hours ahead"),
    "no iteration": (exposure(experiment_id="inside"), "ITERATION_NOT_FOUND", "the decision's is needed"),
    "later iteration": (exposure(iteration=2, epoch=1), "ITERATION_NOT_FOUND", "iteration 2"),
    "later epoch": (exposure(iteration=1, epoch=2), "ITERATION_NOT_FOUND", "epoch 2"),
    "unknown reason": (exposure(reason=99), "INVALID_FIELD", "reason 99"),
    "many attributes": (
        exposure(attributes=numbered(65, AttributeValue(int_value=1))),
        "ITEM_TOO_LARGE",
        "65 attributes",
    ),
    "large attributes": (
        exposure(attributes=numbered(2, AttributeValue(string_value="x" * 9000))),
        "ITEM_TOO_LARGE",
        "at most 64 of 16384 bytes",
    ),
    "infinite attribute": (
        exposure(attributes=numbered(1, AttributeValue(double_value=math.inf))),
        "VALUE_NOT_FINITE",
        "`key-0` is inf",
    ),
}


@pytest.mark.parametrize(("item", "reason", "message"), BAD_OUTCOMES.values(), ids=BAD_OUTCOMES)
def test_a_bad_outcome_is_refused_and_the_others_count(
    client: Client, namespace: str, item: Outcome, reason: str, message: str
) -> None:
    """A sender with one wrong value loses that value, hears which and why, and keeps the rest."""
    client.start(ab_test(namespace, "inside"))
    running = client.start(external(namespace, "outside"))

    answer = client.record(namespace, GOOD, item, GOOD, exposures=(exposure(),))

    assert (3, 1) == (answer.accepted, answer.rejected_count)
    (rejected,) = answer.rejected
    assert (1, RecordList.RECORD_LIST_OUTCOMES) == (rejected.index, rejected.list)
    assert f"ERROR_REASON_{reason}" == ErrorReason.Name(rejected.reason)
    assert message in rejected.message
    results = client.results(running, position=answer.position)
    assert 4.0 == results.variant_results["b"].metric_results["cost"].value


@pytest.mark.parametrize(("item", "reason", "message"), BAD_EXPOSURES.values(), ids=BAD_EXPOSURES)
def test_a_bad_exposure_is_refused_and_the_others_count(
    client: Client, namespace: str, item: Exposure, reason: str, message: str
) -> None:
    """An import with one wrong row has all others."""
    client.start(ab_test(namespace, "inside"))
    running = client.start(external(namespace, "outside"))

    answer = client.record(namespace, exposures=(item, exposure(entity_id="other")))

    assert (1, 1) == (answer.accepted, answer.rejected_count)
    (rejected,) = answer.rejected
    assert (0, RecordList.RECORD_LIST_EXPOSURES) == (rejected.index, rejected.list)
    assert f"ERROR_REASON_{reason}" == ErrorReason.Name(rejected.reason)
    assert message in rejected.message
    assert 1 == client.results(running, position=answer.position).progress.enrolled


def test_what_lies_on_a_bound_is_accepted(client: Client, namespace: str) -> None:
    """A limit that refuses its own value surprises those who read it."""
    client.start(external(namespace, "outside"))
    outcomes = [
        Outcome(entity_id="x" * 256, event="x" * 128, value=-0.0),
        Outcome(event="cost", entities={f"type-{number}": "u" for number in range(64)}),
        Outcome(entity_id="u", event="cost", occurred_at=at(24 * HOUR_MS - 60_000)),
        Outcome(entity_id="u", event="cost", occurred_at=Timestamp(seconds=-62_135_596_800)),
        Outcome(entity_id="u", event="cost", event_id="é" * 64, supersedes="x" * 128),
    ]
    exposures = (
        exposure(attributes=numbered(64, AttributeValue(int_value=1))),
        exposure(iteration=1, epoch=1),
    )

    answer = client.record(namespace, *outcomes, exposures=exposures)

    assert (7, 0) == (answer.accepted, answer.rejected_count)


def test_rejections_are_all_counted_and_the_first_hundred_listed(client: Client, namespace: str) -> None:
    """A sender whose every item is wrong gets a readable answer, and the true number."""
    bad = Outcome(entity_id="u", event="")

    answer = client.record(namespace, *[bad] * 150, GOOD, exposures=(exposure(),))

    assert (1, 151, 100) == (answer.accepted, answer.rejected_count, len(answer.rejected))
    assert RecordList.RECORD_LIST_EXPOSURES == answer.rejected[0].list
    assert list(range(99)) == [rejected.index for rejected in answer.rejected[1:]]


def test_nothing_good_and_nothing_at_all_are_answered(client: Client, namespace: str) -> None:
    """A sender whose buffer held nothing useful goes on."""
    request_id = fresh_id()
    for _ in range(2):
        bad = client.record(namespace, Outcome(entity_id="u", event=""), request_id=request_id)
        assert (0, 1, False, True) == (bad.accepted, bad.rejected_count, bad.duplicate, bad.retry_safe)
    empty = client.record(namespace)
    assert (0, 0, []) == (empty.accepted, empty.rejected_count, list[RejectedItem](empty.rejected))
    assert Durability.DURABILITY_DISK == empty.durability


def test_a_repeat_is_counted_once(client: Client, namespace: str) -> None:
    """After a lost answer the sender sends the same bytes again."""
    running = client.start(external(namespace, "outside"))
    request_id, bad = fresh_id(), Outcome(entity_id="u", event="")

    first = client.record(namespace, GOOD, bad, exposures=(exposure(),), request_id=request_id)
    again = client.record(namespace, GOOD, bad, exposures=(exposure(),), request_id=request_id)

    assert (2, 1, False, True) == (first.accepted, first.rejected_count, first.duplicate, first.retry_safe)
    expected = type(first)()
    expected.CopyFrom(first)
    expected.duplicate = True
    del expected.rejected[:]
    assert expected == again
    assert 2.0 == client.results(running).variant_results["b"].metric_results["cost"].value


def test_without_a_request_id_a_repeat_counts_twice(client: Client, namespace: str) -> None:
    """The contract says so, and `retry_safe` says it to those who do not read it."""
    running = client.start(external(namespace, "outside"))

    first = client.record(namespace, GOOD, exposures=(exposure(),))
    client.record(namespace, GOOD, exposures=(exposure(),))

    assert not first.retry_safe
    assert 4.0 == client.results(running).variant_results["b"].metric_results["cost"].value


def test_a_repeat_is_recognised_after_a_kill_and_a_restart(tmp_path: Path) -> None:
    """A sender that was cut off by a crash or an upgrade does not know whether its batch was stored."""
    request_id = fresh_id()
    seen: list[tuple[int, int, bool]] = []
    for kill in (True, False, False):
        with running_server(tmp_path / "data") as server, connected(server.address) as client:
            if not seen:
                client.start(external("default", "outside"))
            answer = client.record("default", GOOD, exposures=(exposure(),), request_id=request_id)
            seen.append((answer.accepted, answer.position, answer.duplicate))
            results = client.results(external("default", "outside"))
            assert 2.0 == results.variant_results["b"].metric_results["cost"].value
            if kill:
                server.process.kill()
            else:
                assert server.stop() == 0

    (accepted, position, _) = seen[0]
    assert [(accepted, position, False), (accepted, position, True), (accepted, position, True)] == seen


@pytest.mark.parametrize("request_id", ["r-1", "f47ac10b-58cc-4372-a567-0e02b2c3d479", uuid7(0, 1).replace("-7", "-8")])
def test_request_ids_are_uuids_of_version_7(client: Client, namespace: str, request_id: str) -> None:
    """Without the time inside, a repeat could not be told from a batch that was forgotten."""
    found = refused(client.decisions.Record, RecordRequest(namespace=namespace, request_id=request_id, outcomes=[GOOD]))

    assert grpc.StatusCode.INVALID_ARGUMENT == found.code
    assert {"requestId"} == found.fields.keys()


@pytest.mark.parametrize("age_ms", [8 * DAY_MS, -25 * HOUR_MS], ids=["8 days old", "25 hours ahead"])
def test_a_request_id_that_cannot_be_remembered_is_refused(client: Client, namespace: str, age_ms: int) -> None:
    """A spool that is too old must not be counted twice; its owner learns what is still accepted."""
    request = RecordRequest(namespace=namespace, request_id=fresh_id(age_ms), outcomes=[GOOD])

    found = refused(client.decisions.Record, request)

    assert (grpc.StatusCode.FAILED_PRECONDITION, "REQUEST_ID_OUT_OF_RANGE") == (found.code, found.reason)
    assert request.request_id == found.metadata["request_id"]
    oldest, newest = Timestamp(), Timestamp()
    oldest.FromJsonString(found.metadata["oldest"])
    newest.FromJsonString(found.metadata["newest"])
    assert 7 * DAY_MS == pytest.approx(now_ms() - oldest.ToMilliseconds(), abs=60_000)
    assert DAY_MS == pytest.approx(newest.ToMilliseconds() - now_ms(), abs=60_000)


@pytest.mark.parametrize("age_ms", [7 * DAY_MS - HOUR_MS, -23 * HOUR_MS], ids=["nearly 7 days old", "23 hours ahead"])
def test_a_request_id_from_a_spool_is_accepted(client: Client, namespace: str, age_ms: int) -> None:
    """What an agent could not send over the weekend still counts, and once."""
    request_id = fresh_id(age_ms)

    answers = [client.record(namespace, GOOD, request_id=request_id) for _ in range(2)]

    assert [False, True] == [answer.duplicate for answer in answers]


def test_batches_have_bounds(client: Client, namespace: str) -> None:
    """A sender learns how to cut its batches before it has lost one."""
    ten_thousand = RecordRequest(namespace=namespace, outcomes=[GOOD] * 10_000)
    assert 10_000 == client.decisions.Record(ten_thousand).accepted
    too_many = RecordRequest(namespace=namespace, outcomes=[GOOD] * 10_000, exposures=[exposure()])
    large = Outcome(entity_id="u" * 250, event="e" * 100)
    one = RecordRequest(namespace=namespace, outcomes=[large]).ByteSize()
    too_large = RecordRequest(namespace=namespace, outcomes=[large] * (4 * 1024 * 1024 // one + 1))
    while too_large.ByteSize() <= 4 * 1024 * 1024:
        too_large.outcomes.extend([large] * 50)

    by_count, by_bytes = refused(client.decisions.Record, too_many), refused(client.decisions.Record, too_large)

    assert ("BATCH_TOO_LARGE", grpc.StatusCode.INVALID_ARGUMENT) == (by_count.reason, by_count.code)
    assert {"size": "10001", "limit": "10000", "unit": "items"} == by_count.metadata
    assert {"size": str(too_large.ByteSize()), "limit": "4194304", "unit": "bytes"} == by_bytes.metadata


def test_only_outcomes_since_the_exposure_count(client: Client, namespace: str) -> None:
    """What an entity did before it met its variant is no effect of it."""
    running = client.start(external(namespace, "outside"))
    before = Outcome(entity_id="u", event="cost", value=100.0, occurred_at=at(-HOUR_MS))
    since = Outcome(entity_id="u", event="cost", value=1.0, occurred_at=at(0))

    client.record(namespace, Outcome(entity_id="u", event="cost", value=50.0, occurred_at=at(-DAY_MS)))
    client.record(namespace, before, since, since, exposures=(exposure(occurred_at=at(-60_000)),))

    found = client.results(running).variant_results["b"].metric_results["cost"]
    assert (2.0, 2) == (found.value, found.events)


def test_the_first_variant_of_an_entity_stays(client: Client, namespace: str) -> None:
    """Intention to treat: who changes sides still belongs to the first."""
    running = client.start(external(namespace, "outside"))

    client.record(namespace, exposures=(exposure(variant_id="b"), exposure(variant_id="a"), exposure(variant_id="b")))
    client.record(namespace, GOOD)

    found = client.results(running).variant_results
    assert (0, 1) == (found["a"].enrolled, found["b"].enrolled)
    assert 2.0 == found["b"].metric_results["cost"].value


def test_what_comes_after_the_stop_is_not_counted(client: Client, namespace: str) -> None:
    """Results of a stopped experiment are final: a report that was sent stays true."""
    running = client.start(external(namespace, "outside"))
    client.record(namespace, GOOD, exposures=(exposure(),))
    client.experiments.StopExperiment(StopExperimentRequest(id="outside", namespace=namespace))

    client.record(namespace, GOOD, exposures=(exposure(entity_id="late"),))

    found = client.results(running)
    assert (True, 1) == (found.is_final, found.variant_results["b"].enrolled)
    assert 2.0 == found.variant_results["b"].metric_results["cost"].value


def test_an_import_has_the_sums_of_its_rows(client: Client, namespace: str) -> None:
    """Who imports a finished data set compares the table with a spreadsheet."""
    running = client.start(external(namespace, "outside"))
    rows = [(f"customer-{n}", "ab"[n % 3 == 0], n % 7 == 0, (n * 37 % 101) / 8) for n in range(3000)]
    for start in range(0, len(rows), 1000):
        exposures = [exposure(entity_id=entity, variant_id=arm) for entity, arm, _, _ in rows[start : start + 1000]]
        outcomes = [
            Outcome(entity_id=entity, event=event, value=value, experiment_id="outside", variant_id=arm)
            for entity, arm, converted, cost in rows[start : start + 1000]
            for event, value in (("ok", float(converted)), ("cost", cost / 2), ("cost", cost / 2))
        ]
        answer = client.record(namespace, *outcomes, exposures=tuple(exposures), request_id=fresh_id())
        assert (4000, 0) == (answer.accepted, answer.rejected_count)

    results = client.results(running)

    for variant in "ab":
        mine = [row for row in rows if row[1] == variant]
        found = results.variant_results[variant]
        assert (len(mine), sum(row[2] for row in mine)) == (found.sample_size, found.conversions)
        assert sum(row[2] for row in mine) / len(mine) == pytest.approx(found.metrics["ok"], rel=1e-12)
        assert sum(row[3] for row in mine) / len(mine) == pytest.approx(found.metrics["cost"], rel=1e-12)
        assert 2 * len(mine) == found.metric_results["cost"].events
