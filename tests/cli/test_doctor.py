"""What the doctor sees, each thing brought about on purpose."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from klero.cli import main
from klero.cli.doctor import local
from klero.cli.doctor.events import JournalEvents, check_events, journal_events
from klero.cli.doctor.finding import Finding, State
from klero.cli.doctor.server import check_server
from klero.data_directory import DataDirectory
from klero.engine import PROFILE
from klero.v1.experiment_pb2 import Experiment
from klero.v1.experiment_service_pb2 import (
    GetExperimentResultsRequest,
    GetExperimentResultsResponse,
    ListExperimentsRequest,
    ListExperimentsResponse,
)
from klero.v1.results_pb2 import ExperimentResults
from tests.cli.fake_server import fake_server
from tests.server_process import running_server

if TYPE_CHECKING:
    from tests.cli.conftest import Klero

# The tests record events that nothing reads, and run with a core of either build.
UNSETTLED = {"events", "core"}
DEFINITION = """
id: {id}
type: ab_test
control: {{id: short}}
variants: [{{id: long}}]
metrics:
  - {{name: solved, type: conversion, goal: increase, primary: true}}
  - {{name: cost, event: cost_usd, type: continuous, goal: decrease}}
"""


def states(findings: list[Finding]) -> list[tuple[str, State]]:
    """Which checks found what."""
    return [(finding.check, finding.state) for finding in findings]


@pytest.fixture
def directory(klero: Klero, shared_data_dir: Path, tmp_path: Path) -> DataDirectory:
    """Data directory of the shared server, with an experiment and an outcome that nothing reads."""
    path = tmp_path / "doctored.yaml"
    path.write_text(DEFINITION.format(id="doctored"), encoding="utf-8")
    klero("apply", "-f", str(path))
    klero("start", "doctored")
    assert 0 == klero("record", "run-1", "solvd").code
    return DataDirectory(shared_data_dir)


def test_a_running_server_is_well(klero: Klero, directory: DataDirectory) -> None:
    """The doctor looks beside it and changes nothing."""
    done = klero("doctor", "--data-dir", str(directory.path), "--json")
    found = json.loads(done.output)
    by_check = {finding["check"]: finding for finding in found["findings"] if finding["check"] not in UNSETTLED}

    assert (0, 0) == (done.code, found["failed"])
    assert {"ok"} == {finding["state"] for finding in by_check.values()}
    assert "in use by pid" in by_check["data directory"]["sentence"]
    assert "a Klero server answers" in by_check["server"]["sentence"]
    assert "the server has the same Klero" in by_check["versions"]["sentence"]
    assert {"disk space", "file system", "journal time", "clock", "catalog format", "journal format"} < by_check.keys()


def test_a_misspelt_event_is_told_what_it_meant(klero: Klero, directory: DataDirectory) -> None:
    """The most frequent reason for results that stay empty."""
    printed = " ".join(klero("doctor", "--data-dir", str(directory.path)).output.split())

    assert "`solvd` in namespace `default` was recorded " in printed
    assert "did you mean `solved`?" in printed


def test_events_of_checkpoints_count(tmp_path: Path) -> None:
    """A server that ended has folded everything into one, and the frames before it are not read again."""
    path = tmp_path / "x.yaml"
    path.write_text(DEFINITION.format(id="x"), encoding="utf-8")
    data = tmp_path / "data"
    with running_server(data) as server:
        for words in (["apply", "-f", str(path)], ["start", "x"], ["record", "run-1", "solvd"]):
            assert 0 == main([*words, "--address", server.address])
        before = journal_events(DataDirectory(data))
        assert 0 == server.stop()
    both = journal_events(DataDirectory(data))
    with sqlite3.connect(data / "journal.db") as database:
        database.execute("DELETE FROM frame")

    after = journal_events(DataDirectory(data))
    assert {("default", "solvd"): 1} == after.recorded == both.recorded == before.recorded
    assert {("default", "x"): {"solved", "cost_usd"}} == after.read == before.read
    assert {("default", "x")} == after.running == before.running


def test_only_near_names_are_warned_of() -> None:
    """Many events are recorded for later, and an ended experiment needs no more outcomes."""
    found = JournalEvents()
    found.read = {("a", "runs"): {"solved", "cost"}, ("a", "ended"): {"gone"}, ("b", "other"): {"clicks"}}
    found.running = {("a", "runs"), ("b", "other")}
    found.recorded.update({("a", "cost"): 3, ("a", "clickz"): 1, ("b", "clickz"): 2, ("a", "latency"): 5})
    sentences = {finding.sentence: finding.state for finding in check_events(found)}

    assert {
        "`clickz` in namespace `b` was recorded 2 times and no metric reads it, did you mean `clicks`?": State.WARNING,
        "`solved` never came, which `runs` in namespace `a` reads": State.WARNING,
        "`clicks` never came, which `other` in namespace `b` reads": State.WARNING,
        "recorded, and read by no metric: `clickz`, `latency`": State.OK,
    } == sentences


def test_a_directory_that_is_not_there_is_a_warning(tmp_path: Path) -> None:
    """It may be named wrongly, and before the first start it is right."""
    (found,) = local.check_directory(DataDirectory(tmp_path / "none"))

    assert State.WARNING is found.state
    assert f"`klero serve --data-dir {tmp_path / 'none'}`" in found.advice


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    """Nothing can be kept in it."""
    (tmp_path / "file").touch()

    assert [("data directory", State.FAILED)] == states(list(local.check_directory(DataDirectory(tmp_path / "file"))))


@pytest.mark.parametrize(("version", "state"), [(0, State.OK), (2, State.OK), (99, State.FAILED)])
def test_formats_of_newer_versions_are_named(tmp_path: Path, version: int, state: State) -> None:
    """After a downgrade the server says no, and the doctor why."""
    with sqlite3.connect(tmp_path / "journal.db") as database:
        database.execute(f"PRAGMA user_version = {version}")

    assert ("journal format", state) in states(list(local.check_directory(DataDirectory(tmp_path))))


def test_a_lock_without_its_process_is_no_use(tmp_path: Path) -> None:
    """After kill -9 the file stays and the kernel's lock does not."""
    with DataDirectory(tmp_path):
        assert str(os.getpid()) == local.owner(tmp_path)
    assert "" == local.owner(tmp_path)


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ("ext4", State.OK),
        ("tmpfs", State.WARNING),
        ("nfs4", State.WARNING),
        ("fuse.sshfs", State.WARNING),
        ("overlay", State.WARNING),
    ],
)
def test_file_systems_that_lose_data_are_named(tmp_path: Path, kind: str, state: State) -> None:
    """What an acknowledgement promises rests on it."""
    mounts = ["1 0 8:1 / / rw - ext4 /dev/a rw", f"2 1 8:2 / {tmp_path} rw shared:1 - {kind} /dev/b rw"]
    found = list(local.check_disk(DataDirectory(tmp_path / "data"), mounts))

    assert ("file system", state) == states(found)[-1]


def test_the_deepest_and_latest_mount_counts() -> None:
    """As the kernel looks it up; blanks are octal digits there."""
    mounts = [
        "1 0 8:1 / / rw - ext4 /dev/a rw",
        "2 1 8:2 / /a\\040b rw - tmpfs t rw",
        "3 1 8:3 / /a\\040b rw - xfs /dev/c rw",
        "4 1 8:4 / /other rw - nfs4 n rw",
    ]

    assert "xfs" == local.file_system_type(Path("/a b/data"), mounts)
    assert "ext4" == local.file_system_type(Path("/elsewhere"), mounts)
    assert "" == local.file_system_type(Path("/data"), [])


@pytest.mark.parametrize(("free", "state"), [(1 << 40, State.OK), (200 << 20, State.WARNING), (1 << 20, State.FAILED)])
def test_scarce_space_is_named(tmp_path: Path, free: int, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Record is refused for it."""
    monkeypatch.setattr(local, "free_and_total", lambda _path: (free, 1 << 41))

    assert ("disk space", state) == states(list(local.check_disk(DataDirectory(tmp_path), [])))[0]


@pytest.mark.parametrize(("behind_ms", "state"), [(0, State.OK), (60_000, State.FAILED)])
def test_a_clock_behind_the_journal_is_named(directory: DataDirectory, behind_ms: int, state: State) -> None:
    """No window closes until it gets there."""
    now_ms = time.time_ns() // 1_000_000 - behind_ms

    assert [("journal time", state)] == states(list(local.check_journal_time(directory, now_ms=now_ms)))


@pytest.mark.parametrize(("profile", "state"), [("release", State.OK), ("debug", State.WARNING)])
def test_a_slow_core_is_named(profile: str, state: State) -> None:
    """Whoever measures a debug build measures the wrong thing."""
    (found,) = local.check_core(profile)

    assert state is found.state
    assert PROFILE in {"debug", "release"}


def results(request: GetExperimentResultsRequest, *, version: str, ahead_s: int) -> GetExperimentResultsResponse:
    """Of a server with another version and time."""
    found = ExperimentResults(experiment_id=request.id, engine_version=version)
    found.collected_at.FromSeconds(int(time.time()) + ahead_s)
    return GetExperimentResultsResponse(results=found)


def test_another_version_and_another_time_are_named() -> None:
    """Both make numbers that cannot be understood."""
    answers = {
        "ListExperiments": lambda _: ListExperimentsResponse(experiments=[Experiment(id="x", namespace="n")]),
        "GetExperimentResults": lambda request: results(request, version="0.0.1", ahead_s=-3600),
    }
    with fake_server(answers) as address:
        found = list(check_server(address, namespace="n", used_by=""))

    assert [("server", State.OK), ("versions", State.WARNING), ("clock", State.WARNING)] == states(found)
    assert "the server has Klero 0.0.1" in found[1].sentence
    assert "s behind this machine's" in found[2].sentence


def test_a_server_without_experiments_is_well() -> None:
    """On the first day there is none."""
    asked: list[ListExperimentsRequest] = []

    def page(request: ListExperimentsRequest) -> ListExperimentsResponse:
        asked.append(request)
        return ListExperimentsResponse()

    with fake_server({"ListExperiments": page}) as address:
        found = list(check_server(address, namespace="", used_by=""))

    assert [("server", State.OK), ("versions", State.OK)] == states(found)


def test_nobody_and_somebody_else_at_the_port_are_told_apart(klero: Klero, tmp_path: Path) -> None:
    """A free port is right before the start, a taken one is what keeps the server from it."""
    (nobody, _) = check_server("127.0.0.1:1", namespace="", used_by="")
    (elsewhere, _) = check_server("127.0.0.1:1", namespace="", used_by="17")
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        done = klero("doctor", "--data-dir", str(tmp_path), "--address", address)

    assert (State.WARNING, "start one with `klero serve --address 127.0.0.1:1`") == (nobody.state, nobody.advice)
    assert "pid 17" in elsewhere.advice
    assert 1 == done.code
    assert "is no Klero server" in " ".join(done.output.split())
