"""The Rust core through its one door on the server."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from google.rpc import code_pb2, error_details_pb2, status_pb2

from klero import engine as core
from klero.engine import Engine, IterationState
from klero.errors import EncodedError, InvalidFieldError, KleroError
from klero.storage.v1.journal_pb2 import Control, JournalFrame, MeasurementPlan, MetricPlan
from klero.v1.decision_pb2 import Context, DecisionReason, Exposure, Outcome
from klero.v1.decision_service_pb2 import AssignRequest, AssignResponse, RecordRequest, RecordResponse
from klero.v1.experiment_pb2 import (
    Aggregation,
    AssignmentSource,
    Experiment,
    ExperimentStatus,
    ExperimentType,
    MetricType,
    Override,
    Snapshot,
    Variant,
)

CASES = [
    case
    for name in ("decide.json", "override.json")
    for case in json.loads((Path(__file__).parent / "vectors" / name).read_text(encoding="utf-8"))
]
NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000


def engine(incarnation: int = 1) -> Engine:
    """An empty one."""
    return Engine(secret=bytes(16), incarnation=bytes(15) + bytes([incarnation]))


def definition() -> Experiment:
    """A running experiment that another system assigns."""
    return Experiment(
        id="exp",
        type=ExperimentType.EXPERIMENT_TYPE_AB_TEST,
        status=ExperimentStatus.EXPERIMENT_STATUS_RUNNING,
        assignment_source=AssignmentSource.ASSIGNMENT_SOURCE_EXTERNAL,
        iteration=1,
        control=Variant(id="a"),
        variants=[Variant(id="b")],
    )


def definition_in_force() -> Experiment:
    """That experiment as it is stored."""
    return core.admit(definition())[0]


def running(
    incarnation: int = 1, *, source: AssignmentSource.ValueType = AssignmentSource.ASSIGNMENT_SOURCE_EXTERNAL
) -> Engine:
    """With that experiment in force, assigned by `source`, and its plan queued."""
    found = engine(incarnation)
    described = definition()
    described.assignment_source = source
    admitted, _ = core.admit(described)
    admitted.allocation.CopyFrom(core.allocation(admitted))
    admitted.allocation.epoch = 1
    found.load(Snapshot(experiments=[admitted]))
    metric = MetricPlan(
        name="cost", event="cost", type=MetricType.METRIC_TYPE_CONTINUOUS, aggregation=Aggregation.AGGREGATION_SUM
    )
    plan = MeasurementPlan(variant_ids=["a", "b"], metrics=[metric])
    found.control(Control(namespace="default", experiment_id="exp", iteration=1, time_ms=NOW_MS, started=plan))
    return found


def record(value: float = 2.0, request_id: str = "") -> bytes:
    """An exposure and an outcome of its entity."""
    return RecordRequest(
        request_id=request_id,
        exposures=[Exposure(experiment_id="exp", entity_id="u", variant_id="b")],
        outcomes=[Outcome(entity_id="u", event="cost", value=value)],
    ).SerializeToString()


def request_id(time_ms: int, number: int = 1) -> str:
    """A UUID of version 7 with this time."""
    text = f"{time_ms << 80 | 7 << 76 | 2 << 62 | number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def write(of: Engine) -> tuple[list[bytes | KleroError], tuple[int, bytes]]:
    """Fold what waits: the answers, and checksum and body of the frame."""
    frame = of.take_frame()
    assert frame is not None
    answers = [answer for _, answer in of.commit(frame, of.position + 1)]
    return answers, (frame.crc, frame.body)


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])
def test_decisions_are_those_of_the_vectors(case: dict[str, Any]) -> None:
    """Definitions go the whole way of the server, and no step of it may move an entity."""
    admitted, _ = core.admit(json_format.ParseDict(case["definition"], Experiment()))
    context = json_format.ParseDict(case["context"], Context())
    found = engine()
    overrides = [json_format.ParseDict(each, Override(experiment_id=admitted.id)) for each in case.get("overrides", [])]
    found.load(Snapshot(generation=1, revision=9, experiments=[admitted], overrides=overrides))
    request = AssignRequest(
        experiment_id=admitted.id, entity_id=context.entity_id, entities=context.entities, attributes=context.attributes
    )

    answer = found.handle("Assign", request.SerializeToString(), case["nowMs"])

    assert isinstance(answer, bytes)
    decision = AssignResponse.FromString(answer).decision
    expected = dict(case["decision"])
    assert expected.pop("propensity") == pytest.approx(decision.propensity, abs=1e-12)
    assert expected == {
        "variantId": decision.variant_id,
        "reason": DecisionReason.Name(decision.reason),
        "enrolled": decision.enrolled,
        "randomized": decision.randomized,
        "enabled": decision.enabled,
        "entityId": decision.entity_id,
    }
    assert (9, admitted.id) == (decision.revision, decision.experiment_id)


def test_a_definition_with_faults_names_all_of_them() -> None:
    """Create hands them to the author as they come."""
    broken = definition()
    broken.id, broken.layer_id = "a b", "layer"
    del broken.variants[:]

    with pytest.raises(InvalidFieldError) as caught:
        core.admit(broken)

    assert ["id", "variants", "layerId"] == [violation.field for violation in caught.value.violations]
    assert all(f"{v.field}: {v.description}" in str(caught.value) for v in caught.value.violations)
    assert {"fields": "3"} == caught.value.metadata


def test_a_snapshot_with_faults_is_not_put_in_force() -> None:
    """A catalog that a newer version wrote must not stop the decisions of this one."""
    found = running()
    write(found)
    broken = definition()
    broken.layer_id = "layer"
    canonical, _ = core.admit(definition())

    with pytest.raises(InvalidFieldError) as caught:
        found.load(Snapshot(experiments=[canonical, broken]))

    assert {"experiments[1].namespace", "experiments[1].layerId"} == {v.field for v in caught.value.violations}
    assert isinstance(found.handle("Record", record(), NOW_MS), int)


@pytest.mark.parametrize(
    ("method", "request_bytes", "code", "reason", "fields"),
    [
        ("Unknown", b"", code_pb2.UNIMPLEMENTED, "UNIMPLEMENTED", []),
        ("Assign", b"\x7f", code_pb2.INVALID_ARGUMENT, "INVALID_FIELD", []),
        ("Assign", b"", code_pb2.NOT_FOUND, "EXPERIMENT_NOT_FOUND", []),
        ("BatchAssign", b"", code_pb2.INVALID_ARGUMENT, "INVALID_FIELD", ["contexts"]),
        ("Record", record(request_id="r"), code_pb2.INVALID_ARGUMENT, "INVALID_FIELD", ["requestId"]),
    ],
)
def test_a_refused_call_is_ready_for_the_wire(
    method: str, request_bytes: bytes, code: int, reason: str, fields: list[str]
) -> None:
    """The listener sends code, message and details on as they are."""
    with pytest.raises(EncodedError) as caught:
        running().handle(method, request_bytes, NOW_MS)

    status = status_pb2.Status.FromString(caught.value.details)
    assert (code, str(caught.value)) == (caught.value.code, status.message) == (status.code, status.message)
    info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad_request)
    assert (f"ERROR_REASON_{reason}", "klero.v1") == (info.reason, info.domain)
    assert fields == [violation.field for violation in bad_request.field_violations]


def test_without_a_snapshot_nothing_is_decided() -> None:
    """A node that has read no definitions must not answer that there are none."""
    with pytest.raises(EncodedError) as caught:
        engine().handle("Assign", b"", NOW_MS)

    assert code_pb2.UNAVAILABLE == caught.value.code


def test_what_was_committed_is_there_after_a_replay() -> None:
    """A restart reads the journal and must come to the same numbers."""
    first, again = running(), engine(2)
    for value in (2.0, 3.0):
        first.handle("Record", record(value), NOW_MS)
        answers, (crc, body) = write(first)
        assert isinstance(answers[-1], bytes)
        answer = RecordResponse.FromString(answers[-1])
        assert (2, first.position) == (answer.accepted, answer.position)
        again.replay(position=first.position, crc=crc, body=body)

    assert (2, NOW_MS) == (again.position, again.time_ms)
    assert IterationState(stopped=False, closed=False, paused=False, epoch=0) == again.iteration("default", "exp", 1)
    assert again.iteration("default", "exp", 2) is None
    tally = first.tally("default", "exp", 1)
    assert tally is not None
    assert tally == again.tally("default", "exp", 1)
    assert [("b", 1, 5.0)] == [
        (arm.variant_id, arm.enrolled, arm.metrics[0].live.moments.means[0]) for arm in tally.arms
    ]
    assert first.tally("default", "exp", 2) is None


@pytest.mark.parametrize(("treated", "moved"), [(50.0, 0.0), (20.0, 30.0), (0.0, 50.0)])
def test_as_many_are_reassigned_as_lose_their_share(treated: float, moved: float) -> None:
    """Whoever changes weights of a running experiment is told how many entities that disturbs."""
    before, after = definition_in_force(), definition_in_force()
    after.allocation.CopyFrom(core.allocation(after))
    after.allocation.weights["a"], after.allocation.weights["b"] = 100 - treated, treated

    # Five standard errors of 100,000 entities.
    assert pytest.approx(moved, abs=0.8 if moved else 0) == core.reassigned(before, after)


def test_nobody_is_reassigned_where_nobody_is_enrolled_or_nothing_can_be_served() -> None:
    """A percentage of nobody is no reason to warn; a broken definition is one to refuse."""
    nobody = definition_in_force()
    nobody.allocation.CopyFrom(core.allocation(nobody))
    nobody.allocation.traffic_percentage = 0

    assert core.reassigned(nobody, definition_in_force()) == 0.0
    with pytest.raises(InvalidFieldError):
        core.reassigned(nobody, Experiment())


def test_a_damaged_frame_is_not_replayed() -> None:
    """A flipped bit on the disk must stop the start, not change a result."""
    first = running()
    first.handle("Record", record(), NOW_MS)
    _, (crc, body) = write(first)
    newer = JournalFrame.FromString(body)
    newer.format += 1

    unknown = newer.SerializeToString()
    for checksum, damaged, said in (
        (crc, body[:-1], "crc"),
        (crc, body[:-1] + bytes([body[-1] ^ 1]), "crc"),
        (zlib.crc32(unknown), unknown, "format"),
    ):
        with pytest.raises(ValueError, match=said):
            engine(2).replay(position=1, crc=checksum, body=damaged)


def test_a_request_id_that_is_forgotten_while_it_waits_is_refused() -> None:
    """Time goes on between check and fold; what can no longer be told from a repeat is not counted."""
    found = running()
    write(found)
    old = found.handle("Record", record(request_id=request_id(NOW_MS - 7 * DAY_MS)), NOW_MS)
    found.handle("Record", record(), NOW_MS + 1)

    (refused, counted), _ = write(found)

    assert isinstance(old, int)
    assert isinstance(counted, bytes)
    assert isinstance(refused, EncodedError)
    assert code_pb2.FAILED_PRECONDITION == refused.code
    tally = found.tally("default", "exp", 1)
    assert tally is not None
    assert [2.0] == list(tally.arms[0].metrics[0].live.moments.means)


def test_a_closed_queue_gives_what_it_has_and_takes_no_more() -> None:
    """At the stop everything accepted is written, and the rest hears why not."""
    found = running()
    found.handle("Record", record(), NOW_MS)

    found.close_queue()

    with pytest.raises(EncodedError) as caught:
        found.handle("Record", record(), NOW_MS)
    assert code_pb2.UNAVAILABLE == caught.value.code
    answers, _ = write(found)
    assert 2 == len(answers)
    assert found.take_frame() is None


def test_a_failed_frame_gives_up_all_that_waits() -> None:
    """After a disk error nobody may wait for ever, and nothing more is promised."""
    found = running()
    tickets = [found.handle("Record", record(), NOW_MS) for _ in range(3)]
    frame = found.take_frame()
    assert frame is not None
    later = found.handle("Record", record(), NOW_MS)

    lost = found.fail(frame)

    assert {*tickets, later} <= set(lost)
    with pytest.raises(EncodedError, match="cannot take writes"):
        found.handle("Record", record(), NOW_MS)
    assert 0 == found.position


def test_what_the_journal_counted_is_read() -> None:
    """Health and counters rest on it; what nobody measured is absent, not empty."""
    found = running()
    found.handle("Record", record(), NOW_MS)
    found.handle(
        "Record", RecordRequest(outcomes=[Outcome(entity_id="stranger", event="cost")]).SerializeToString(), NOW_MS
    )
    write(found)
    journal = found.journal_tally()

    assert (found.position, 1, 0) == (journal.position, journal.unmatched, journal.quarantined)
    assert found.breakdown("default", "exp", 1, "country") is None
    assert found.breakdown("default", "exp", 2, "country") is None
    assert 0 == found.rejected_items


def test_a_full_queue_refuses_batches_and_still_takes_exposures() -> None:
    """When the disk hangs, memory stays bounded, callers are told when to come again, and decisions go on."""
    found = running(source=AssignmentSource.ASSIGNMENT_SOURCE_KLERO)
    outcomes = [Outcome(entity_id="x" * 200 + str(number), event="cost") for number in range(10_000)]
    batch = RecordRequest(outcomes=outcomes).SerializeToString()

    accepted: list[bytes | int] = []
    with pytest.raises(EncodedError) as caught:
        accepted.extend(found.handle("Record", batch, NOW_MS) for _ in range(100))

    status = status_pb2.Status.FromString(caught.value.details)
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(retry)
    assert code_pb2.RESOURCE_EXHAUSTED == status.code
    assert ("ERROR_REASON_OVERLOADED", {"queue": "journal"}) == (info.reason, dict(info.metadata))
    assert retry.retry_delay.nanos > 0
    # 56 of 64 MiB, in batches of a little above 2 MB.
    assert 20 < len(accepted) < 30
    assert isinstance(
        found.handle("Assign", AssignRequest(experiment_id="exp", entity_id="u").SerializeToString(), NOW_MS), bytes
    )
    assert 0 == found.dropped_exposures
    assert found.take_frame() is not None
    assert isinstance(found.handle("Record", batch, NOW_MS), int)
