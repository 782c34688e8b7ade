"""Windows over gRPC: what drains after a stop, how it ends, and results by view and by dimension."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import grpc
import pytest

from klero.v1 import experiment_service_pb2 as pb
from klero.v1.decision_pb2 import AttributeValue, DecisionReason, Outcome
from klero.v1.decision_service_pb2 import AssignRequest
from klero.v1.experiment_pb2 import Experiment, ExperimentStatus
from klero.v1.results_pb2 import ResultsView
from tests.rpc.calls import TIMEOUT_S, Client, ab_test, audited, connected, refused
from tests.server_process import running_server

if TYPE_CHECKING:
    from pathlib import Path

DRAINING = ExperimentStatus.EXPERIMENT_STATUS_DRAINING
STOPPED = ExperimentStatus.EXPERIMENT_STATUS_STOPPED
HOUR_S = 3600


def windowed(namespace: str, window_s: int) -> Experiment:
    """As `ab_test`, with a window for every metric and a dimension."""
    definition = ab_test(namespace)
    for metric in definition.metrics:
        metric.window.FromSeconds(window_s)
    definition.analysis_plan.dimensions.append("country")
    return definition


def stop(client: Client, namespace: str, *, immediate: bool = False, ship: str = "") -> Experiment:
    """Stop; returns what is stored then."""
    request = pb.StopExperimentRequest(id="exp", namespace=namespace, immediate=immediate, ship_variant_id=ship)
    return client.experiments.StopExperiment(request, timeout=TIMEOUT_S).experiment


def wait_until_stopped(client: Client, namespace: str) -> Experiment:
    """The stored definition as soon as it is STOPPED."""
    request = pb.GetExperimentRequest(id="exp", namespace=namespace)
    end = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end:
        found = client.experiments.GetExperiment(request).experiment
        if found.status == STOPPED:
            return found
        time.sleep(0.1)
    message = "still draining"
    raise AssertionError(message)


def test_a_stop_drains_and_then_ends_by_itself(client: Client, namespace: str, data_dir: Path) -> None:
    """Outcomes of entities that were enrolled still count; decisions are those of the end at once."""
    running = client.start(windowed(namespace, 2))
    variant = client.assign(running, "user").variant_id
    draining = stop(client, namespace, ship="b")
    client.record(namespace, Outcome(entity_id="user", event="ok"))
    decided = client.assign(running, "other")
    before = client.results(running)

    assert (DRAINING, False) == (draining.status, before.is_final)
    assert (DecisionReason.DECISION_REASON_SHIPPED, "b") == (decided.reason, decided.variant_id)
    assert (1, 0) == (before.progress.enrolled, before.progress.settled)
    stopped = wait_until_stopped(client, namespace)
    after = client.results(running)
    assert "stopped and every window has closed, everyone gets `b`" == stopped.status_reason
    assert draining.ended_at == stopped.ended_at
    assert (True, 1, 1) == (after.is_final, after.progress.settled, after.variant_results[variant].conversions)
    last = audited(data_dir, namespace)[-1]
    assert ("drained", "controller") == (last.action, last.actor)


def test_an_immediate_stop_leaves_open_windows_out(client: Client, namespace: str) -> None:
    """Final at once, without those who did not have their time."""
    running = client.start(windowed(namespace, HOUR_S))
    client.assign(running, "user")
    stopped = stop(client, namespace, immediate=True)
    found = client.results(running)

    assert (STOPPED, True) == (stopped.status, stopped.closed_early)
    assert (True, 0) == (found.is_final, sum(each.sample_size for each in found.variant_results.values()))


def test_draining_is_left_only_at_once(client: Client, namespace: str) -> None:
    """A second Stop must not look like a new decision, and nothing can start over open windows."""
    running = client.start(windowed(namespace, HOUR_S))
    client.assign(running, "user")
    stop(client, namespace, ship="b")
    again = refused(client.experiments.StopExperiment, pb.StopExperimentRequest(id="exp", namespace=namespace))
    start = refused(client.experiments.StartExperiment, pb.StartExperimentRequest(id="exp", namespace=namespace))
    stopped = stop(client, namespace, immediate=True)

    assert {"ILLEGAL_TRANSITION"} == {again.reason, start.reason}
    assert again.metadata["allowed"].endswith("draining with `immediate`")
    assert (STOPPED, "b", True) == (stopped.status, stopped.shipped_variant_id, stopped.closed_early)
    assert client.results(running).is_final


def test_draining_goes_on_after_a_restart(tmp_path: Path) -> None:
    """A window of a week outlives many a server."""
    with running_server(tmp_path / "data") as server, connected(server.address) as client:
        running = client.start(windowed("default", 3))
        client.assign(running, "user")
        stop(client, "default")
        assert server.stop() == 0, server.log()
    with running_server(tmp_path / "data") as server, connected(server.address) as client:
        assert "every window has closed" in wait_until_stopped(client, "default").status_reason
        assert client.results(running).is_final
        assert server.stop() == 0, server.log()


@pytest.mark.parametrize("view", [ResultsView.RESULTS_VIEW_SETTLED, ResultsView.RESULTS_VIEW_LIVE])
def test_views_count_different_entities(client: Client, namespace: str, view: ResultsView.ValueType) -> None:
    """While its window is open an entity is in the live view alone."""
    running = client.start(windowed(namespace, HOUR_S))
    client.assign(running, "user")
    position = client.record(namespace, Outcome(entity_id="user", event="ok")).position
    request = pb.GetExperimentResultsRequest(id="exp", namespace=namespace, view=view, min_position=position)
    found = client.experiments.GetExperimentResults(request, timeout=TIMEOUT_S).results
    counted = 1 if view == ResultsView.RESULTS_VIEW_LIVE else 0

    assert counted == sum(variant.sample_size for variant in found.variant_results.values())
    assert 1 == sum(variant.enrolled for variant in found.variant_results.values())


def test_segments_by_dimension(client: Client, namespace: str) -> None:
    """Entities count where they were at their first exposure; those without the attribute in `other`."""
    client.start(windowed(namespace, HOUR_S))
    for number, country in enumerate(("at", "at", "de", "")):
        attributes = {"country": AttributeValue(string_value=country)} if country else {}
        request = AssignRequest(
            experiment_id="exp",
            namespace=namespace,
            entity_id=f"user-{number}",
            attributes=attributes,
        )
        client.decisions.Assign(request, timeout=TIMEOUT_S)
    position = client.record(namespace, Outcome(entity_id="user-0", event="ok")).position
    asked = pb.GetExperimentResultsRequest(id="exp", namespace=namespace, dimensions=["country"], min_position=position)
    found = client.experiments.GetExperimentResults(asked, timeout=TIMEOUT_S).results

    sizes = {each.value: sum(variant.enrolled for variant in each.variant_results.values()) for each in found.segments}
    assert {"at": 2, "de": 1, "other": 1} == sizes
    assert ["at", "de", "other"] == [each.value for each in found.segments]


def test_a_dimension_that_is_not_planned_is_refused(client: Client, namespace: str) -> None:
    """Attributes are kept only if the plan names them, so an empty answer would be a lie."""
    client.start(windowed(namespace, HOUR_S))
    asked = pb.GetExperimentResultsRequest(id="exp", namespace=namespace, dimensions=["plan", "country", "country"])
    many = pb.GetExperimentResultsRequest(id="exp", namespace=namespace, dimensions=list("abcde"))

    found = refused(client.experiments.GetExperimentResults, asked)

    assert grpc.StatusCode.INVALID_ARGUMENT == found.code
    assert {
        "dimensions[0]": "`plan` must be one of analysisPlan.dimensions: country",
        "dimensions[2]": "`country` is named twice; each must be named once",
    } == found.fields
    assert "5 must be at most 4" == refused(client.experiments.GetExperimentResults, many).fields["dimensions"]
