"""`klero report`: from a running experiment to a file."""

from __future__ import annotations

import json
from concurrent import futures
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from klero.cli import main
from klero.v1.experiment_service_pb2 import (
    GetExperimentHistoryRequest,
    GetExperimentHistoryResponse,
    GetExperimentRequest,
    GetExperimentResponse,
    GetExperimentResultsRequest,
    GetExperimentResultsResponse,
    GetExperimentStatusRequest,
    GetExperimentStatusResponse,
    ListAuditEntriesRequest,
    ListAuditEntriesResponse,
)
from klero.v1.experiment_service_pb2_grpc import ExperimentServiceServicer, add_ExperimentServiceServicer_to_server
from klero.v1.results_pb2 import ResultsView
from tests.report import made, parsed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.conftest import Klero

DEFINITION = """
id: {id}
name: <Short> & long
hypothesis: Long prompts are better.
type: ab_test
control: {{id: short}}
variants: [{{id: long}}]
metrics: [{{name: success, type: conversion, goal: increase, primary: true, window: 1h}}]
"""


class FakeExperiments(ExperimentServiceServicer):
    """Answers about one made-up experiment, and notes what was asked."""

    def __init__(self) -> None:
        """Serve looks until told otherwise."""
        self.data = made.data(made.experiment(windowed=True))
        self.refusal: grpc.StatusCode | None = None
        self.views: list[int] = []
        self.audited: list[str] = []

    def GetExperiment(self, request: GetExperimentRequest, context: object) -> GetExperimentResponse:
        """The definition."""
        del request, context
        return GetExperimentResponse(experiment=self.data.experiment)

    def GetExperimentResults(
        self, request: GetExperimentResultsRequest, context: object
    ) -> GetExperimentResultsResponse:
        """Either view."""
        del context
        self.views.append(request.view)
        live = request.view == ResultsView.RESULTS_VIEW_LIVE
        return GetExperimentResultsResponse(results=self.data.live if live else self.data.results)

    def GetExperimentStatus(self, request: GetExperimentStatusRequest, context: object) -> GetExperimentStatusResponse:
        """The counters."""
        del request, context
        return self.data.status

    def GetExperimentHistory(
        self,
        request: GetExperimentHistoryRequest,
        context: Any,  # noqa: ANN401  # grpc's context has no public type
    ) -> GetExperimentHistoryResponse:
        """The looks, or the refusal."""
        del request
        if self.refusal is not None:
            context.abort(self.refusal, "no")
        assert self.data.history is not None
        return self.data.history

    def ListAuditEntries(self, request: ListAuditEntriesRequest, context: object) -> ListAuditEntriesResponse:
        """A first page of more."""
        del context
        self.audited.append(request.resource_id)
        return ListAuditEntriesResponse(entries=self.data.audit, next_page_token="more")  # noqa: S106  # of a page


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeExperiments]:
    """A server with the made-up experiment, which the command line calls."""
    servicer = FakeExperiments()  # type: ignore[abstract]  # the other methods answer UNIMPLEMENTED
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    add_ExperimentServiceServicer_to_server(servicer, server)
    monkeypatch.setenv("KLERO_ADDRESS", f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
    server.start()
    yield servicer
    server.stop(None).wait()


def test_a_report_of_a_running_experiment(klero: Klero, tmp_path: Path) -> None:
    """From a real server, in whatever it serves; the second time it says what it replaces."""
    definition, path = tmp_path / "reported.yaml", tmp_path / "reported.html"
    definition.write_text(DEFINITION.format(id="reported"), encoding="utf-8")
    klero("apply", "-f", str(definition))
    klero("start", "reported", "--reason", "a <b>bold</b> start")
    klero("assign", "reported", "run-1", "run-2")
    klero("record", "run-1", "success")
    first = klero("report", "reported", "--output", str(path))
    size = path.stat().st_size
    again = klero("report", "reported", "--output", str(path), "--json")
    document = parsed.read(path.read_text(encoding="utf-8"))

    assert f"wrote {path}, {size:,} bytes; open it in a browser\n" == first.output
    assert {"file": str(path), "bytes": path.stat().st_size} == json.loads(again.output)
    assert "<Short> & long" == document.all("h1")[0].text
    assert "a <b>bold</b> start" in document.all("section", id="audit")[0].text
    assert [2.0] == [
        sum(row.numbers()[0] for row in document.all("section", id="enrolment")[0].all("tbody")[0].all("tr"))
    ]
    assert "replaced" in klero("report", "reported", "--output", str(path)).output


def test_a_draft_has_a_report(klero: Klero, tmp_path: Path) -> None:
    """Before anything runs, the report shows the question."""
    definition, path = tmp_path / "unstarted.yaml", tmp_path / "unstarted.html"
    definition.write_text(DEFINITION.format(id="unstarted"), encoding="utf-8")
    klero("apply", "-f", str(definition))
    done = klero("report", "unstarted", "--output", str(path))

    assert 0 == done.code, done.errors
    assert "Long prompts are better." in path.read_text(encoding="utf-8")


def test_the_file_is_named_after_the_experiment(
    fake: FakeExperiments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has to think of a name."""
    monkeypatch.chdir(tmp_path)

    assert 0 == main(["report", "made"])
    assert ["made.html"] == [path.name for path in tmp_path.iterdir()]
    assert ["made"] == fake.audited


def test_both_views_and_the_history_are_in_it(fake: FakeExperiments, tmp_path: Path) -> None:
    """With windows, who is not settled yet is shown too."""
    path = tmp_path / "made.html"
    code = main(["report", "made", "--output", str(path)])
    document = parsed.read(path.read_text(encoding="utf-8"))

    assert 0 == code
    assert [ResultsView.RESULTS_VIEW_SETTLED, ResultsView.RESULTS_VIEW_LIVE] == fake.views
    assert 2 == len(document.all("section", id="over-time")[0].all("svg", role="img"))
    assert "Older changes are left out" in document.all("section", id="audit")[0].text


def test_without_windows_one_view_is_enough(fake: FakeExperiments, tmp_path: Path) -> None:
    """The other would be the same."""
    fake.data = made.data()

    assert 0 == main(["report", "made", "--output", str(tmp_path / "made.html")])
    assert [ResultsView.RESULTS_VIEW_SETTLED] == fake.views


def test_a_server_without_history_gives_a_report_without_it(fake: FakeExperiments, tmp_path: Path) -> None:
    """An older server has all the rest."""
    fake.refusal = grpc.StatusCode.UNIMPLEMENTED
    path = tmp_path / "made.html"

    assert 0 == main(["report", "made", "--output", str(path)])
    assert "this server keeps no history" in path.read_text(encoding="utf-8")


def test_any_other_failure_writes_nothing(
    fake: FakeExperiments, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half a report would pass for a whole one."""
    fake.refusal = grpc.StatusCode.INTERNAL
    path = tmp_path / "made.html"

    assert 1 == main(["report", "made", "--output", str(path)])
    assert not path.exists()
    assert "error: no\n" == capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_named(
    fake: FakeExperiments, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message says which and why."""
    del fake
    path = tmp_path / "missing" / "made.html"

    assert 1 == main(["report", "made", "--output", str(path)])
    assert f"error: {path} cannot be written: No such file or directory\n" == capsys.readouterr().err


def test_the_terminal_has_it_in_short(
    fake: FakeExperiments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Question, answer and numbers, without leaving the terminal."""
    monkeypatch.chdir(tmp_path)
    code = main(["report", "made", "--terminal"])
    shown = capsys.readouterr().out

    assert 0 == code
    assert shown.startswith(f"Made up\n{fake.data.experiment.hypothesis}\n\nKeep running: no variant is better")
    assert "metric_0 (primary, more is better)" in shown
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("option", [["--json"], ["--output", "x.html"]])
def test_the_terminal_gets_no_file(
    fake: FakeExperiments, option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Two wishes that exclude each other are an error and no guess."""
    del fake

    assert 2 == main(["report", "made", "--terminal", *option])
    assert "--terminal writes no file: leave out --output and --json" in capsys.readouterr().err
