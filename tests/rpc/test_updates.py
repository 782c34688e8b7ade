"""Changing a definition over gRPC: what it does to entities, epochs and results."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest

from klero.v1 import experiment_service_pb2 as pb
from klero.v1.decision_pb2 import ExposureMode
from klero.v1.experiment_pb2 import (
    Experiment,
    ExperimentConfig,
    ExperimentType,
    Hashing,
    InferenceMethod,
    Metric,
    MetricType,
    Variant,
)
from klero.v1.results_pb2 import ExperimentResults, HealthState
from tests.rpc.calls import Client, ab_test, audited, connected, refused
from tests.rpc.life import HOUR_S, Life, weighted, windowed
from tests.server_process import running_server

if TYPE_CHECKING:
    from pathlib import Path

AUTO = ExposureMode.EXPOSURE_MODE_AUTO
IDS = [f"user-{number}" for number in range(20_000)]
# Five standard errors of a share of 20,000 entities against one of 100,000.
WITHIN = 2.0


def started(client: Client, definition: Experiment) -> Life:
    """A running experiment."""
    client.start(definition)
    return Life(client, definition.namespace, definition.id)


def results(life: Life) -> ExperimentResults:
    """Of all that was recorded by now."""
    return life.client.results(life.stored())


def epochs(found: ExperimentResults) -> list[tuple[int, dict[str, float], int]]:
    """Number, weights and enrolled of each."""
    return [
        (each.allocation.epoch, dict(each.allocation.weights), sum(each.enrolled.values())) for each in found.epochs
    ]


def sample_ratio(found: ExperimentResults) -> tuple[HealthState.ValueType, str]:
    """State and sentence of the test of the split."""
    (check,) = [each for each in found.health if each.name == "sample_ratio"]
    return check.state, check.message


def test_other_weights_open_an_epoch_that_is_counted_by_itself(tmp_path: Path) -> None:
    """Pooled, 90 to 10 after 50 to 50 would look like a split that is not the configured one."""
    early, late = IDS[:2000], IDS[2000:4000]
    with running_server(tmp_path / "data") as server, connected(server.address) as client:
        life = started(client, ab_test("default"))
        first = life.decided(early, AUTO)
        changed = life.reweight(90, 10).experiment
        second = life.decided(late, AUTO)
        before = results(life)
        assert server.stop() == 0, server.log()

    assert ({1}, {2}) == ({each.epoch for each in first}, {each.epoch for each in second})
    assert (2, {"a": 90.0, "b": 10.0}) == (changed.allocation.epoch, dict(changed.allocation.weights))
    assert changed.updated_at == changed.allocation.started_at
    assert "changed: control.weight, variants[0].weight" == changed.allocation.cause
    assert [(1, {"a": 50.0, "b": 50.0}, 2000), (2, {"a": 90.0, "b": 10.0}, 2000)] == epochs(before)
    assert [
        {arm: sum(each.variant_id == arm for each in decided) for arm in ("a", "b")} for decided in (first, second)
    ] == [dict(each.enrolled) for each in before.epochs]
    state, message = sample_ratio(before)
    assert HealthState.HEALTH_STATE_OK == state
    assert "(2,800 expected)" in message
    assert "(1,200 expected)" in message

    with running_server(tmp_path / "data") as server, connected(server.address) as client:
        life = Life(client, "default")
        after = results(life)
        assert (epochs(before), sample_ratio(before)) == (epochs(after), sample_ratio(after))
        assert {2} == {each.epoch for each in life.decided(IDS[4000:4010])}
        assert server.stop() == 0, server.log()


@pytest.mark.parametrize("control", [90.0, 30.0, 0.0])
def test_who_moves_is_told_before(client: Client, namespace: str, control: float) -> None:
    """The author hears of as many entities as then really get another variant."""
    life = started(client, ab_test(namespace))
    before = life.decided(IDS)
    told = life.reweight(control, 100 - control, validate_only=True)
    assert before == life.decided(IDS)
    done = life.reweight(control, 100 - control)
    after = life.decided(IDS)
    moved = sum(old.variant_id != new.variant_id for old, new in zip(before, after, strict=True)) / len(IDS) * 100

    assert ["control.weight", "variants[0].weight"] == list(done.reassigning_changes)
    assert abs(done.reassigned_percent - moved) < WITHIN
    assert abs(moved - abs(control - 50)) < WITHIN
    assert (list(told.reassigning_changes), told.reassigned_percent) == (
        list(done.reassigning_changes),
        done.reassigned_percent,
    )
    assert [pb.WarningReason.WARNING_REASON_REASSIGNS_ENTITIES] == [each.reason for each in done.warnings]


@pytest.mark.parametrize(
    ("change", "path", "share"),
    [
        (Experiment(hashing=Hashing(salt="other")), "hashing", 50.0),
        # Half of the treated leave, and get the control.
        (Experiment(config=ExperimentConfig(traffic_percentage=50)), "config.trafficPercentage", 25.0),
    ],
)
def test_each_road_to_another_variant_is_told(
    client: Client, namespace: str, change: Experiment, path: str, share: float
) -> None:
    """Weights are not the only way to move people."""
    life = started(client, ab_test(namespace))
    before = life.decided(IDS)
    done = life.update(change)
    after = life.decided(IDS)
    moved = sum(old.variant_id != new.variant_id for old, new in zip(before, after, strict=True)) / len(IDS) * 100

    assert [path] == list(done.reassigning_changes)
    assert abs(done.reassigned_percent - moved) < WITHIN
    assert abs(moved - share) < WITHIN


def test_more_traffic_moves_nobody(client: Client, namespace: str) -> None:
    """Who is in stays in, so that all of them can be pooled."""
    definition = ab_test(namespace)
    definition.config.traffic_percentage = 20
    life = started(client, definition)
    before = life.decided(IDS)
    done = life.update(Experiment(config=ExperimentConfig(traffic_percentage=60)))
    after = life.decided(IDS)

    assert ([], 0.0, True) == (
        list(done.reassigning_changes),
        done.reassigned_percent,
        done.HasField("reassigned_percent"),
    )
    assert (1, 60.0) == (done.experiment.allocation.epoch, done.experiment.allocation.traffic_percentage)
    assert all(old.variant_id == new.variant_id for old, new in zip(before, after, strict=True) if old.enrolled)
    assert abs(sum(each.enrolled for each in after) / len(IDS) * 100 - 60) < WITHIN


def test_a_check_changes_nothing_and_answers_the_same(client: Client, namespace: str, data_dir: Path) -> None:
    """What a person agrees to after a look is what happens."""
    life = started(client, ab_test(namespace))
    before, trail = life.stored(), audited(data_dir, namespace)
    told = life.reweight(80, 20, validate_only=True, reason="look")
    assert (before, trail) == (life.stored(), audited(data_dir, namespace))
    done = life.reweight(80, 20, reason="meant")

    for response in (told, done):
        for name in ("etag", "revision", "updated_at"):
            response.experiment.ClearField(name)
        response.experiment.allocation.ClearField("started_at")
    assert told == done
    last = audited(data_dir, namespace)[-1]
    assert ("UpdateExperiment", "meant") == (last.action, last.reason)


def test_an_update_to_what_is_there_leaves_no_trace(client: Client, namespace: str, data_dir: Path) -> None:
    """A pipeline applies its files every night."""
    life = started(client, weighted(namespace, 60, 40))
    before, trail = life.stored(), audited(data_dir, namespace)

    answers = [life.update(before), life.update(before, "*"), life.reweight(60, 40)]

    assert [before] * 3 == [each.experiment for each in answers]
    assert [([], 0.0)] * 3 == [(list(each.reassigning_changes), each.reassigned_percent) for each in answers]
    assert (before, trail) == (life.stored(), audited(data_dir, namespace))


def test_what_is_measured_cannot_change(client: Client, namespace: str) -> None:
    """Every fixed field is named at once, and nothing of the change is done, not even what is free."""
    life = started(client, windowed(namespace, HOUR_S))
    before = life.stored()
    change = Experiment()
    change.CopyFrom(before)
    change.owner = "somebody"
    change.type = ExperimentType.EXPERIMENT_TYPE_FEATURE_FLAG
    change.entity_type = "run"
    change.variants.append(Variant(id="c"))
    change.metrics[0].window.FromSeconds(60)
    change.metrics[1].event = "price"
    change.analysis_plan.dimensions.append("country")

    refusal = refused(client.experiments.UpdateExperiment, life.updating(change))

    assert (grpc.StatusCode.FAILED_PRECONDITION, "FIELD_IMMUTABLE") == (refusal.code, refusal.reason)
    fields = ["type", "entityType", "variants", "metrics[0].window", "metrics[1].event", "analysisPlan.dimensions"]
    assert fields == list(refusal.fields)
    assert {
        "namespace": namespace,
        "resource_type": "experiment",
        "id": "exp",
        "field": ",".join(fields),
        "status": "running",
    } == refusal.metadata
    assert before == life.stored()


def test_another_plan_makes_results_exploratory(client: Client, namespace: str) -> None:
    """Who changes what counts as evidence after a look must not hide it; whoever takes it back has not."""
    life = started(client, ab_test(namespace))
    changed = Experiment()
    changed.analysis_plan.method = InferenceMethod.INFERENCE_METHOD_FIXED_HORIZON
    changed.analysis_plan.planned_sample_size = 100
    assert not results(life).exploratory
    done = life.update(changed)

    assert [("analysisPlan", pb.WarningReason.WARNING_REASON_PLAN_CHANGED)] == [
        (each.field, each.reason) for each in done.warnings
    ]
    assert results(life).exploratory
    assert 1 == done.experiment.allocation.epoch
    life.update(Experiment(), "analysis_plan")
    assert not results(life).exploratory


def test_another_treatment_is_warned_of(client: Client, namespace: str) -> None:
    """The variant keeps its name, and its results mix two things."""
    life = started(client, ab_test(namespace))
    change = ab_test(namespace)
    change.variants[0].config.update({"model": "large"})
    done = life.update(change, "variants")

    assert [("variants[0]", pb.WarningReason.WARNING_REASON_TREATMENT_CHANGED)] == [
        (each.field, each.reason) for each in done.warnings
    ]
    assert (1, []) == (done.experiment.allocation.epoch, list(done.reassigning_changes))
    treated = next(each for each in life.decided(IDS[:50]) if each.variant_id == "b")
    assert "large" == treated.config["model"]


def test_a_change_after_the_stop_is_for_the_next_iteration(client: Client, namespace: str) -> None:
    """What an iteration found is what it found; the next one measures by the new definition."""
    life = started(client, ab_test(namespace))
    life.decided(IDS[:400], AUTO)
    life.move("Stop")
    ended = results(life)
    change = ab_test(namespace)
    change.metrics[0].name = change.metrics[0].event = "bought"
    change.metrics.append(Metric(name="seconds", type=MetricType.METRIC_TYPE_CONTINUOUS))
    change.variants[0].id = "c"
    changed = life.update(change, "metrics", "variants")
    kept = results(life)
    again = life.move("Start")
    life.decided(IDS[:100], AUTO)
    new, old = results(life), client.results(again, iteration=1)

    assert not changed.HasField("reassigned_percent")
    for found in (ended, kept, old):
        for name in ("collected_at", "as_of", "lag", "engine_version"):
            found.ClearField(name)
    assert ended == kept == old
    assert {"a", "b"} == set(ended.variant_results)
    assert (2, 1) == (again.iteration, again.allocation.epoch)
    assert {"a", "c"} == set(new.variant_results)
    assert ["bought", "cost", "seconds"] == [each.metric for each in new.comparisons]
    assert (400, 100) == (old.progress.enrolled, new.progress.enrolled)


def test_a_change_of_what_is_paused_shows_with_the_resume(client: Client, namespace: str) -> None:
    """A person pauses, mends and goes on: the entities of each allocation are apart."""
    life = started(client, ab_test(namespace))
    life.decided(IDS[:100], AUTO)
    life.move("Pause")
    done = life.reweight(75, 25)
    assert {"a"} == {each.variant_id for each in life.decided(IDS[:100])}
    life.move("Resume")
    life.decided(IDS[100:200], AUTO)

    assert done.reassigned_percent > 0
    assert [
        (1, {"a": 50.0, "b": 50.0}, 100),
        (2, {"a": 75.0, "b": 25.0}, 0),
        (3, {"a": 75.0, "b": 25.0}, 100),
    ] == epochs(results(life))


def test_a_mask_that_names_no_field_is_refused(client: Client, namespace: str) -> None:
    """A mistyped path would otherwise change nothing and say that it was done."""
    life = started(client, ab_test(namespace))
    request = life.updating(Experiment(), "ownr", "status", "config.trafficPercentage")
    refusal = refused(client.experiments.UpdateExperiment, request)

    assert (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD") == (refusal.code, refusal.reason)
    assert ["updateMask.paths[0]", "updateMask.paths[1]"] == list(refusal.fields)
    assert "did you mean `owner`?" in refusal.fields["updateMask.paths[0]"]
