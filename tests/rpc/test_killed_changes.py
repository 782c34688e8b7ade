"""A server killed again and again while somebody changes an experiment: all that is left agrees."""

from __future__ import annotations

import sqlite3
import threading
import time
import uuid
from contextlib import closing
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

import grpc

from klero.catalog.sqlite import read_secret
from klero.engine import Engine
from klero.v1.decision_pb2 import DecisionReason, ExposureMode
from tests.rpc.calls import TIMEOUT_S, Client, ab_test, connected, refusal
from tests.rpc.life import Life, status_word, weighted
from tests.server_process import running_server

if TYPE_CHECKING:
    from pathlib import Path

    from klero.v1 import experiment_service_pb2 as pb
    from klero.v1.experiment_pb2 import Experiment

ROUNDS = 10
LONGEST_ROUND_S = 0.5
SEED = 7
AUTO = ExposureMode.EXPOSURE_MODE_AUTO
# The moment between catalog and journal, made so long that many a kill falls into it.
_GAP = """
import asyncio
from klero.rpc.changes import Changes
at_once = Changes._publish

async def late(changes, after):
    await asyncio.sleep(0.03)
    await at_once(changes, after)

Changes._publish = late
"""
REASONS = {
    "running": DecisionReason.DECISION_REASON_SPLIT,
    "paused": DecisionReason.DECISION_REASON_PAUSED,
    "stopped": DecisionReason.DECISION_REASON_STOPPED,
}
POSSIBLE = {
    "running": ("PauseExperiment", "UpdateExperiment", "UpdateExperiment", "StopExperiment"),
    "paused": ("ResumeExperiment", "ResumeExperiment", "UpdateExperiment", "StopExperiment"),
    "stopped": ("StartExperiment",),
}


@dataclass(slots=True)
class Person:
    """Changes one experiment until the server is gone, and then asks once more what it was not told."""

    random: Random
    last: Experiment
    """As it was told last."""

    changes: int = 0
    unanswered: tuple[str, Any] | None = None
    weights: dict[tuple[int, int], dict[str, float]] = field(default_factory=dict)
    """In force, by iteration and epoch, as far as it was told."""

    def change_until_killed(self, address: str) -> None:
        """One change after the other."""
        with connected(address) as client:
            try:
                while True:
                    self.send(client)
            except grpc.RpcError as error:
                assert_unanswered(error)

    def send(self, client: Client) -> None:
        """The request that was not answered, or else another one."""
        self.unanswered = self.unanswered or self._next(Life(client, "default"))
        call, request = self.unanswered
        self.last = getattr(client.experiments, call)(request, timeout=TIMEOUT_S).experiment
        self.unanswered = None
        self.changes += 1
        self.weights[self.last.iteration, self.last.allocation.epoch] = dict(self.last.allocation.weights)

    def _next(self, life: Life) -> tuple[str, Any]:
        call, request_id = (
            self.random.choice(POSSIBLE[status_word(self.last)]),
            str(uuid.UUID(int=self.random.getrandbits(128))),
        )
        if call != "UpdateExperiment":
            return call, life.request(call, request_id=request_id)
        share = self.random.randint(1, 99)
        change = weighted("default", share, 100 - share)
        return call, life.updating(change, "control", "variants", request_id=request_id)


def assert_unanswered(error: grpc.RpcError) -> None:
    """The call failed because the server went away: a refusal would have details."""
    assert isinstance(error, grpc.Call)
    assert "grpc-status-details-bin" not in dict(error.trailing_metadata() or ()), refusal(error)


def assign_until_killed(address: str, prefix: str) -> None:
    """Decide for new entities all the time."""
    with connected(address) as client:
        life, number = Life(client, "default"), 0
        try:
            while True:
                life.decided([f"{prefix}-{each}" for each in range(number, number + 5)], AUTO)
                number += 5
        except grpc.RpcError:
            return


def ready(life: Life) -> pb.GetExperimentStatusResponse:
    """How the experiment is, once the server has read its journal.

    Raises:
        AssertionError: That never comes.
    """
    end = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end:
        try:
            found: pb.GetExperimentStatusResponse = life.call("GetExperimentStatus")
        except grpc.RpcError as error:
            if not refusal(error).may_retry:
                raise
            time.sleep(0.02)
            continue
        return found
    message = "the journal is not read"
    raise AssertionError(message)


def check(client: Client, data_dir: Path, person: Person, probe: str) -> None:
    """Catalog, decisions and journal say one thing; nothing that was told is gone."""
    life = Life(client, "default")
    how, stored = ready(life), life.stored()
    with closing(sqlite3.connect(f"file:{data_dir}/catalog.db?mode=ro", uri=True)) as database:
        ((told, revision),) = database.execute("SELECT told, revision FROM head").fetchall()
    assert told == revision == how.lowest_node_revision
    assert (how.status, how.allocation, how.revision) == (stored.status, stored.allocation, stored.revision)
    # At most the change that was not answered came on top.
    assert person.last.revision <= stored.revision <= person.last.revision + (person.unanswered is not None)
    if stored.revision == person.last.revision:
        assert stored == person.last

    (decision,) = life.decided([probe], AUTO)
    assert REASONS[status_word(stored)] == decision.reason
    found = client.results(stored)
    runs = status_word(stored) == "running"
    assert (stored.allocation.epoch if runs else 0) == (decision.epoch if runs else 0)
    assert stored.iteration == found.iteration
    assert found.is_final == (status_word(stored) == "stopped")
    by_epoch = {each.allocation.epoch: each for each in found.epochs}
    assert stored.allocation.epoch == max(by_epoch)
    assert dict(stored.allocation.weights) == dict(by_epoch[stored.allocation.epoch].allocation.weights)
    for (iteration, epoch), weights in person.weights.items():
        if iteration == stored.iteration:
            assert weights == dict(by_epoch[epoch].allocation.weights)
    before = by_epoch[stored.allocation.epoch].enrolled
    (again,) = life.decided([f"{probe}-again"], AUTO)
    after = {each.allocation.epoch: each for each in client.results(stored).epochs}[stored.allocation.epoch].enrolled
    assert sum(before.values()) + int(runs) == sum(after.values())
    assert not runs or again.epoch == stored.allocation.epoch
    check_journal(stored, data_dir)


def check_journal(stored: Experiment, data_dir: Path) -> None:
    """The journal alone, read by nobody but this test, knows what the catalog does."""
    engine = Engine(secret=read_secret(data_dir / "catalog.db"), incarnation=bytes(16))
    with closing(sqlite3.connect(f"file:{data_dir}/journal.db?mode=ro", uri=True)) as database:
        for position, crc, body in database.execute("SELECT position, crc, body FROM frame ORDER BY position"):
            engine.replay(position=position, crc=crc, body=body)
    known = engine.iteration("default", "exp", stored.iteration)
    assert known is not None
    assert (stored.allocation.epoch, status_word(stored) == "stopped") == (known.epoch, known.stopped)
    # A pause that was stopped ended with the iteration.
    assert known.stopped or known.paused == (status_word(stored) == "paused")


def test_catalog_decisions_and_journal_agree_after_every_kill(tmp_path: Path) -> None:
    """Somebody pauses, resumes, changes weights, stops and starts; the server dies at any moment."""
    data_dir, random = tmp_path / "data", Random(SEED)
    with running_server(data_dir, before=_GAP) as server, connected(server.address) as client:
        person = Person(random, client.start(ab_test("default")))
        server.process.kill()
    for number in range(ROUNDS):
        with running_server(data_dir, before=_GAP) as server, connected(server.address) as client:
            check(client, data_dir, person, f"probe-{number}")
            if person.unanswered is not None:
                person.send(client)
                check(client, data_dir, person, f"probe-{number}-repeated")
            threads = [
                threading.Thread(target=person.change_until_killed, args=(server.address,)),
                threading.Thread(target=assign_until_killed, args=(server.address, f"round-{number}")),
            ]
            for thread in threads:
                thread.start()
            time.sleep(random.uniform(0.05, LONGEST_ROUND_S))
            server.process.kill()
            for thread in threads:
                thread.join()
    with running_server(data_dir, before=_GAP) as server, connected(server.address) as client:
        check(client, data_dir, person, "last")
        assert server.stop() == 0, server.log()
    assert person.changes > ROUNDS
    assert person.last.iteration > 1
