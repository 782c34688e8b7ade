"""What the tests of faults record, and what must be left of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from tests.rpc.calls import TIMEOUT_S, Client, Refusal, ab_test, external, refusal
from tests.rpc.sender import assert_counted_once, batch

if TYPE_CHECKING:
    from klero.v1.decision_service_pb2 import RecordRequest
    from klero.v1.experiment_pb2 import Experiment

# More than any file system of a test takes.
_MOST_BATCHES = 2000


def start(client: Client) -> Experiment:
    """Start the experiment that batches are for, and one that decisions are asked of; returns the latter."""
    client.start(external("default"))
    return client.start(ab_test("default", "inside"))


def record(client: Client, count: int) -> list[RecordRequest]:
    """Send so many new batches; returns them, all acknowledged."""
    sent = [batch() for _ in range(count)]
    for request in sent:
        assert not client.decisions.Record(request, timeout=TIMEOUT_S).duplicate
    return sent


def record_until_refused(client: Client) -> tuple[list[RecordRequest], Refusal]:
    """Send new batches until one is refused; returns all of them, that one last, and why it was."""
    sent = []
    for _ in range(_MOST_BATCHES):
        sent.append(batch())
        try:
            client.decisions.Record(sent[-1], timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            return sent, refusal(error)
    message = "no batch was refused"
    raise AssertionError(message)


def assert_each_counts_once(client: Client, sent: list[RecordRequest]) -> None:
    """Each batch counts once, also when all are sent again."""
    for request in sent:
        client.decisions.Record(request, timeout=TIMEOUT_S)
    assert_counted_once(client, len(sent))
