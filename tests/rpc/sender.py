"""Callers that record as fast as they can and know what they were told."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import grpc

from klero.v1.decision_pb2 import Outcome
from klero.v1.decision_service_pb2 import RecordRequest
from tests.rpc.calls import Client, connected, exposed, external, uuid7

if TYPE_CHECKING:
    from collections.abc import Callable

THREADS = 8
OUTCOMES = 5
"""In a batch, each of value 1, beside the exposure of an entity that no other batch has."""

_numbers = itertools.count(1)


@dataclass
class Log:
    """What a sender keeps of its batches."""

    acknowledged: list[RecordRequest] = field(default_factory=list)
    unanswered: list[RecordRequest] = field(default_factory=list)
    codes: set[grpc.StatusCode] = field(default_factory=set)
    """With which those calls failed."""


def batch() -> RecordRequest:
    """A batch that no other is equal to."""
    number = next(_numbers)
    return RecordRequest(
        request_id=uuid7(time.time_ns() // 1_000_000, number),
        exposures=[exposed(f"entity-{number}")],
        outcomes=[Outcome(entity_id=f"entity-{number}", event="cost") for _ in range(OUTCOMES)],
    )


def send_until_it_fails(address: str, log: Log) -> None:
    """Send batch after batch until a call fails."""
    with connected(address) as client:
        while not log.unanswered:
            request = batch()
            try:
                client.decisions.Record(request, timeout=15)
                log.acknowledged.append(request)
            except grpc.RpcError as error:
                log.codes.add(cast("grpc.Call", error).code())
                log.unanswered.append(request)


def under_load(address: str, end: Callable[[], object]) -> Log:
    """Have eight senders send, call `end`, and wait until every one of them has failed."""
    logs = [Log() for _ in range(THREADS)]
    threads = [threading.Thread(target=send_until_it_fails, args=(address, log)) for log in logs]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 10
    while any(len(log.acknowledged) < 5 for log in logs) and time.monotonic() < deadline:
        time.sleep(0.01)
    end()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    return Log(
        acknowledged=[request for log in logs for request in log.acknowledged],
        unanswered=[request for log in logs for request in log.unanswered],
        codes={code for log in logs for code in log.codes},
    )


def send_again(client: Client, log: Log) -> int:
    """Send what was not answered once more, the same bytes; returns how many of it were stored before."""
    return sum(client.decisions.Record(request, timeout=15).duplicate for request in log.unanswered)


def assert_counted_once(client: Client, batches: int) -> None:
    """So many batches are counted, none of them twice or in part."""
    found = client.results(external("default")).variant_results["b"]
    cost = found.metric_results["cost"]
    assert (batches, OUTCOMES * batches) == (found.enrolled, cost.events)
    # Every entity has the same total: a spread of zero says that none has more and another less.
    assert (OUTCOMES, 0) == (cost.value, cost.moments.comoments[0])
