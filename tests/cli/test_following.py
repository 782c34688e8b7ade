"""Results that are watched until they are final."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from klero.cli.following import Look, follow_as_json, looks
from klero.errors import WireError
from klero.v1.experiment_pb2 import Experiment, ExperimentStatus
from klero.v1.experiment_service_pb2 import (
    GetExperimentRequest,
    GetExperimentResponse,
    GetExperimentResultsRequest,
    GetExperimentResultsResponse,
)
from klero.v1.results_pb2 import ExperimentResults

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from google.protobuf.message import Message

    from tests.cli.conftest import Klero

RUNNING, DRAINING, STOPPED = (
    ExperimentStatus.EXPERIMENT_STATUS_RUNNING,
    ExperimentStatus.EXPERIMENT_STATUS_DRAINING,
    ExperimentStatus.EXPERIMENT_STATUS_STOPPED,
)
WAIT_S = 20.0

DEFINITION = """
id: {id}
type: ab_test
control: {{id: short}}
variants: [{{id: long}}]
metrics: [{{name: success, type: conversion, goal: increase, primary: true}}]
"""


class Answers:
    """Stands in for a connection: gives one answer after the other."""

    def __init__(self, answers: Sequence[tuple[ExperimentStatus.ValueType, int, bool] | WireError]) -> None:
        """Give status, enrolled entities and whether results are final; or raise."""
        self._answers = iter(answers)
        self._status = RUNNING
        self.min_positions: list[int] = []

    def experiments(self, _method: str, request: Message) -> Message:
        """Results take the next answer, the experiment belongs to it."""
        if isinstance(request, GetExperimentRequest):
            return GetExperimentResponse(experiment=Experiment(id="x", iteration=1, status=self._status))
        assert isinstance(request, GetExperimentResultsRequest)
        self.min_positions.append(request.min_position)
        answer = next(self._answers)
        if isinstance(answer, WireError):
            raise answer
        self._status, enrolled, final = answer
        results = ExperimentResults(experiment_id="x", iteration=1, is_final=final, as_of=len(self.min_positions))
        results.progress.enrolled = enrolled
        results.collected_at.GetCurrentTime()
        return GetExperimentResultsResponse(results=results)


def away(status: str = "UNAVAILABLE") -> WireError:
    """What a call raises when nobody answers."""
    return WireError(status=status, reason="", message="no server answers")


def found(answers: Answers) -> Iterator[Look]:
    """The looks at `answers`, without pauses."""
    request = GetExperimentResultsRequest(id="x", min_position=7)
    return looks(answers, request, interval_s=0)  # type: ignore[arg-type]  # stands in


def test_it_ends_when_nothing_can_change_any_more() -> None:
    """A script waits for a verdict by following."""
    answers = Answers([(RUNNING, 1, False), (DRAINING, 2, False), (DRAINING, 2, True), (STOPPED, 2, True)])

    assert [False, False, False, True] == [look.last for look in found(answers)]
    assert [7, 0, 0, 0] == answers.min_positions


def test_a_line_for_each_change(capsys: pytest.CaptureFixture[str]) -> None:
    """The clock alone, and the position alone, are no change."""
    follow_as_json(found(Answers([(RUNNING, 1, False), (RUNNING, 1, False), (RUNNING, 2, False), (STOPPED, 2, True)])))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert [1, 2, 2] == [line["progress"]["enrolled"] for line in lines]
    assert [False, False, True] == [line.get("isFinal", False) for line in lines]


def test_a_restart_of_the_server_is_sat_out(capsys: pytest.CaptureFixture[str]) -> None:
    """Who watches for days wants to see what comes after an upgrade."""
    follow_as_json(found(Answers([(RUNNING, 1, False), away(), away(), (RUNNING, 1, False), (STOPPED, 1, True)])))
    printed = capsys.readouterr()

    assert 2 == len(printed.out.splitlines())
    assert "no server answers" == json.loads(printed.err)["error"]["message"]


@pytest.mark.parametrize("answers", [[away()], [(RUNNING, 1, False), away("NOT_FOUND")]])
def test_other_errors_end_it(answers: list[tuple[ExperimentStatus.ValueType, int, bool] | WireError]) -> None:
    """An experiment that was deleted does not come back, and a wrong address stays wrong."""
    with pytest.raises(WireError):
        list(found(Answers(answers)))


@contextmanager
def following(address: str, experiment_id: str, *, terminal: bool) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """`klero results --follow` in a process of its own; gives it and what it prints to."""
    reading, writing = pty.openpty() if terminal else os.pipe()
    command = [sys.executable, "-m", "klero.cli", "results", experiment_id, "--follow", "--interval", "0.1"]
    environment = os.environ | {"KLERO_ADDRESS": address, "TERM": "xterm", "COLUMNS": "90", "LINES": "40"}
    with subprocess.Popen(command, stdout=writing, stderr=subprocess.PIPE, env=environment) as process:
        os.close(writing)
        try:
            yield process, reading
        finally:
            process.kill()
            os.close(reading)


def read_until(descriptor: int, wanted: str) -> str:
    """What is printed up to `wanted`, which must come."""
    printed, deadline = b"", time.monotonic() + WAIT_S
    while wanted.encode() not in printed:
        assert time.monotonic() < deadline, printed
        printed += os.read(descriptor, 1 << 16)
    return printed.decode()


@pytest.fixture
def started(klero: Klero, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A running experiment."""
    identifier: str = request.node.name.replace("_", "-")[:60]
    path = tmp_path / "x.yaml"
    path.write_text(DEFINITION.format(id=identifier), encoding="utf-8")
    assert 0 == klero("apply", "-f", str(path)).code
    assert 0 == klero("start", identifier).code
    return identifier


def test_a_terminal_is_redrawn_and_keeps_the_end(klero: Klero, address: str, started: str) -> None:
    """The last picture is what one wanted to see."""
    with following(address, started, terminal=True) as (process, output):
        first = read_until(output, "Ctrl-C ends")
        klero("assign", started, "run-1")
        read_until(output, "1 enrolled")
        klero("stop", started)
        last = read_until(output, "; final.")

        assert 0 == process.wait(WAIT_S)
    assert f"`{started}` is running, iteration 1: 0 enrolled" in first
    assert f"`{started}` is stopped" in last


def test_ctrl_c_ends_it_in_one_line(address: str, started: str) -> None:
    """As of every command, with the exit code that shells expect."""
    with following(address, started, terminal=False) as (process, output):
        line = json.loads(read_until(output, "\n"))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=WAIT_S)

        assert 130 == process.returncode
    assert started == line["experimentId"]
    assert b"interrupted\n" == errors


def test_an_interval_needs_something_to_repeat(klero: Klero) -> None:
    """An option that does nothing would mislead."""
    assert "--interval goes with --follow" in klero("results", "x", "--interval", "1").errors
