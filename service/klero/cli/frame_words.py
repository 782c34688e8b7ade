"""A frame of the journal as plain values, and these as lines for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from klero.cli.common import plural
from klero.definition import to_mapping
from klero.storage.v1.journal_pb2 import JournalFrame
from klero.v1.decision_pb2 import DecisionReason

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from klero.journal.frames import StoredFrame
    from klero.storage.v1.journal_pb2 import Arm, Batch, Control, ExposureColumns, OutcomeColumns

# Names of the contract for what a control does.
_ACTIONS = {
    "started": "start",
    "stopped": "stop",
    "epoch": "epoch",
    "paused": "pause",
    "resumed": "resume",
    "forgotten": "forget",
}

# What only some rows have.
_EXTRA = ("attributes", "entities", "eventId", "supersedes")


def plain_frame(stored: StoredFrame, *, rows: bool) -> dict[str, Any]:
    """What a frame says; with `rows` also each exposure and outcome."""
    plain: dict[str, Any] = {
        "position": stored.position,
        "time": _time(stored.time_ms),
        "exposures": stored.exposures,
        "outcomes": stored.outcomes,
        "bytes": len(stored.body),
    }
    try:
        frame = JournalFrame.FromString(stored.body)
    except DecodeError:
        return plain | {"fault": "it cannot be decoded"}
    plain |= {
        "format": frame.format,
        "incarnation": _uuid(frame.incarnation),
        "sequence": frame.sequence,
        "entries": [],
    }
    for entry in frame.entries:
        kind = entry.WhichOneof("kind")
        if kind == "batch":
            plain["entries"].append(_batch(entry.batch, rows=rows))
        elif kind == "control":
            plain["entries"].append(_control(entry.control))
        else:
            plain["entries"].append({"kind": "unknown"})
    return plain


def lines(frame: dict[str, Any]) -> Iterator[str]:
    """A frame of `plain_frame` for people."""
    yield f"{frame['position']}  {frame['time']}  {_counts(frame)}, {plural(frame['bytes'], 'byte')}"
    if "fault" in frame:
        yield f"  {frame['fault']}"
    elif not frame["entries"]:
        yield "  time went on, and a window closed"
    for entry in frame.get("entries", []):
        yield from _entry_lines(entry)


def _entry_lines(entry: dict[str, Any]) -> Iterator[str]:
    if entry["kind"] == "batch":
        request = f", request {entry['requestId']}" if entry["requestId"] else ""
        yield f"  batch in `{entry['namespace']}`: {_counts(entry)}{request}"
        for exposure in entry.get("exposureRows", []):
            arm = _arm_words(exposure)
            yield f"    exposure  {exposure['entityId']}  {arm}  {exposure['occurredAt']}{_extra(exposure)}"
        for outcome in entry.get("outcomeRows", []):
            arm = f"  {_arm_words(outcome)}" if "variantId" in outcome else ""
            measured = f"{outcome['event']} {outcome['value']:g}{arm}"
            yield f"    outcome  {outcome['entityId']}  {measured}  {outcome['occurredAt']}{_extra(outcome)}"
    elif entry["kind"] == "forget":
        yield f"  forget an entity in `{entry['namespace']}`"
    elif "experimentId" in entry:
        of = f"`{entry['experimentId']}` in `{entry['namespace']}`, iteration {entry['iteration']}"
        yield f"  {entry['kind']} {of}"
    else:
        yield f"  {entry['kind']}"


def _batch(batch: Batch, *, rows: bool) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "kind": "batch",
        "namespace": batch.namespace,
        "requestId": _uuid(batch.request_id),
        "arrivedAt": _time(batch.arrival_ms),
        "exposures": len(batch.exposures.arm),
        "outcomes": len(batch.outcomes.event),
    }
    if rows:
        plain["exposureRows"] = list(_exposures(batch.exposures, batch.arrival_ms))
        plain["outcomeRows"] = list(_outcomes(batch.outcomes, batch.arrival_ms))
    return plain


def _exposures(columns: ExposureColumns, arrival_ms: int) -> Iterator[dict[str, Any]]:
    attributes: list[dict[str, float | str]] = [{} for _ in columns.arm]
    for numbers in columns.covariates:
        for row, value in zip(numbers.rows, numbers.values, strict=True):
            attributes[row][numbers.name] = value
    for texts in columns.dimensions:
        for row, text in zip(texts.rows, texts.text, strict=True):
            attributes[row][texts.name] = texts.texts[text]
    ids = _ids(columns.entity_ids, columns.entity_id_lengths)
    for arm, entity_id, delay_ms, known in zip(columns.arm, ids, columns.delay_ms, attributes, strict=True):
        plain = {"entityId": entity_id, **_arm(columns.arms[arm]), "occurredAt": _time(arrival_ms + delay_ms)}
        yield plain | ({"attributes": known} if known else {})


def _outcomes(columns: OutcomeColumns, arrival_ms: int) -> Iterator[dict[str, Any]]:
    more: list[dict[str, Any]] = [{} for _ in columns.event]
    for named in columns.named:
        more[named.row].setdefault("entities", {})[named.entity_type] = named.entity_id
    for identity in columns.identities:
        more[identity.row] |= {"eventId": identity.event_id, "supersedes": identity.supersedes}
    for row, target in enumerate(columns.target):
        if target:
            more[row] |= _arm(columns.targets[target - 1])
    ids = _ids(columns.entity_ids, columns.entity_id_lengths)
    for event, entity_id, value, delay_ms, known in zip(
        columns.event, ids, columns.values, columns.delay_ms, more, strict=True
    ):
        yield {
            "entityId": entity_id,
            "event": columns.events[event],
            "value": value,
            "occurredAt": _time(arrival_ms + delay_ms),
        } | known


def _control(control: Control) -> dict[str, Any]:
    action = control.WhichOneof("action")
    if action == "forgotten":
        # The key is a hash, and says nothing to anyone.
        return {"kind": "forget", "namespace": control.namespace}
    return {
        "kind": _ACTIONS.get(action or "", "unknown"),
        "namespace": control.namespace,
        "experimentId": control.experiment_id,
        "iteration": control.iteration,
        "time": _time(control.time_ms),
    } | ({"detail": to_mapping(getattr(control, action))} if action else {})


def _arm(arm: Arm) -> dict[str, Any]:
    return {
        "experimentId": arm.experiment_id,
        "iteration": arm.iteration,
        "epoch": arm.epoch,
        "variantId": arm.variant_id,
        "reason": DecisionReason.Name(arm.reason).removeprefix("DECISION_REASON_").lower(),
    }


def _ids(joined: bytes, lengths: Sequence[int]) -> Iterator[str]:
    begin = 0
    for length in lengths:
        yield joined[begin : begin + length].decode("utf-8", "replace")
        begin += length


def _arm_words(row: dict[str, Any]) -> str:
    return f"`{row['experimentId']}` {row['iteration']}.{row['epoch']} `{row['variantId']}` {row['reason']}"


def _counts(plain: dict[str, Any]) -> str:
    return f"{plural(plain['exposures'], 'exposure')}, {plural(plain['outcomes'], 'outcome')}"


def _extra(row: dict[str, Any]) -> str:
    return "".join(f"  {name} {row[name]}" for name in _EXTRA if row.get(name))


def _uuid(encoded: bytes) -> str:
    """The UUID; as digits if it is none."""
    return str(UUID(bytes=encoded)) if len(encoded) == 16 else encoded.hex()  # noqa: PLR2004  # bytes of a UUID


def _time(time_ms: int) -> str:
    """RFC 3339; as milliseconds if the calendar does not reach so far."""
    time = Timestamp()
    try:
        time.FromMilliseconds(time_ms)
        return time.ToJsonString()
    except ValueError:
        return f"{time_ms} ms"
