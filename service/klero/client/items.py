"""Outcomes and exposures as they wait to be sent, and the batches that are made of them.

Making an item costs the caller next to nothing; all encoding is done by whoever sends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from klero.client.decision import Decision, reason_number
from klero.v1 import decision_pb2
from klero.v1.decision_service_pb2 import RecordRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

MAX_BATCH_BYTES = 4_000_000
"""A little below the contract's 4 MB."""

FRESH_NS = 1_000_000_000
"""What is sent within this time counts as happening when it arrives: exposures that the server stores and
outcomes then have one clock, however wrong this machine's is."""


class Outcome(NamedTuple):
    """A measured event of an entity."""

    event: str
    value: float
    entity_id: str
    """Empty: `entities` says."""
    recorded_ns: int
    """Unix nanoseconds."""
    entities: Mapping[str, str] | None = None
    """By entity type."""
    dimensions: Mapping[str, str] | None = None
    occurred_at: datetime | None = None
    """None: when it was recorded."""
    event_id: str = ""
    supersedes: str = ""


class Exposure(NamedTuple):
    """That an entity was given a variant."""

    decision: Decision
    recorded_ns: int
    """Unix nanoseconds."""
    again: bool = False
    """Whether the server was told before, and may have lost it."""


Item = Outcome | Exposure


def batches(
    items: Sequence[Item], *, namespace: str, request_id: str, now_ns: int, another_id: Iterator[str]
) -> Iterator[RecordRequest]:
    """Requests for `items`, in their order: one, or more if they are above `MAX_BATCH_BYTES`.

    Args:
        items: At least one; exposures go before the outcomes of their batch.
        namespace: As in the contract.
        request_id: Of the first request.
        now_ns: Unix nanoseconds.
        another_id: Ids for further requests.
    """
    request = RecordRequest(
        namespace=namespace,
        request_id=request_id,
        exposures=[_exposure(item, now_ns) for item in items if isinstance(item, Exposure)],
        outcomes=[_outcome(item, now_ns) for item in items if isinstance(item, Outcome)],
    )
    if len(items) == 1 or request.ByteSize() <= MAX_BATCH_BYTES:
        yield request
        return
    middle = len(items) // 2
    for half, identity in ((items[:middle], request_id), (items[middle:], next(another_id))):
        yield from batches(half, namespace=namespace, request_id=identity, now_ns=now_ns, another_id=another_id)


def _outcome(item: Outcome, now_ns: int) -> decision_pb2.Outcome:
    outcome = decision_pb2.Outcome(
        entity_id=item.entity_id,
        event=item.event,
        value=item.value,
        event_id=item.event_id,
        supersedes=item.supersedes,
        entities=item.entities,
        dimensions=item.dimensions,
    )
    if item.occurred_at is not None:
        outcome.occurred_at.FromDatetime(item.occurred_at)
    elif now_ns - item.recorded_ns > FRESH_NS:
        outcome.occurred_at.FromNanoseconds(item.recorded_ns)
    return outcome


def _exposure(item: Exposure, now_ns: int) -> decision_pb2.Exposure:
    decision = item.decision
    old = item.again or now_ns - item.recorded_ns > FRESH_NS
    return decision_pb2.Exposure(
        experiment_id=decision.experiment_id,
        entity_id=decision.entity_id,
        variant_id=decision.variant_id,
        occurred_at=_timestamp(item.recorded_ns) if old else None,
        iteration=decision.iteration,
        epoch=decision.epoch,
        revision=decision.revision,
        reason=reason_number(decision.reason),
        attributes=decision.attributes,
    )


def _timestamp(time_ns: int) -> Timestamp:
    stamp = Timestamp()
    stamp.FromNanoseconds(time_ns)
    return stamp
