"""How a server ends, is ended and does not begin, and what of it is left."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
from typing import TYPE_CHECKING

import grpc
import pytest

from klero.v1.decision_pb2 import DecisionReason, Outcome
from klero.v1.experiment_service_pb2 import GetExperimentResultsRequest
from tests.rpc.calls import TIMEOUT_S, Client, ab_test, connected, external, refused
from tests.rpc.sender import Log, assert_counted_once, batch, send_again, under_load
from tests.server_process import FREE_PORT, ServerProcess, running_server, start_failure, wait_until_gone

if TYPE_CHECKING:
    from pathlib import Path

ANSWERED = {grpc.StatusCode.UNAVAILABLE}
ROUNDS = 3
# Files of the child end here, as on a full disk.
_SMALL_FILES = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
"""


def ended(server: ServerProcess, number: signal.Signals) -> set[int]:
    """Send the signal; returns the processes that the server had started."""
    started = set(server.children())
    server.process.send_signal(number)
    return started


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_server_that_is_stopped_keeps_what_it_answered(tmp_path: Path, number: signal.Signals) -> None:
    """An upgrade or Ctrl-C in the middle of traffic loses no outcome and leaves no process behind."""
    children: set[int] = set()
    with running_server(tmp_path / "data") as server:
        with connected(server.address) as client:
            client.start(external("default"))
        server.analysis_process()
        log = under_load(server.address, lambda: children.update(ended(server, number)))
        assert server.process.wait(TIMEOUT_S) == 0, server.log()
        assert "Traceback" not in server.log()
    assert children
    assert set() == wait_until_gone(children, timeout_s=5)
    assert ANSWERED >= log.codes

    with running_server(tmp_path / "data") as server, connected(server.address) as client:
        send_again(client, log)
        assert_counted_once(client, len(log.acknowledged) + len(log.unanswered))
        assert server.stop() == 0


def test_a_server_that_is_killed_keeps_what_it_answered(tmp_path: Path) -> None:
    """After a crash every acknowledged outcome is there once, and what is sent again counts once."""
    total = Log()
    with running_server(tmp_path / "data") as server, connected(server.address) as client:
        client.start(external("default"))
        assert server.stop() == 0
    for _ in range(ROUNDS):
        children: set[int] = set()
        with running_server(tmp_path / "data") as server:
            server.analysis_process()
            with connected(server.address) as client:
                send_again(client, total)
            total.acknowledged += total.unanswered
            log = under_load(server.address, lambda: children.update(ended(server, signal.SIGKILL)))  # noqa: B023  # called at once
            total.acknowledged += log.acknowledged
            total.unanswered = log.unanswered
        assert len(log.unanswered) >= 1
        assert ANSWERED >= log.codes
        assert children
        assert set() == wait_until_gone(children, timeout_s=5)

    with running_server(tmp_path / "data") as server, connected(server.address) as client:
        send_again(client, total)
        assert_counted_once(client, len(total.acknowledged) + len(total.unanswered))


def test_a_call_that_waits_for_its_commit_is_answered_at_the_stop(tmp_path: Path) -> None:
    """Who sent a batch just before the signal gets its answer, not an error."""
    with running_server(tmp_path / "data") as server, connected(server.address) as client:
        client.start(external("default"))
        calls = [client.decisions.Record.future(batch(), timeout=TIMEOUT_S) for _ in range(200)]
        calls[0].result()
        server.process.terminate()
        codes = [call.code() for call in calls]
        assert server.process.wait(TIMEOUT_S) == 0

    stored = codes.count(grpc.StatusCode.OK)
    assert {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE} >= set(codes)
    with running_server(tmp_path / "data") as server, connected(server.address) as client:
        assert client.results(external("default")).progress.enrolled >= stored


def test_two_servers_do_not_share_a_data_directory(tmp_path: Path) -> None:
    """Two writers of one journal would ruin it; the second says whom to look for."""
    with running_server(tmp_path / "data") as server:
        code, said = start_failure(tmp_path / "data", FREE_PORT)

        assert code != 0
        assert f"data directory {tmp_path / 'data'} in use by pid {server.process.pid}" in said
        assert server.stop() == 0
    with running_server(tmp_path / "data") as again:
        assert again.stop() == 0


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("{busy}", "cannot be listened on: in use by another process?"),
        ("0.0.0.0:0", "can be reached from other machines"),
        ("[::]:0", "can be reached from other machines"),
        ("192.0.2.1:7420", "can be reached from other machines"),
        ("localhost", "must be HOST:PORT"),
        ("127.0.0.1:port", "must be HOST:PORT"),
        ("127.0.0.1:70000", "must be HOST:PORT"),
    ],
)
def test_an_address_that_cannot_be_served_is_refused(
    server: ServerProcess, tmp_path: Path, address: str, said: str
) -> None:
    """A port that two servers share silently, or one that is open to all, is found out too late."""
    code, error = start_failure(tmp_path / "data", address.format(busy=server.address))

    assert code != 0
    assert "StartupError" in error
    assert said in error


def test_a_damaged_journal_is_not_served(tmp_path: Path) -> None:
    """Results without some of the outcomes would be believed."""
    with running_server(tmp_path / "data") as server, connected(server.address) as client:
        client.start(external("default"))
        client.decisions.Record(batch())
        assert server.stop() == 0
    database = sqlite3.connect(tmp_path / "data" / "journal.db")
    with database:
        database.execute("UPDATE frame SET body = x'00' WHERE position = 2")
    database.close()

    code, said = start_failure(tmp_path / "data", FREE_PORT)

    assert code != 0
    assert "journal frame 2 (checksum does not match) cannot be read" in said
    assert "--accept-loss" in said


def fill_the_disk(client: Client) -> tuple[int, grpc.RpcError]:
    """Record until it fails; how many batches were acknowledged, and the failure."""
    for number in range(1000):
        try:
            client.decisions.Record(batch(), timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            return number, error
    message = "the disk never filled"
    raise AssertionError(message)


def test_a_disk_that_refuses_stops_the_journal_and_nothing_else(tmp_path: Path) -> None:
    """Agents go on deciding on a full disk, and those who record learn that nothing is stored."""
    with running_server(tmp_path / "data", before=_SMALL_FILES) as server, connected(server.address) as client:
        client.start(external("default"))
        inside = client.start(ab_test("default", "inside"))
        stored, error = fill_the_disk(client)
        assert isinstance(error, grpc.Call)
        assert error.code() == grpc.StatusCode.UNAVAILABLE
        for _ in range(2):
            later = refused(client.decisions.Record, batch())
            assert (grpc.StatusCode.UNAVAILABLE, "JOURNAL_UNAVAILABLE") == (later.code, later.reason)
            assert later.may_retry
        assert client.assign(inside, "u").reason == DecisionReason.DECISION_REASON_SPLIT
        assert server.stop() == 0
        assert "the journal stops: the disk refused frame" in server.log()

    with running_server(tmp_path / "data") as server, connected(server.address) as client:
        assert_counted_once(client, stored)
        assert client.record("default", Outcome(entity_id="u", event="cost")).accepted == 1


def test_a_second_signal_does_not_wait_for_calls(tmp_path: Path) -> None:
    """Who presses Ctrl-C twice wants it to end, and still loses nothing that was answered."""
    with running_server(tmp_path / "data") as server, connected(server.address) as client:
        running = client.start(external("default"))
        client.decisions.Record(batch())
        waiting = client.experiments.GetExperimentResults.future(
            GetExperimentResultsRequest(id=running.id, min_position=10**9), timeout=TIMEOUT_S
        )
        client.results(running)
        server.process.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            server.process.wait(1)
        os.kill(server.process.pid, signal.SIGTERM)
        assert server.process.wait(5) == 0
        assert waiting.code() is not None
