"""What an outcome says of itself over gRPC: its value within bounds, and its identity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klero.v1.decision_pb2 import Outcome
from klero.v1.error_reason_pb2 import ErrorReason
from klero.v1.experiment_pb2 import Aggregation
from klero.v1.experiment_service_pb2 import CreateExperimentRequest
from tests.rpc.calls import Client, exposed, external

if TYPE_CHECKING:
    from klero.v1.experiment_pb2 import Experiment

GOOD = Outcome(entity_id="u", event="cost", value=2.0)


def bounded(namespace: str, experiment_id: str, lower: float | None, upper: float | None) -> Experiment:
    """An external experiment whose metric `cost` reads values from `lower` to `upper`."""
    definition = external(namespace, experiment_id)
    if lower is not None:
        definition.metrics[1].lower_bound = lower
    if upper is not None:
        definition.metrics[1].upper_bound = upper
    return definition


def test_a_value_outside_the_bounds_of_every_metric_is_refused(client: Client, namespace: str) -> None:
    """A broken sensor is heard of at once; a value that one experiment can use is kept for it."""
    first = client.start(bounded(namespace, "first", 0, 10))
    client.start(bounded(namespace, "second", None, -5))
    exposures = (exposed("u", experiment_id="first"), exposed("u", experiment_id="second"))
    values = [0.0, 10.0, -5.0, -4.9, 10.1]

    answer = client.record(
        namespace, *(Outcome(entity_id="u", event="cost", value=value) for value in values), exposures=exposures
    )

    assert (5, [3, 4]) == (answer.accepted, [rejected.index for rejected in answer.rejected])
    assert {ErrorReason.ERROR_REASON_VALUE_OUT_OF_BOUNDS} == {rejected.reason for rejected in answer.rejected}
    assert (
        "value is -4.9, outside the bounds of every metric that reads `cost`; the widest are at most -5"
        == answer.rejected[0].message
    )
    found = client.results(first, position=answer.position).variant_results["b"].metric_results["cost"]
    assert (10.0, 2) == (found.value, found.events)


def test_bounds_hold_only_while_an_experiment_measures(client: Client, namespace: str) -> None:
    """A definition that was left behind must not lose the outcomes of others."""
    wild = Outcome(entity_id="u", event="cost", value=99.0)
    client.experiments.CreateExperiment(CreateExperimentRequest(experiment=bounded(namespace, "draft", 0, 1)))
    assert 1 == client.record(namespace, wild).accepted

    client.start(bounded(namespace, "outside", 0, 1))
    assert 0 == client.record(namespace, wild).accepted
    client.start(external(namespace, "unbounded"))
    assert 1 == client.record(namespace, wild).accepted


def test_an_event_id_counts_once(client: Client, namespace: str) -> None:
    """A queue that delivers at least once sends the same outcome in other batches."""
    running = client.start(external(namespace, "outside"))
    scored = Outcome(entity_id="u", event="cost", value=2.0, event_id="score-1")

    client.record(namespace, scored, scored, exposures=(exposed("u", experiment_id="outside"),))
    again = client.record(namespace, scored, GOOD)

    assert 2 == again.accepted
    found = client.results(running).variant_results["b"].metric_results["cost"]
    assert (4.0, 2) == (found.value, found.events)


def test_an_outcome_takes_the_place_of_the_one_it_supersedes(client: Client, namespace: str) -> None:
    """A score that a person corrects counts as corrected."""
    running = client.start(external(namespace, "outside"))
    first = Outcome(entity_id="u", event="cost", value=2.0, event_id="score-1")
    second = Outcome(entity_id="u", event="cost", value=5.0, event_id="score-2", supersedes="score-1")

    client.record(namespace, first, GOOD, exposures=(exposed("u", experiment_id="outside"),))
    client.record(namespace, second)

    assert 7.0 == client.results(running).variant_results["b"].metric_results["cost"].value


def test_a_maximum_cannot_be_superseded(client: Client, namespace: str) -> None:
    """What was the largest before it is not known any more."""
    definition = external(namespace, "outside")
    definition.metrics[1].aggregation = Aggregation.AGGREGATION_MAX
    client.start(definition)
    corrected = Outcome(entity_id="u", event="cost", value=1.0, event_id="e2", supersedes="e1")

    answer = client.record(namespace, corrected, Outcome(entity_id="u", event="cost", value=1.0, event_id="e1"))

    assert (1, 1) == (answer.accepted, answer.rejected_count)
    assert "metric `cost` of experiment `outside` is its maximum" in answer.rejected[0].message
