"""The history of results over gRPC: every point is what results said then."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import grpc
import pytest

from klero.v1 import experiment_service_pb2 as pb
from klero.v1.decision_pb2 import Outcome
from klero.v1.results_pb2 import ExperimentResults, HistoryPoint, ResultsView
from tests.rpc.calls import TIMEOUT_S, Client, ab_test, connected, exposed, external, flag, refused
from tests.server_process import running_server

if TYPE_CHECKING:
    from pathlib import Path

    from klero.v1.experiment_pb2 import Experiment

LIVE, SETTLED = ResultsView.RESULTS_VIEW_LIVE, ResultsView.RESULTS_VIEW_SETTLED
BATCH = 200


def record(client: Client, experiment: Experiment, step: int) -> ExperimentResults:
    """Expose the entities of a step, which convert the more in `b`; results right after."""
    ids = [f"u{step * BATCH + number}" for number in range(BATCH)]
    exposures = tuple(exposed(entity, "ab"[number % 2]) for number, entity in enumerate(ids))
    outcomes = [
        Outcome(entity_id=entity, event="ok") for number, entity in enumerate(ids) if number % (3 + number % 2) == 0
    ]
    position = client.record(experiment.namespace, *outcomes, exposures=exposures).position
    return client.results(experiment, position=position)


def history(client: Client, experiment: Experiment, **fields: object) -> list[HistoryPoint]:
    """All points."""
    request = pb.GetExperimentHistoryRequest(id=experiment.id, namespace=experiment.namespace, **fields)  # type: ignore[arg-type]
    return list(client.experiments.GetExperimentHistory(request, timeout=TIMEOUT_S).points)


def wait_for_look(client: Client, experiment: Experiment, position: int) -> list[HistoryPoint]:
    """All points once a look at `position` is kept: then it stands before the present one."""
    end = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end:
        points = history(client, experiment)
        if len(points) > 1 and points[-2].as_of >= position:
            return points
        time.sleep(0.05)
    message = f"no look at {position}"
    raise AssertionError(message)


def agree(point: HistoryPoint, results: ExperimentResults, metric: str = "ok") -> bool:
    """Whether a point is what results said."""
    variants = results.variant_results
    comparisons = [each for each in results.comparisons if each.metric == metric and each.result.HasField("effect")]
    return (
        list(point.comparisons) == comparisons
        and dict(point.enrolled) == {name: each.enrolled for name, each in variants.items()}
        and dict(point.sample_sizes) == {name: each.sample_size for name, each in variants.items()}
    )


def test_points_are_what_results_said_at_each_step(client: Client, namespace: str) -> None:
    """The picture shows what people would have seen, had they looked then."""
    running = client.start(external(namespace))
    said = []
    for step in range(3):
        said.append(record(client, running, step))
        wait_for_look(client, running, said[-1].as_of)
    points = history(client, running)
    cost = history(client, running, metric="cost", view=LIVE)

    assert [True] * 3 == [any(agree(point, each) for point in points[:-1]) for each in said]
    assert agree(points[-1], client.results(running))
    assert points[-1].comparisons[0].result.p_value < 1
    assert {"cost"} == {each.metric for each in cost[-1].comparisons}
    times = [point.looked_at.ToMilliseconds() for point in points]
    assert sorted(times) == times
    assert running.started_at.ToMilliseconds() <= times[0]


def test_the_metric_is_named(client: Client, namespace: str) -> None:
    """Whoever does not ask for one learns which it is: the primary one."""
    definition = external(namespace)
    definition.metrics.reverse()
    client.start(definition)
    client.start(flag(namespace))
    service = client.experiments

    answer = service.GetExperimentHistory(pb.GetExperimentHistoryRequest(id="exp", namespace=namespace))
    named = service.GetExperimentHistory(pb.GetExperimentHistoryRequest(id="exp", namespace=namespace, metric="cost"))
    none = service.GetExperimentHistory(pb.GetExperimentHistoryRequest(id="flag", namespace=namespace))

    assert ("ok", "cost", "") == (answer.metric, named.metric, none.metric)
    assert [1, 1] == [len(answer.points), len(none.points)]


def test_views_count_different_entities(client: Client, namespace: str) -> None:
    """While windows are open, settled points stay empty and live ones fill."""
    definition = external(namespace)
    for metric in definition.metrics:
        metric.window.FromSeconds(3_600)
    running = client.start(definition)
    wait_for_look(client, running, record(client, running, 0).as_of)
    settled, live = history(client, running, view=SETTLED), history(client, running, view=LIVE)

    assert {"a": 0, "b": 0} == dict(settled[-1].sample_sizes)
    assert {"a": BATCH // 2, "b": BATCH // 2} == dict(live[-1].sample_sizes) == dict(settled[-1].enrolled)
    assert ([], "ok") == (list(settled[-1].comparisons), live[-1].comparisons[0].metric)
    assert len(settled) == len(live)


def test_entities_settle_along_the_points(client: Client, namespace: str) -> None:
    """The history of a metric with a window begins when the first window closes."""
    definition = external(namespace)
    for metric in definition.metrics:
        metric.window.FromSeconds(1)
    running = client.start(definition)
    first = record(client, running, 0)
    points = wait_for_look(client, running, first.as_of + 1)

    sizes = [point.sample_sizes["b"] for point in points]
    assert (0, BATCH // 2) == (sizes[0], sizes[-1])
    assert agree(points[-1], client.results(running))


def test_a_draft_has_no_history(client: Client, namespace: str) -> None:
    """And no error: dashboards show drafts beside the others."""
    draft = ab_test(namespace)
    client.experiments.CreateExperiment(pb.CreateExperimentRequest(experiment=draft))

    assert [] == history(client, draft)


def test_an_ended_iteration_stays_as_it_was(client: Client, namespace: str) -> None:
    """Its last look is its end, and the next iteration has a history of its own; archived ones are readable."""
    running = client.start(external(namespace))
    record(client, running, 0)
    service, stop = client.experiments, pb.StopExperimentRequest(id="exp", namespace=namespace)
    service.StopExperiment(stop)
    said = client.results(running)
    ended = history(client, running)

    assert agree(ended[-1], said)
    client.record(namespace, Outcome(entity_id="u0", event="ok"), Outcome(entity_id="u1", event="ok"))
    assert client.results(running).as_of > said.as_of
    assert ended == history(client, running)
    service.StartExperiment(pb.StartExperimentRequest(id="exp", namespace=namespace))

    assert ended == history(client, running, iteration=1)
    assert {"a": 0, "b": 0} == dict(history(client, running)[-1].enrolled)
    service.StopExperiment(stop)
    service.ArchiveExperiment(pb.ArchiveExperimentRequest(id="exp", namespace=namespace))
    assert ended == history(client, running, iteration=1)


@pytest.mark.parametrize(
    ("fields", "reason", "metadata"),
    [
        ({"id": "nix"}, "EXPERIMENT_NOT_FOUND", {"experiment_id": "nix"}),
        ({"metric": "nix"}, "METRIC_NOT_FOUND", {"experiment_id": "exp", "metric": "nix"}),
        ({"iteration": 7}, "ITERATION_NOT_FOUND", {"experiment_id": "exp", "iteration": "7"}),
        ({"iteration": -1}, "ITERATION_NOT_FOUND", {"experiment_id": "exp", "iteration": "-1"}),
    ],
)
def test_what_is_not_there_is_named(
    client: Client, namespace: str, fields: dict[str, object], reason: str, metadata: dict[str, str]
) -> None:
    """An empty answer would read as "nothing happened"."""
    client.start(ab_test(namespace))
    request = pb.GetExperimentHistoryRequest(**{"id": "exp", "namespace": namespace, **fields})  # type: ignore[arg-type]

    found = refused(client.experiments.GetExperimentHistory, request)

    assert (grpc.StatusCode.NOT_FOUND, reason) == (found.code, found.reason)
    assert {"namespace": namespace, **metadata} == found.metadata


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_keeps_the_points(tmp_path: Path, number: signal.Signals) -> None:
    """However the server ended: a history of weeks is longer than any process."""
    with running_server(tmp_path / "data") as server, connected(server.address) as client:
        running = client.start(external("default"))
        for step in range(2):
            before = wait_for_look(client, running, record(client, running, step).as_of)
        server.stop(number)
    with running_server(tmp_path / "data") as server, connected(server.address) as client:
        after = history(client, running)
        assert server.stop() == 0, server.log()

    # Another look may have been kept between the last answer and the end.
    assert before[:-1] == after[: len(before) - 1]
    assert (before[-1].enrolled, list(before[-1].comparisons)) == (after[-1].enrolled, list(after[-1].comparisons))
