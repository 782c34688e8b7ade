"""Results over gRPC: which data they hold, and that they come."""

from __future__ import annotations

import os
import signal
import time

import grpc
import pytest

from klero.v1.decision_pb2 import Outcome
from klero.v1.experiment_pb2 import InferenceMethod
from klero.v1.experiment_service_pb2 import (
    CreateExperimentRequest,
    GetExperimentResultsRequest,
    StopExperimentRequest,
)
from klero.v1.results_pb2 import ResultsView, Verdict
from tests.rpc.calls import TIMEOUT_S, Client, ab_test, connected, exposed, external, refused
from tests.server_process import ServerProcess, wait_until_gone

FAR = 10**9


def test_a_reader_sees_what_it_wrote(client: Client, namespace: str) -> None:
    """A program that records and then reads must find its own outcome in the answer."""
    running = client.start(external(namespace))

    for number in range(1, 21):
        answer = client.record(
            namespace, Outcome(entity_id=f"u{number}", event="cost"), exposures=(exposed(f"u{number}"),)
        )
        results = client.results(running, position=answer.position)
        assert (number, number) == (
            results.progress.enrolled,
            results.variant_results["b"].metric_results["cost"].events,
        )
        assert results.as_of >= answer.position


def test_results_that_are_behind_say_so_before_the_deadline(client: Client, namespace: str) -> None:
    """A caller with a deadline gets a reason and a time to come back, not a deadline exceeded."""
    client.start(ab_test(namespace))
    request = GetExperimentResultsRequest(id="exp", namespace=namespace, min_position=FAR)

    found = refused(client.experiments.GetExperimentResults, request, timeout_s=0.5)

    assert (grpc.StatusCode.UNAVAILABLE, "RESULTS_BEHIND") == (found.code, found.reason)
    assert found.may_retry
    assert str(FAR) == found.metadata["min_position"]
    assert 0 <= int(found.metadata["as_of"]) < FAR


def test_a_waiting_reader_is_answered_by_the_next_batch(client: Client, namespace: str) -> None:
    """A reader in another process waits for the position that a writer told it."""
    running = client.start(ab_test(namespace))
    now = client.results(running).as_of
    request = GetExperimentResultsRequest(id="exp", namespace=namespace, min_position=now + 1)

    waiting = client.experiments.GetExperimentResults.future(request, timeout=TIMEOUT_S)
    client.record(namespace, Outcome(entity_id="u", event="cost"))

    assert waiting.result().results.as_of > now


def test_before_the_first_start_there_is_nothing_and_no_error(client: Client, namespace: str) -> None:
    """Dashboards show drafts beside the others."""
    client.experiments.CreateExperiment(CreateExperimentRequest(experiment=ab_test(namespace)))

    results = client.results(ab_test(namespace))

    assert ("exp", 0, 0) == (results.experiment_id, results.iteration, results.progress.enrolled)
    assert "" == results.winner
    assert [0, 0] == [variant.sample_size for variant in results.variant_results.values()]


@pytest.mark.parametrize("iteration", [7, -1])
def test_an_iteration_that_never_was_is_not_found(client: Client, namespace: str, iteration: int) -> None:
    """Empty results would read as "nobody was enrolled"."""
    client.start(ab_test(namespace))
    request = GetExperimentResultsRequest(id="exp", namespace=namespace, iteration=iteration)

    found = refused(client.experiments.GetExperimentResults, request)

    assert (grpc.StatusCode.NOT_FOUND, "ITERATION_NOT_FOUND") == (found.code, found.reason)
    assert {"namespace": namespace, "experiment_id": "exp", "iteration": str(iteration)} == found.metadata


def test_results_name_what_they_rest_on(client: Client, namespace: str) -> None:
    """A reader of a stored report must be able to say which data and which plan gave it."""
    running = client.start(ab_test(namespace))
    service = client.experiments
    for number in range(50):
        client.assign(running, f"u{number}")

    results = client.results(running)
    live = service.GetExperimentResults(
        GetExperimentResultsRequest(id="exp", namespace=namespace, view=ResultsView.RESULTS_VIEW_LIVE)
    ).results
    service.StopExperiment(StopExperimentRequest(id="exp", namespace=namespace))

    assert ("exp", "a", 1) == (results.experiment_id, results.control_variant_id, results.iteration)
    assert {"a", "b"} == results.variant_results.keys()
    assert 50 == sum(variant.enrolled for variant in results.variant_results.values())
    assert results.engine_version
    assert InferenceMethod.INFERENCE_METHOD_SEQUENTIAL == results.plan.method
    assert Verdict.VERDICT_KEEP_RUNNING == results.verdict
    assert (ResultsView.RESULTS_VIEW_SETTLED, ResultsView.RESULTS_VIEW_LIVE) == (results.view, live.view)
    assert (False, True) == (results.is_final, client.results(running).is_final)


def test_the_analysis_process_may_die(client: Client, server: ServerProcess, namespace: str) -> None:
    """The system kills the largest process when memory is short; results must come again by themselves."""
    running = client.start(ab_test(namespace))
    client.results(running)
    first = server.analysis_process()

    os.kill(first, signal.SIGKILL)
    assert set() == wait_until_gone({first}, timeout_s=5)

    assert "exp" == client.results(running).experiment_id
    assert first != server.analysis_process()


def test_a_client_that_leaves_does_not_matter(client: Client, server: ServerProcess, namespace: str) -> None:
    """A dashboard that is closed while it waits must not hold up anyone."""
    running = client.start(ab_test(namespace))
    request = GetExperimentResultsRequest(id="exp", namespace=namespace, min_position=FAR)
    with connected(server.address) as leaver:
        waiting = leaver.experiments.GetExperimentResults.future(request, timeout=TIMEOUT_S)
        time.sleep(0.05)
        waiting.cancel()

    assert "exp" == client.results(running).experiment_id
