"""A real server is killed and comes back while agents record: nothing is lost, nothing counts twice."""

from __future__ import annotations

import logging
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

import klero
from klero.client.remote import Remote
from klero.errors import WireError
from klero.testing import EmbeddedServer
from klero.v1.decision_service_pb2 import AssignRequest
from tests.client.servers import free_address
from tests.server_process import running_server

if TYPE_CHECKING:
    from pathlib import Path

DEFINITION = """
id: restarts
type: ab_test
entityType: run
control: {id: plain}
variants: [{id: stepwise}]
metrics:
  - {name: success, type: conversion, goal: increase, primary: true}
"""


def test_no_outcome_is_lost_or_counted_twice_over_restarts(tmp_path: Path) -> None:
    """Whoever restarts a server does not ask its agents first."""
    address = free_address()
    done = threading.Event()
    recorded = 0
    exposed: set[str] = set()

    def agent(client: klero.Client) -> None:
        nonlocal recorded
        while not done.is_set():
            entity_id = f"run-{recorded}"
            if not client.assign("restarts", entity_id).is_default:
                exposed.add(entity_id)
            client.record("success", recorded, entity_id=entity_id)
            recorded += 1
            time.sleep(0.001)

    client = klero.Client(address, timeout_s=5, linger_s=0.01)
    thread = threading.Thread(target=agent, args=(client,))
    for number, end in enumerate([signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, None]):
        with running_server(tmp_path, address=address) as server:
            if number == 0:
                EmbeddedServer(address, tmp_path).start(DEFINITION)
                thread.start()
            time.sleep(0.7)
            if end is not None:
                server.stop(end)
                continue
            done.set()
            thread.join()
            assert client.flush(30)
            counts = client.counts
            client.close()
    stored = EmbeddedServer(address, tmp_path)
    values = [outcome.value for outcome in stored.outcomes()]

    assert recorded > 100
    assert list(range(recorded)) == sorted(int(value) for value in values)
    assert (0, 0) == (counts.rejected, counts.dropped)
    assert exposed <= {exposure.entity_id for exposure in stored.exposures()}


def test_a_misspelt_experiment_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The log says which one was probably meant."""
    with running_server(tmp_path) as server:
        EmbeddedServer(server.address, tmp_path).start(DEFINITION)
        with klero.Client(server.address, timeout_s=5) as client, caplog.at_level(logging.WARNING, "klero.client"):
            decisions = [client.assign("restart", "a", default_variant="plain") for _ in range(2)]

    assert [("not_found", "plain")] * 2 == [(decision.reason, decision.variant_id) for decision in decisions]
    (message,) = caplog.messages
    assert "no experiment `restart`" in message
    assert "did you mean `restarts`?" in message


def test_decisions_are_the_servers(tmp_path: Path) -> None:
    """What a deferred decision says of its exposure is what the server counts."""
    with running_server(tmp_path) as server:
        embedded = EmbeddedServer(server.address, tmp_path)
        embedded.start(DEFINITION)
        with embedded.client() as client:
            decision = client.assign("restarts", "a", expose=False)
            client.assign("restarts", "b")
            client.expose(decision)
            with client.run("a"):
                client.record("success")
            assert client.flush()
        exposures = {row.entity_id: row for row in embedded.exposures()}
        outcomes = embedded.outcomes()

    assert ("split", True) == (decision.reason, decision.variant_id in {"plain", "stepwise"})
    assert decision.variant_id == exposures["a"].variant_id
    assert {"a", "b"} == set(exposures)
    assert all(row.matched for row in outcomes)
    assert ["duration_s", "success"] == sorted(row.event for row in outcomes)


def test_a_refusal_has_what_the_server_says_of_it(tmp_path: Path) -> None:
    """Programs read keys, people read sentences."""
    with running_server(tmp_path) as server:
        EmbeddedServer(server.address, tmp_path).start(DEFINITION)
        with Remote(server.address) as remote, pytest.raises(WireError) as refused:
            remote.decisions("Assign", AssignRequest(experiment_id="restart", entity_id="a"))

    assert {"namespace": "default", "experiment_id": "restart", "did_you_mean": "restarts"} == refused.value.metadata
