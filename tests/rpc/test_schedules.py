"""Planned starts and ends on a real server, while it runs and while it does not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from klero.v1 import experiment_service_pb2 as pb
from klero.v1.decision_pb2 import DecisionReason, ExposureMode
from klero.v1.experiment_pb2 import Experiment, ExperimentConfig, Schedule
from tests.rpc.calls import Client, ab_test, audited, connected, refused
from tests.rpc.life import HOUR_S, Life, status_word, weighted
from tests.server_process import running_server

if TYPE_CHECKING:
    from pathlib import Path

AUTO = ExposureMode.EXPOSURE_MODE_AUTO
NOT_STARTED = DecisionReason.DECISION_REASON_NOT_STARTED
SHIPPED = DecisionReason.DECISION_REASON_SHIPPED
SPLIT = DecisionReason.DECISION_REASON_SPLIT
STOPPED = DecisionReason.DECISION_REASON_STOPPED
# The server looks once a second what is due; the rest is for a busy machine.
LATE_S = 3.0


def planned(definition: Experiment, *, start_s: float | None = None, end_s: float | None = None) -> Experiment:
    """The definition with a schedule so many seconds from now."""
    now = time.time()
    if start_s is not None:
        definition.schedule.start_at.FromMilliseconds(round((now + start_s) * 1000))
    if end_s is not None:
        definition.schedule.end_at.FromMilliseconds(round((now + end_s) * 1000))
    return definition


def late_s(found: Experiment, field: str, planned_field: str) -> float:
    """How many seconds after its time something happened."""
    planned_ms: int = getattr(found.schedule, planned_field).ToMilliseconds()
    happened_ms: int = getattr(found, field).ToMilliseconds()
    return (happened_ms - planned_ms) / 1000


def reason(life: Life) -> tuple[DecisionReason.ValueType, str]:
    """Of a decision now, with the variant."""
    (decision,) = life.decided(["user"])
    return decision.reason, decision.variant_id


def test_it_begins_and_ends_at_its_time(client: Client, namespace: str, data_dir: Path) -> None:
    """Nobody has to be there, and everything is measured from the begin on."""
    life = Life(client, namespace)
    life.create(planned(ab_test(namespace), start_s=1, end_s=3))
    scheduled = life.move("Start", reason="on Monday")
    early = reason(life)
    running = life.wait_for("running")
    life.decided(["user", "other"], AUTO)
    stopped = life.wait_for("stopped")

    assert ("scheduled", 0, False) == (status_word(scheduled), scheduled.iteration, scheduled.HasField("started_at"))
    assert f"scheduled, begins at {scheduled.schedule.start_at.ToJsonString()}" == scheduled.status_reason
    assert (NOT_STARTED, "a") == early
    assert (1, 1, "start") == (running.iteration, running.allocation.epoch, running.allocation.cause)
    assert running.started_at == running.analysis_plan.frozen_at
    assert 0 <= late_s(running, "started_at", "start_at") < LATE_S
    assert 0 <= late_s(stopped, "ended_at", "end_at") < LATE_S
    assert (STOPPED, "a") == reason(life)
    assert 2 == client.results(stopped).progress.enrolled
    assert [
        ("CreateExperiment", "anonymous"),
        ("StartExperiment", "anonymous"),
        ("scheduled_start", "controller"),
        ("scheduled_end", "controller"),
    ] == [(each.action, each.actor) for each in audited(data_dir, namespace)]


def test_a_duration_counts_from_the_start(client: Client, namespace: str) -> None:
    """Also while it is paused."""
    definition = ab_test(namespace)
    definition.config.duration.FromMilliseconds(1500)
    life = Life(client, namespace)
    started = client.start(definition)
    life.move("Pause")
    stopped = life.wait_for("stopped")

    took_s = (stopped.ended_at.ToMilliseconds() - started.started_at.ToMilliseconds()) / 1000
    assert 1.5 <= took_s < 1.5 + LATE_S


def test_a_server_that_was_down_over_the_start_begins_late(tmp_path: Path) -> None:
    """It measures from when it really began: before that, everyone got the control."""
    with running_server(tmp_path / "data") as server, connected(server.address) as client:
        life = Life(client, "default")
        life.create(planned(ab_test("default"), start_s=0.5))
        life.move("Start")
        server.process.kill()
    time.sleep(1)
    with running_server(tmp_path / "data") as server, connected(server.address) as client:
        life = Life(client, "default")
        running = life.wait_for("running")
        assert late_s(running, "started_at", "start_at") > 0.5
        assert (SPLIT, 1) == (reason(life)[0], running.iteration)
        life.decided(["user"], AUTO)
        assert 1 == client.results(running).progress.enrolled
        assert server.stop() == 0, server.log()


def test_a_server_that_was_down_over_start_and_end_begins_nothing(tmp_path: Path) -> None:
    """An experiment that would end at once enrols nobody: it says so, and can be planned anew."""
    with running_server(tmp_path / "data") as server, connected(server.address) as client:
        life = Life(client, "default")
        life.create(planned(ab_test("default"), start_s=0.3, end_s=0.8))
        life.move("Start")
        server.process.kill()
    time.sleep(1)
    with running_server(tmp_path / "data") as server, connected(server.address) as client:
        life = Life(client, "default")
        stopped = life.wait_for("stopped")
        assert (0, False) == (stopped.iteration, stopped.HasField("started_at"))
        assert "stopped before it began, everyone gets `a`" == stopped.status_reason
        past = refused(client.experiments.StartExperiment, life.request("StartExperiment"))
        assert (grpc.StatusCode.INVALID_ARGUMENT, ["schedule.endAt"]) == (past.code, list(past.fields))
        life.update(Experiment(), "schedule")
        assert ("running", 1) == (status_word(life.move("Start")), life.stored().iteration)
        assert SPLIT == reason(life)[0]
        assert server.stop() == 0, server.log()


def test_a_server_that_was_down_over_the_end_ends_it(tmp_path: Path) -> None:
    """Decisions go on from memory of the catalog for a moment, and then it ends as planned."""
    with running_server(tmp_path / "data") as server, connected(server.address) as client:
        running = client.start(planned(ab_test("default"), end_s=0.8))
        client.assign(running, "user")
        assert 1 == client.results(running).progress.enrolled
        server.process.kill()
    time.sleep(1)
    with running_server(tmp_path / "data") as server, connected(server.address) as client:
        life = Life(client, "default")
        stopped = life.wait_for("stopped")
        found = client.results(stopped)
        assert 0 < late_s(stopped, "ended_at", "end_at")
        assert (True, 1) == (found.is_final, found.progress.enrolled)
        assert server.stop() == 0, server.log()


def test_the_winner_is_shipped_until_the_next_iteration_begins(client: Client, namespace: str) -> None:
    """A planned second round must not take away what the first one found before it begins."""
    life = Life(client, namespace)
    client.start(ab_test(namespace))
    life.move("Stop", ship_variant_id="b")
    life.update(planned(Experiment(), start_s=1.5))
    scheduled = life.move("Start")

    assert ("scheduled", "b", 1) == (status_word(scheduled), scheduled.shipped_variant_id, scheduled.iteration)
    assert (SHIPPED, "b") == reason(life)
    first = life.call("GetExperimentResults").results
    running = life.wait_for("running")
    assert (True, 1) == (first.is_final, first.iteration)
    assert (2, "") == (running.iteration, running.shipped_variant_id)
    assert SPLIT == reason(life)[0]


def test_what_waits_can_be_changed_like_a_draft(client: Client, namespace: str) -> None:
    """Also what is measured, and the time: the plan is frozen when it begins."""
    life = Life(client, namespace)
    life.create(planned(ab_test(namespace), start_s=HOUR_S))
    life.move("Start")
    change = planned(weighted(namespace, 20, 80), start_s=0.5)
    change.metrics[0].name = "bought"
    done = life.update(change, "control", "variants", "metrics", "schedule")
    running = life.wait_for("running")

    assert "scheduled" == status_word(done.experiment)
    assert not done.HasField("reassigned_percent")
    assert {"a": 20.0, "b": 80.0} == dict(running.allocation.weights)
    assert 1 == running.allocation.epoch
    assert {"bought", "cost"} == {each.metric for each in client.results(running).comparisons}


def test_without_a_time_it_begins_at_once(client: Client, namespace: str) -> None:
    """Who takes the plan away has said that it may begin."""
    life = Life(client, namespace)
    life.create(planned(ab_test(namespace), start_s=HOUR_S))
    life.move("Start")
    life.update(Experiment(), "schedule")

    assert 1 == life.wait_for("running").iteration


def test_a_stop_before_the_start_begins_nothing(client: Client, namespace: str) -> None:
    """The time comes, and nothing happens."""
    life = Life(client, namespace)
    life.create(planned(ab_test(namespace), start_s=0.7))
    life.move("Start")
    stopped = life.move("Stop")
    time.sleep(2)

    assert stopped == life.stored()
    assert (0, False) == (stopped.iteration, stopped.HasField("ended_at"))
    assert (STOPPED, "a") == reason(life)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (Experiment(schedule=Schedule(end_at=Timestamp(seconds=1))), "schedule.endAt"),
        (Experiment(config=ExperimentConfig(duration=Duration(nanos=1_000_000))), "config.duration"),
    ],
)
def test_an_end_that_has_passed_is_refused(client: Client, namespace: str, change: Experiment, field: str) -> None:
    """To end something is Stop; a time in the past is a slip."""
    running = client.start(ab_test(namespace))
    life = Life(client, namespace)
    time.sleep(0.01)
    refusal = refused(client.experiments.UpdateExperiment, life.updating(change))

    assert (grpc.StatusCode.INVALID_ARGUMENT, [field]) == (refusal.code, list(refusal.fields))
    assert running == life.stored()


def test_the_end_can_be_moved_while_it_runs(client: Client, namespace: str) -> None:
    """Two more weeks, or an end today."""
    life = Life(client, namespace)
    client.start(planned(ab_test(namespace), end_s=HOUR_S))
    done = life.update(planned(Experiment(), end_s=0.5), "schedule.end_at")
    stopped = life.wait_for("stopped")

    assert (1, []) == (done.experiment.allocation.epoch, list(done.warnings))
    assert 0 <= late_s(stopped, "ended_at", "end_at") < LATE_S


def test_a_page_is_of_one_filter(client: Client, namespace: str) -> None:
    """Pages of a filter have what passes it, once; a token of another list is refused, not misread."""
    for number in range(6):
        definition = ab_test(namespace, f"exp-{number}")
        definition.labels["team"] = "search" if number % 2 else "shop"
        client.start(definition)
    request = pb.ListExperimentsRequest(
        namespace=namespace, filter="status = running AND labels.team = search", page_size=2
    )
    first = client.experiments.ListExperiments(request)
    request.page_token = first.next_page_token
    second = client.experiments.ListExperiments(request)
    assert ["exp-1", "exp-3", "exp-5"] == [each.id for each in (*first.experiments, *second.experiments)]
    assert "" == second.next_page_token

    for other in (
        pb.ListExperimentsRequest(namespace=namespace, page_token=first.next_page_token),
        pb.ListExperimentsRequest(namespace=f"{namespace}-b", filter=request.filter, page_token=first.next_page_token),
        pb.ListExperimentsRequest(namespace=namespace, filter=request.filter, page_token=first.experiments[0].id),
    ):
        refusal = refused(client.experiments.ListExperiments, other)
        assert (grpc.StatusCode.INVALID_ARGUMENT, ["pageToken"]) == (refusal.code, list(refusal.fields))
    foreign = pb.ListAuditEntriesRequest(namespace=namespace, page_token=first.next_page_token)
    assert ["pageToken"] == list(refused(client.experiments.ListAuditEntries, foreign).fields)
