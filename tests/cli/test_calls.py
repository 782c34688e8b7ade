"""What commands ask of a server and say of its answer, where the server is one that only says yes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from klero.cli import main
from klero.v1.events_pb2 import AuditEntry
from klero.v1.experiment_pb2 import Experiment, ExperimentStatus, Variant
from klero.v1.experiment_service_pb2 import (
    ListAuditEntriesRequest,
    ListAuditEntriesResponse,
    ListExperimentsRequest,
    ListExperimentsResponse,
    PauseExperimentRequest,
    PauseExperimentResponse,
    ResumeExperimentRequest,
    ResumeExperimentResponse,
    StartExperimentRequest,
    StartExperimentResponse,
)
from tests.cli.fake_server import fake_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from google.protobuf.message import Message


def experiment(status: ExperimentStatus.ValueType) -> Experiment:
    """An experiment of two variants in its second epoch."""
    found = Experiment(id="x", control=Variant(id="plain"), variants=[Variant(id="stepwise")], status=status)
    found.iteration = 1
    found.allocation.weights.update({"plain": 80, "stepwise": 20})
    found.allocation.traffic_percentage = 50
    found.schedule.start_at.FromJsonString("2027-01-31T09:00:00Z")
    return found


ASKED: list[Message] = []


def pause(request: PauseExperimentRequest) -> PauseExperimentResponse:
    """Paused."""
    ASKED.append(request)
    return PauseExperimentResponse(experiment=experiment(ExperimentStatus.EXPERIMENT_STATUS_PAUSED))


def resume(request: ResumeExperimentRequest) -> ResumeExperimentResponse:
    """Running."""
    ASKED.append(request)
    return ResumeExperimentResponse(experiment=experiment(ExperimentStatus.EXPERIMENT_STATUS_RUNNING))


def start(_request: StartExperimentRequest) -> StartExperimentResponse:
    """Later."""
    return StartExperimentResponse(experiment=experiment(ExperimentStatus.EXPERIMENT_STATUS_SCHEDULED))


def page(request: ListExperimentsRequest) -> ListExperimentsResponse:
    """Two pages, of one experiment each."""
    ASKED.append(ListExperimentsRequest.FromString(request.SerializeToString()))
    last = bool(request.page_token)
    found = Experiment(id="b" if last else "a", control=Variant(id="plain"))
    return ListExperimentsResponse(experiments=[found], next_page_token="" if last else "more")


def trail(request: ListAuditEntriesRequest) -> ListAuditEntriesResponse:
    """As many entries as are asked for, and always more."""
    ASKED.append(request)
    entries = [AuditEntry(revision=number) for number in range(request.page_size)]
    return ListAuditEntriesResponse(entries=entries, next_page_token="more")  # noqa: S106  # of a page


@pytest.fixture(autouse=True)
def _address(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    ASKED.clear()
    answers: dict[str, Callable[[Any], Message]] = {
        "PauseExperiment": pause,
        "ResumeExperiment": resume,
        "StartExperiment": start,
        "ListExperiments": page,
        "ListAuditEntries": trail,
    }
    with fake_server(answers) as address:
        monkeypatch.setenv("KLERO_ADDRESS", address)
        yield


def test_a_pause_says_who_gets_what_and_how_it_ends(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever pauses in a hurry must know what it did."""
    assert 0 == main(["pause", "x", "--reason", "the provider is down", "--namespace", "prod"])

    assert "paused `x`: everyone gets `plain` until `klero resume x`\n" == capsys.readouterr().out
    assert [PauseExperimentRequest(id="x", namespace="prod", reason="the provider is down")] == ASKED


def test_a_resume_says_what_is_in_force(capsys: pytest.CaptureFixture[str]) -> None:
    """It may be long after the start."""
    assert 0 == main(["resume", "x", "--reason", "it is back"])

    assert "resumed `x`, iteration 1: plain 80 %, stepwise 20 %; 50 % of the traffic\n" == capsys.readouterr().out
    assert [ResumeExperimentRequest(id="x", reason="it is back")] == ASKED


def test_a_start_ahead_says_when(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing runs yet, so nothing is said of shares."""
    assert 0 == main(["start", "x"])
    assert "scheduled `x`: it starts at 2027-01-31T09:00:00Z\n" == capsys.readouterr().out


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_answers_can_be_json(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As of every command."""
    assert 0 == main([command, "x", "--json"])
    assert "x" == json.loads(capsys.readouterr().out)["experiment"]["id"]


def test_a_list_has_every_page_and_keeps_its_filter(capsys: pytest.CaptureFixture[str]) -> None:
    """A page token goes with the same filter as the page before."""
    wanted = "status = running AND labels.team = search"
    assert 0 == main(["list", "--filter", wanted, "--json"])

    assert ["a", "b"] == [found["id"] for found in json.loads(capsys.readouterr().out)["experiments"]]
    assert [
        ListExperimentsRequest(filter=wanted),
        ListExperimentsRequest(filter=wanted, page_token="more"),  # noqa: S106  # of a page
    ] == ASKED


def test_a_trail_is_as_long_as_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """The server gives a thousand entries at once, and a year has more."""
    assert 0 == main(["audit", "--limit", "1500", "--json"])

    assert 1500 == len(json.loads(capsys.readouterr().out)["entries"])
    assert [
        ListAuditEntriesRequest(page_size=1000),
        ListAuditEntriesRequest(page_size=500, page_token="more"),  # noqa: S106  # of a page
    ] == ASKED
