"""What the clients of the drill send: batches that no other is equal to, and the rows they stand for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from klero.v1.decision_pb2 import Outcome
from klero.v1.decision_service_pb2 import RecordRequest
from tests.rpc.calls import exposed, uuid7

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

NAMESPACE = "default"
VARIANTS = ("a", "b")
EVENT = "cost"
ENTITIES = 4
"""In a batch, each exposed in it and in no other."""
OUTCOMES = 5
"""Of each entity."""
# Of a hundred batches, those whose outcomes have an identity.
_WITH_EVENT_IDS = 25
_LARGEST_VALUE = 9
_ID_BITS = 62


class OutcomeRow(NamedTuple):
    """An outcome as the export must show it."""

    entity_id: str
    event: str
    value: float
    event_id: str
    """Empty: none."""


def new_batch(random: Random, name: str) -> RecordRequest:
    """A batch for entities that begin with `name`, which no other batch may have."""
    request = RecordRequest(request_id=_request_id(random), namespace=NAMESPACE)
    with_event_ids = random.randrange(100) < _WITH_EVENT_IDS
    for number in range(ENTITIES):
        entity_id = f"{name}-{number}"
        request.exposures.append(exposed(entity_id, random.choice(VARIANTS)))
        for event in range(OUTCOMES):
            outcome = Outcome(entity_id=entity_id, event=EVENT, value=random.randint(1, _LARGEST_VALUE))
            if with_event_ids:
                outcome.event_id = f"{entity_id}/{event}"
            request.outcomes.append(outcome)
    return request


def delivered_again(request: RecordRequest, random: Random) -> RecordRequest:
    """The same outcomes under another request id, as an upstream sends them that does not keep batches."""
    again = RecordRequest()
    again.CopyFrom(request)
    again.request_id = _request_id(random)
    return again


def has_event_ids(request: RecordRequest) -> bool:
    """Whether the outcomes have identities, so that they count once under any request id."""
    return all(outcome.event_id for outcome in request.outcomes)


def rows(request: RecordRequest) -> Iterator[OutcomeRow]:
    """Rows that stand for the outcomes of a batch."""
    for outcome in request.outcomes:
        yield OutcomeRow(outcome.entity_id, outcome.event, outcome.value, outcome.event_id)


def _request_id(random: Random) -> str:
    return uuid7(time.time_ns() // 1_000_000, random.getrandbits(_ID_BITS))
