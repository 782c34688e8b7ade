"""Decisions over gRPC: what agents get before they act, and what counts as an exposure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf import json_format

from klero.v1.decision_pb2 import Context, Decision, DecisionReason, ExposureMode
from klero.v1.decision_service_pb2 import (
    AssignRequest,
    BatchAssignRequest,
    GetVariantRequest,
    IsEnabledRequest,
)
from klero.v1.experiment_pb2 import ExperimentConfig
from klero.v1.experiment_service_pb2 import CreateExperimentRequest
from tests import oracle
from tests.rpc.calls import TIMEOUT_S, Client, ab_test, external, flag, refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from klero.v1.experiment_pb2 import Experiment

ENTITIES = [f"user-{number}" for number in range(1998)] + ["用户-42", "x" * 256]
# A server of gRPC turns calls away once a thousand of them wait.
IN_FLIGHT = 500
CONFIG: dict[str, str | float] = {"model": "large", "temperature": 0.5, "steps": 3}
AUTO = ExposureMode.EXPOSURE_MODE_AUTO
DEFERRED = ExposureMode.EXPOSURE_MODE_DEFERRED
NONE = ExposureMode.EXPOSURE_MODE_NONE
UNSPECIFIED = ExposureMode.EXPOSURE_MODE_UNSPECIFIED


def with_traffic(namespace: str) -> Experiment:
    """Thirty percent of everyone."""
    definition = ab_test(namespace)
    definition.config.traffic_percentage = 30
    return definition


def uneven(namespace: str) -> Experiment:
    """Three arms of unequal weight."""
    definition = ab_test(namespace, treatments=("b", "c"))
    definition.control.weight, definition.variants[0].weight, definition.variants[1].weight = 50, 30, 20
    return definition


def equal_thirds(namespace: str) -> Experiment:
    """Three arms whose weights are no round numbers."""
    return ab_test(namespace, treatments=("b", "c"))


def flag_at_twenty(namespace: str) -> Experiment:
    """On for a fifth."""
    return flag(namespace, percentage=20)


def with_config(namespace: str) -> Experiment:
    """The treatment brings a config."""
    definition = ab_test(namespace)
    definition.variants[0].config.update(CONFIG)
    return definition


def treated(client: Client, experiment: Experiment, treatment: str = "b") -> str:
    """Some entity with this variant."""
    return next(e for e in ENTITIES if client.assign(experiment, e, NONE).variant_id == treatment)


@pytest.mark.parametrize("define", [with_traffic, uneven, equal_thirds, flag_at_twenty])
def test_decisions_are_those_of_the_scheme(client: Client, namespace: str, define: Callable[[str], Experiment]) -> None:
    """An evaluator in another language or process must give every entity the variant that the server gives."""
    running = client.start(define(namespace))

    found: list[Decision] = []
    for start in range(0, len(ENTITIES), IN_FLIGHT):
        calls = [
            client.decisions.Assign.future(
                AssignRequest(experiment_id=running.id, namespace=namespace, entity_id=entity_id), timeout=TIMEOUT_S
            )
            for entity_id in ENTITIES[start : start + IN_FLIGHT]
        ]
        found.extend(call.result().decision for call in calls)

    now_ms = running.started_at.ToMilliseconds()
    expected = [oracle.decide(running, Context(entity_id=entity_id), now_ms) for entity_id in ENTITIES]
    for decision in expected:
        decision.revision, decision.iteration, decision.epoch = found[0].revision, 1, 1
    assert expected == found
    assert len({(decision.reason, decision.variant_id) for decision in found}) > 1


def test_the_entity_type_picks_the_id(client: Client, namespace: str) -> None:
    """Callers send all ids they have, and each experiment takes that of its type."""
    definition = ab_test(namespace)
    definition.entity_type = "session"
    client.start(definition)

    def decided(entity_id: str, **entities: str) -> Decision:
        request = AssignRequest(experiment_id="exp", namespace=namespace, entity_id=entity_id, entities=entities)
        return client.decisions.Assign(request).decision

    assert decided("u1", session="s9", user="u2").entity_id == "s9"
    assert decided("u1", user="u2").entity_id == "u1"
    for missing in (decided("u1", session=""), decided(""), decided("x" * 257)):
        assert missing.reason == DecisionReason.DECISION_REASON_ENTITY_MISSING
        assert (missing.variant_id, missing.entity_id, missing.enrolled) == ("a", "", False)


def test_a_config_that_the_caller_holds_is_left_out(client: Client, namespace: str) -> None:
    """Agents with large configs ask often and download once."""
    running = client.start(with_config(namespace))
    entity_id = treated(client, running)
    full = client.assign(running, entity_id)
    assert json_format.MessageToDict(full.config) == CONFIG

    def again(digest: int) -> Decision:
        request = AssignRequest(
            experiment_id="exp", namespace=namespace, entity_id=entity_id, known_config_digest=digest
        )
        return client.decisions.Assign(request).decision

    known, other = again(full.config_digest), again(full.config_digest ^ 1)
    assert (False, full.config_digest) == (known.HasField("config"), known.config_digest)
    assert other == full


def test_an_unknown_experiment_is_not_found(client: Client, namespace: str) -> None:
    """A typing error in an agent shows at the first call, with the name that was meant."""
    client.start(ab_test(namespace, "checkout-color"))

    found = refused(client.decisions.Assign, AssignRequest(experiment_id="checkout-colour", namespace=namespace))

    assert (grpc.StatusCode.NOT_FOUND, "EXPERIMENT_NOT_FOUND") == (found.code, found.reason)
    assert {
        "namespace": namespace,
        "experiment_id": "checkout-colour",
        "did_you_mean": "checkout-color",
    } == found.metadata


def test_who_another_system_assigns_is_not_decided_here(client: Client, namespace: str) -> None:
    """Two systems that assign the same entities would contradict each other."""
    client.start(external(namespace))

    for found in (
        refused(client.decisions.Assign, AssignRequest(experiment_id="exp", namespace=namespace)),
        refused(client.decisions.IsEnabled, IsEnabledRequest(flag_name="exp", namespace=namespace, default_value=True)),
        refused(client.decisions.GetVariant, GetVariantRequest(flag_name="exp", namespace=namespace)),
    ):
        assert (grpc.StatusCode.FAILED_PRECONDITION, "ASSIGNED_EXTERNALLY") == (found.code, found.reason)
        assert {"namespace": namespace, "experiment_id": "exp"} == found.metadata


def test_a_flag_has_a_default_only_for_those_who_name_one(client: Client, namespace: str) -> None:
    """A program starts before its flag exists, and says itself what holds until then."""
    client.start(flag(namespace))

    def asked(name: str, *, default: bool | None = None) -> IsEnabledRequest:
        return IsEnabledRequest(flag_name=name, namespace=namespace, entity_id="u", default_value=default)

    service = client.decisions
    assert service.IsEnabled(asked("flag")).enabled
    assert service.IsEnabled(asked("flag", default=False)).variant_id == "on"
    for default in (True, False):
        answer = service.IsEnabled(asked("none", default=default))
        assert (answer.enabled, answer.variant_id) == (default, "")
        assert answer.reason == DecisionReason.DECISION_REASON_NOT_FOUND
    assert refused(service.IsEnabled, asked("none")).reason == "EXPERIMENT_NOT_FOUND"


def test_get_variant_brings_the_config(client: Client, namespace: str) -> None:
    """Programs that only want the variant's settings ask for nothing else."""
    running = client.start(with_config(namespace))
    treatment, control = treated(client, running), treated(client, running, "a")

    def got(entity_id: str) -> dict[str, dict[str, object]]:
        answer = client.decisions.GetVariant(
            GetVariantRequest(flag_name="exp", namespace=namespace, entity_id=entity_id)
        )
        assert answer.reason == DecisionReason.DECISION_REASON_SPLIT
        return {answer.variant_id: json_format.MessageToDict(answer.config)}

    assert ({"b": CONFIG}, {"a": {}}) == (got(treatment), got(control))


def test_a_batch_keeps_its_order_and_the_place_of_what_is_missing(client: Client, namespace: str) -> None:
    """Callers match decisions to requests by position."""
    client.start(ab_test(namespace, "one"))
    client.start(external(namespace, "two"))
    ids = ["one", "none", "two"]
    contexts = [Context(entity_id="u1"), Context(), Context(entity_id="u2")]

    answer = client.decisions.BatchAssign(
        BatchAssignRequest(namespace=namespace, experiment_ids=ids, contexts=contexts)
    )

    split, missing, none = (
        DecisionReason.DECISION_REASON_SPLIT,
        DecisionReason.DECISION_REASON_ENTITY_MISSING,
        DecisionReason.DECISION_REASON_NOT_FOUND,
    )
    assert [
        ("one", split, "u1"), ("none", none, ""), ("two", none, ""),
        ("one", missing, ""), ("none", none, ""), ("two", none, ""),
        ("one", split, "u2"), ("none", none, ""), ("two", none, ""),
    ] == [(d.experiment_id, d.reason, d.entity_id) for d in answer.decisions]  # fmt: skip
    assert {answer.revision} == {decision.revision for decision in answer.decisions}


def test_a_batch_without_ids_has_all_that_run_and_match(client: Client, namespace: str) -> None:
    """An agent fetches all experiments of its team without knowing their names."""
    for experiment_id, team in (("b-run", "search"), ("a-run", "search"), ("c-run", "ads")):
        definition = ab_test(namespace, experiment_id)
        definition.labels["team"] = team
        client.start(definition)
    client.experiments.CreateExperiment(CreateExperimentRequest(experiment=ab_test(namespace, "draft")))
    client.start(external(namespace, "outside"))

    def ids(**selector: str) -> list[str]:
        request = BatchAssignRequest(namespace=namespace, contexts=[Context(entity_id="u")], selector=selector)
        return [decision.experiment_id for decision in client.decisions.BatchAssign(request).decisions]

    assert ["a-run", "b-run", "c-run"] == ids()
    assert ["a-run", "b-run"] == ids(team="search")
    assert [] == ids(team="none")


def test_batches_have_bounds(client: Client, namespace: str) -> None:
    """One caller must not occupy the server for seconds, nor get an answer that its client refuses."""
    large = with_config(namespace)
    large.config.CopyFrom(ExperimentConfig(traffic_percentage=100))
    large.variants[0].config.update({"text": "x" * 200_000})
    running = client.start(large)
    call = client.decisions.BatchAssign
    many = BatchAssignRequest(namespace=namespace, experiment_ids=["exp"] * 2, contexts=[Context()] * 5001)
    heavy = BatchAssignRequest(
        namespace=namespace, experiment_ids=["exp"] * 21, contexts=[Context(entity_id=treated(client, running))]
    )

    by_count, by_bytes = refused(call, many), refused(call, heavy)
    assert (grpc.StatusCode.INVALID_ARGUMENT, "BATCH_TOO_LARGE") == (by_count.code, by_count.reason)
    assert {"size": "10002", "limit": "10000", "unit": "decisions"} == by_count.metadata
    assert ("BATCH_TOO_LARGE", "4194304", "bytes") == (
        by_bytes.reason, by_bytes.metadata["limit"], by_bytes.metadata["unit"],
    )  # fmt: skip
    heavy.known_config_digests.append(client.assign(running, heavy.contexts[0].entity_id).config_digest)
    assert len(call(heavy).decisions) == 21
    assert refused(call, BatchAssignRequest(namespace=namespace)).fields.keys() == {"contexts"}


@pytest.mark.parametrize(
    ("entities", "attributes", "field"),
    [(65, 0, "entities"), (0, 65, "attributes")],
)
def test_contexts_have_bounds(client: Client, namespace: str, entities: int, attributes: int, field: str) -> None:
    """A caller with a fault, such as one entity type for each request, hears of it."""
    client.start(ab_test(namespace))
    request = AssignRequest(
        experiment_id="exp", namespace=namespace, entities={f"type-{number}": "id" for number in range(entities)}
    )
    for number in range(attributes):
        request.attributes[f"key-{number}"].int_value = number

    found = refused(client.decisions.Assign, request)

    assert {field: "65 entries, at most 64 are allowed"} == found.fields


def assign_again(client: Client, experiment: Experiment, mode: ExposureMode.ValueType) -> None:
    """Ten entities, each twice."""
    for number in (*range(10), *range(10)):
        client.assign(experiment, f"user-{number}", mode)


def batch_again(client: Client, experiment: Experiment, mode: ExposureMode.ValueType) -> None:
    """The same in one call."""
    contexts = [Context(entity_id=f"user-{number}") for number in (*range(10), *range(10))]
    client.decisions.BatchAssign(
        BatchAssignRequest(
            namespace=experiment.namespace, experiment_ids=[experiment.id], contexts=contexts, exposure=mode
        )
    )


def ask_again(client: Client, experiment: Experiment, _mode: ExposureMode.ValueType) -> None:
    """Five by IsEnabled, five by GetVariant, each twice."""
    for number in (*range(5), *range(5)):
        name, namespace = experiment.id, experiment.namespace
        client.decisions.IsEnabled(IsEnabledRequest(flag_name=name, namespace=namespace, entity_id=f"user-{number}"))
        client.decisions.GetVariant(GetVariantRequest(flag_name=name, namespace=namespace, entity_id=f"other-{number}"))


@pytest.mark.parametrize(
    ("decide", "mode", "exposed"),
    [
        (assign_again, UNSPECIFIED, 10),
        (assign_again, AUTO, 10),
        (assign_again, DEFERRED, 0),
        (assign_again, NONE, 0),
        (batch_again, UNSPECIFIED, 0),
        (batch_again, AUTO, 10),
        (batch_again, NONE, 0),
        (ask_again, UNSPECIFIED, 10),
    ],
)
def test_an_entity_is_exposed_once_and_only_where_the_mode_says(
    client: Client,
    namespace: str,
    decide: Callable[[Client, Experiment, ExposureMode.ValueType], None],
    mode: ExposureMode.ValueType,
    exposed: int,
) -> None:
    """Analysts compare those who met a variant: prefetching must not dilute them, repeats not inflate."""
    running = client.start(ab_test(namespace))

    decide(client, running, mode)

    results = client.results(running)
    assert exposed == results.progress.enrolled == sum(v.enrolled for v in results.variant_results.values())


def test_who_is_not_enrolled_is_not_exposed(client: Client, namespace: str) -> None:
    """Entities outside the traffic have the control without being its sample."""
    running = client.start(with_traffic(namespace))

    enrolled = sum(client.assign(running, f"user-{number}").enrolled for number in range(100))

    assert 0 < enrolled < 100
    assert enrolled == client.results(running).progress.enrolled


def test_a_flag_without_metrics_leaves_nothing_behind(client: Client, namespace: str) -> None:
    """Flags are asked for on every request; without anything to compare they must cost no disk."""
    flagged, measured = flag(namespace), flag(namespace, "measured")
    measured.metrics.extend(ab_test(namespace).metrics)
    client.start(flagged)
    client.start(measured)

    for number in range(10):
        client.assign(flagged, f"user-{number}")
        client.assign(measured, f"user-{number}")

    enrolled = [client.results(running).progress.enrolled for running in (flagged, measured)]
    assert [0, 10] == enrolled
