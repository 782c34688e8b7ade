"""Experiments over gRPC: what people and programs define, start and stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest

from klero.v1 import experiment_service_pb2 as pb
from klero.v1.decision_pb2 import DecisionReason, Outcome
from klero.v1.experiment_pb2 import ExperimentStatus, Variant
from klero.v1.experiment_service_pb2 import WarningReason
from tests.rpc.calls import Client, ab_test, audited, refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from klero.v1.experiment_pb2 import Experiment

REASON = "because"


def created(client: Client, definition: Experiment) -> Experiment:
    """The stored draft."""
    return client.experiments.CreateExperiment(pb.CreateExperimentRequest(experiment=definition)).experiment


def test_create_names_every_fault_at_once(client: Client, namespace: str) -> None:
    """Authors mend a definition in one round, not in one round a fault."""
    definition = ab_test(namespace, "a b")
    definition.control.weight = 20
    definition.variants[0].weight = 20
    definition.metrics[1].event = "a\nb"
    definition.config.traffic_percentage = 101
    definition.layer_id = "layer"

    found = refused(client.experiments.CreateExperiment, pb.CreateExperimentRequest(experiment=definition))

    assert (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD") == (found.code, found.reason)
    assert {"id", "variants", "metrics[1].event", "config.trafficPercentage", "layerId"} == found.fields.keys()
    assert {"fields": "5"} == found.metadata
    assert found.fields["layerId"] == "not supported by this version"
    assert "trafficPercentage" in found.fields["variants"]
    assert all(f"{path}: {description}" in found.message for path, description in found.fields.items())


def test_create_stores_a_draft_and_ignores_what_only_the_server_sets(client: Client, namespace: str) -> None:
    """Authors send back what they read; status and counters in it must mean nothing."""
    definition = ab_test(namespace)
    definition.status = ExperimentStatus.EXPERIMENT_STATUS_RUNNING
    definition.iteration = 7
    definition.etag = "old"
    definition.shipped_variant_id = "b"
    definition.variants.append(Variant(id="a"))

    stored = created(client, definition)

    assert stored.status == ExperimentStatus.EXPERIMENT_STATUS_DRAFT
    assert (0, "") == (stored.iteration, stored.shipped_variant_id)
    assert stored.etag not in {"", "old"}
    assert [("b", False)] == [(variant.id, variant.is_control) for variant in stored.variants]
    assert stored.control.is_control
    assert stored == client.experiments.GetExperiment(pb.GetExperimentRequest(id="exp", namespace=namespace)).experiment


def test_create_warns_of_what_is_probably_not_meant(client: Client, namespace: str) -> None:
    """Who writes 0.5 for one half should hear of it before the experiment has no entities."""
    definition = ab_test(namespace)
    definition.config.traffic_percentage = 0.5
    definition.metrics[0].primary = False

    response = client.experiments.CreateExperiment(pb.CreateExperimentRequest(experiment=definition))

    assert [
        ("config.trafficPercentage", WarningReason.WARNING_REASON_LOOKS_LIKE_FRACTION),
        ("metrics", WarningReason.WARNING_REASON_NO_PRIMARY_METRIC),
    ] == [(warning.field, warning.reason) for warning in response.warnings]


def test_validate_only_changes_nothing(client: Client, namespace: str, data_dir: Path) -> None:
    """A check in continuous integration leaves no trace."""
    definition = ab_test(namespace)
    service = client.experiments

    checked = service.CreateExperiment(pb.CreateExperimentRequest(experiment=definition, validate_only=True))
    assert checked.experiment.status == ExperimentStatus.EXPERIMENT_STATUS_DRAFT
    assert refused(service.GetExperiment, pb.GetExperimentRequest(id="exp", namespace=namespace)).reason == (
        "EXPERIMENT_NOT_FOUND"
    )
    stored = created(client, definition)
    started = service.StartExperiment(
        pb.StartExperimentRequest(id="exp", namespace=namespace, validate_only=True)
    ).experiment
    assert started.status == ExperimentStatus.EXPERIMENT_STATUS_RUNNING
    assert stored == service.GetExperiment(pb.GetExperimentRequest(id="exp", namespace=namespace)).experiment
    assert client.assign(stored, "user").reason == DecisionReason.DECISION_REASON_NOT_STARTED
    assert ["CreateExperiment"] == [entry.action for entry in audited(data_dir, namespace)]


def test_an_id_is_taken_once(client: Client, namespace: str) -> None:
    """Two authors choose one name: the second hears of the first instead of replacing it."""
    created(client, ab_test(namespace))

    found = refused(client.experiments.CreateExperiment, pb.CreateExperimentRequest(experiment=ab_test(namespace)))

    assert (grpc.StatusCode.ALREADY_EXISTS, "ALREADY_EXISTS") == (found.code, found.reason)
    assert {"namespace": namespace, "resource_type": "experiment", "id": "exp"} == found.metadata


@pytest.mark.parametrize(
    ("method", "request_type"),
    [
        ("GetExperiment", pb.GetExperimentRequest),
        ("StartExperiment", pb.StartExperimentRequest),
        ("StopExperiment", pb.StopExperimentRequest),
        ("GetExperimentStatus", pb.GetExperimentStatusRequest),
        ("GetExperimentResults", pb.GetExperimentResultsRequest),
    ],
)
def test_an_unknown_experiment_is_not_found(
    client: Client, namespace: str, method: str, request_type: Callable[..., Any]
) -> None:
    """People mistype ids, and programs look for the reason, not for words."""
    created(client, ab_test(namespace, "checkout-color"))

    found = refused(getattr(client.experiments, method), request_type(id="checkout-colour", namespace=namespace))

    assert (grpc.StatusCode.NOT_FOUND, "EXPERIMENT_NOT_FOUND") == (found.code, found.reason)
    assert {
        "namespace": namespace,
        "experiment_id": "checkout-colour",
        "did_you_mean": "checkout-color",
    } == found.metadata


def test_pages_are_by_id_and_have_everything_once(client: Client, namespace: str) -> None:
    """Dashboards read all experiments page by page."""
    for number in (3, 1, 5, 2, 4):
        created(client, ab_test(namespace, f"exp-{number}"))

    pages, token = [], ""
    while True:
        page = client.experiments.ListExperiments(
            pb.ListExperimentsRequest(namespace=namespace, page_size=2, page_token=token)
        )
        pages.append([experiment.id for experiment in page.experiments])
        token = page.next_page_token
        if not token:
            break

    assert [["exp-1", "exp-2"], ["exp-3", "exp-4"], ["exp-5"]] == pages
    exact = client.experiments.ListExperiments(pb.ListExperimentsRequest(namespace=namespace, page_size=5))
    assert (5, "") == (len(exact.experiments), exact.next_page_token)


@pytest.mark.parametrize("size", [-1, 1001])
def test_page_sizes_have_bounds(client: Client, size: int) -> None:
    """A page that is silently shorter than asked for would look like the last one."""
    found = refused(client.experiments.ListExperiments, pb.ListExperimentsRequest(page_size=size))

    assert {"pageSize": f"{size} must be from 0 to 1000"} == found.fields


def test_start_freezes_the_plan_and_stop_ships(client: Client, namespace: str) -> None:
    """Callers get the shipped variant from the answer of Stop on; analysts find the plan frozen."""
    service = client.experiments
    draft = created(client, ab_test(namespace))

    running = service.StartExperiment(pb.StartExperimentRequest(id="exp", namespace=namespace)).experiment
    assert running.status == ExperimentStatus.EXPERIMENT_STATUS_RUNNING
    assert (1, 1) == (running.iteration, running.allocation.epoch)
    assert {"a": 50.0, "b": 50.0} == dict(running.allocation.weights)
    assert running.analysis_plan.digest
    assert running.analysis_plan.frozen_at == running.started_at
    assert running.etag != draft.etag
    assert client.assign(running, "user").reason == DecisionReason.DECISION_REASON_SPLIT

    stopped = service.StopExperiment(
        pb.StopExperimentRequest(id="exp", namespace=namespace, ship_variant_id="b")
    ).experiment
    assert stopped.status == ExperimentStatus.EXPERIMENT_STATUS_STOPPED
    assert stopped.shipped_variant_id == "b"
    assert stopped.ended_at.ToNanoseconds() >= stopped.started_at.ToNanoseconds()
    decided = {client.assign(running, f"user-{number}").variant_id for number in range(20)}
    assert decided == {"b"}
    assert client.assign(running, "user").reason == DecisionReason.DECISION_REASON_SHIPPED


def test_a_variant_that_does_not_exist_is_not_shipped(client: Client, namespace: str) -> None:
    """A typing error must not give everyone nothing."""
    client.start(ab_test(namespace))

    found = refused(
        client.experiments.StopExperiment,
        pb.StopExperimentRequest(id="exp", namespace=namespace, ship_variant_id="c"),
    )

    assert (grpc.StatusCode.NOT_FOUND, "VARIANT_NOT_FOUND") == (found.code, found.reason)
    assert {"namespace": namespace, "experiment_id": "exp", "variant_id": "c"} == found.metadata


@pytest.mark.parametrize(
    ("method", "request_type"),
    [("StartExperiment", pb.StartExperimentRequest), ("StopExperiment", pb.StopExperimentRequest)],
)
def test_a_change_that_rests_on_an_old_etag_is_aborted(
    client: Client, namespace: str, method: str, request_type: Callable[..., Any]
) -> None:
    """Two people act on one experiment: the second sees the first's change before."""
    stored = created(client, ab_test(namespace))
    if method == "StopExperiment":
        stored = client.experiments.StartExperiment(pb.StartExperimentRequest(id="exp", namespace=namespace)).experiment

    found = refused(getattr(client.experiments, method), request_type(id="exp", namespace=namespace, etag="0-0"))

    assert (grpc.StatusCode.ABORTED, "ETAG_MISMATCH") == (found.code, found.reason)
    assert {
        "namespace": namespace,
        "resource_type": "experiment",
        "id": "exp",
        "expected": "0-0",
        "found": stored.etag,
    } == found.metadata
    getattr(client.experiments, method)(request_type(id="exp", namespace=namespace, etag=stored.etag))


@pytest.mark.parametrize(
    ("running", "method", "request_type", "status", "allowed"),
    [
        (True, "StartExperiment", pb.StartExperimentRequest, "running", "draft, stopped, rolled_back"),
        (
            False,
            "StopExperiment",
            pb.StopExperimentRequest,
            "draft",
            "scheduled, running, paused, draining with `immediate`",
        ),
    ],
)
def test_an_illegal_transition_says_what_is_allowed(  # noqa: PLR0913  # the columns of the table
    client: Client,
    namespace: str,
    *,
    running: bool,
    method: str,
    request_type: Callable[..., Any],
    status: str,
    allowed: str,
) -> None:
    """Scripts repeat Start and Stop and must tell "already done" from a failure."""
    definition = ab_test(namespace)
    _ = client.start(definition) if running else created(client, definition)

    found = refused(getattr(client.experiments, method), request_type(id="exp", namespace=namespace))

    assert (grpc.StatusCode.FAILED_PRECONDITION, "ILLEGAL_TRANSITION") == (found.code, found.reason)
    assert {
        "namespace": namespace,
        "experiment_id": "exp",
        "method": method,
        "status": status,
        "allowed": allowed,
    } == found.metadata


def test_status_says_how_it_goes(client: Client, namespace: str) -> None:
    """Dashboards poll it."""
    service, asked = client.experiments, pb.GetExperimentStatusRequest(id="exp", namespace=namespace)
    draft = created(client, ab_test(namespace))
    before = service.GetExperimentStatus(asked)
    assert before.status == ExperimentStatus.EXPERIMENT_STATUS_DRAFT
    assert (0, False, False) == (before.iteration, before.HasField("progress"), before.HasField("allocation"))

    service.StartExperiment(pb.StartExperimentRequest(id="exp", namespace=namespace))
    for number in range(20):
        client.assign(draft, f"user-{number}")
    client.results(draft)
    found = service.GetExperimentStatus(asked)

    assert found.status == ExperimentStatus.EXPERIMENT_STATUS_RUNNING
    assert (1, 20, 100.0) == (found.iteration, found.progress.enrolled, found.progress.traffic_percentage)
    assert {"a": 50.0, "b": 50.0} == dict(found.allocation.weights)
    assert found.lowest_node_revision >= found.revision > draft.revision
    counted = {counter.name: counter.value for counter in found.counters}
    assert (0, 0) == (counted["late"], counted["dropped_exposures"])
    assert counted.keys() == {counter.name for counter in before.counters}


def test_every_change_is_audited(client: Client, namespace: str, data_dir: Path) -> None:
    """Who asks later what happened finds who, what, when and why, on the disk."""
    service, definition = client.experiments, ab_test(namespace)
    service.CreateExperiment(pb.CreateExperimentRequest(experiment=definition, reason=REASON))
    service.StartExperiment(pb.StartExperimentRequest(id="exp", namespace=namespace, reason=REASON))
    service.StopExperiment(pb.StopExperimentRequest(id="exp", namespace=namespace, ship_variant_id="b", reason=REASON))
    refused(service.StopExperiment, pb.StopExperimentRequest(id="exp", namespace=namespace))

    entries = audited(data_dir, namespace)

    assert ["CreateExperiment", "StartExperiment", "StopExperiment"] == [entry.action for entry in entries]
    assert {("exp", REASON, "anonymous")} == {(entry.resource_id, entry.reason, entry.actor) for entry in entries}
    changes = {change.path: change for change in entries[2].changes}
    assert (changes["status"].before.string_value, changes["status"].after.string_value) == (
        "EXPERIMENT_STATUS_RUNNING",
        "EXPERIMENT_STATUS_STOPPED",
    )
    assert changes["shippedVariantId"].after.string_value == "b"
    times = [entry.occurred_at.ToNanoseconds() for entry in entries]
    assert sorted(times) == times


def test_a_second_start_is_an_iteration_of_its_own(client: Client, namespace: str) -> None:
    """Results of a repeated experiment must not hold entities of the first run."""
    service, definition = client.experiments, ab_test(namespace)
    client.start(definition)
    variant = client.assign(definition, "user").variant_id
    client.record(namespace, Outcome(entity_id="user", event="cost", value=3.0))
    assert client.results(definition).progress.enrolled == 1
    service.StopExperiment(pb.StopExperimentRequest(id="exp", namespace=namespace))

    again = service.StartExperiment(pb.StartExperimentRequest(id="exp", namespace=namespace)).experiment
    fresh = client.results(definition)
    assert (2, "") == (again.iteration, again.shipped_variant_id)
    assert (2, 0) == (fresh.iteration, fresh.progress.enrolled)
    decided = client.assign(definition, "user")
    assert (decided.variant_id, decided.iteration) == (variant, 2)
    client.record(namespace, Outcome(entity_id="user", event="cost", value=4.0))

    values = {
        number: client.results(definition, iteration=number).variant_results[variant].metric_results["cost"].value
        for number in (1, 2)
    }
    assert {1: 3.0, 2: 4.0} == values
