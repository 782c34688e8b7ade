"""Entities keep the variant of their first exposure when weights change, through restarts and races."""

from __future__ import annotations

import re
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from klero.v1.decision_pb2 import Decision, DecisionReason, Exposure, ExposureMode
from klero.v1.decision_service_pb2 import BatchAssignRequest, GetVariantRequest, IsEnabledRequest
from klero.v1.experiment_pb2 import StickyMode
from klero.v1.experiment_service_pb2 import (
    ForgetEntityRequest,
    GetExperimentStatusRequest,
    PauseExperimentRequest,
    ResumeExperimentRequest,
    StartExperimentRequest,
    StopExperimentRequest,
    UpdateExperimentRequest,
    UpdateExperimentResponse,
)
from tests.rpc.calls import TIMEOUT_S, Client, ab_test, connected
from tests.rpc.test_beginning import SLOW_REPLAY
from tests.server_process import running_server

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from klero.v1.experiment_pb2 import Experiment

SPLIT = DecisionReason.DECISION_REASON_SPLIT
STICKY = DecisionReason.DECISION_REASON_STICKY
UNAVAILABLE = DecisionReason.DECISION_REASON_STICKY_UNAVAILABLE
AUTO = ExposureMode.EXPOSURE_MODE_AUTO


def assigned(client: Client, experiment: Experiment, entity_ids: Iterable[str]) -> list[Decision]:
    """Decisions with exposures, many in a call."""
    ids = list(entity_ids)
    found: list[Decision] = []
    for first in range(0, len(ids), 1000):
        request = BatchAssignRequest(namespace=experiment.namespace, experiment_ids=[experiment.id], exposure=AUTO)
        for entity_id in ids[first : first + 1000]:
            request.contexts.add(entity_id=entity_id)
        found += client.decisions.BatchAssign(request, timeout=TIMEOUT_S).decisions
    return found


def weighed(client: Client, experiment: Experiment, control: float) -> UpdateExperimentResponse:
    """Give the control this weight, and the one treatment the rest."""
    changed = type(experiment)(id=experiment.id, namespace=experiment.namespace)
    changed.control.CopyFrom(experiment.control)
    changed.control.weight = control
    changed.variants.extend(experiment.variants)
    changed.variants[0].weight = 100 - control
    request = UpdateExperimentRequest(experiment=changed, update_mask=FieldMask(paths=["control", "variants"]))
    return client.experiments.UpdateExperiment(request, timeout=TIMEOUT_S)


def conflicting(client: Client, experiment: Experiment) -> int:
    """Entities that were given a second variant."""
    checks = client.results(experiment).health
    message = next(check.message for check in checks if check.name == "multi_exposed")
    found = re.match(r"([0-9,]+) of", message)
    return int(found[1].replace(",", "")) if found else 0


def variants(decisions: Iterable[Decision]) -> list[str]:
    """What was given."""
    return [decision.variant_id for decision in decisions]


def reasons(decisions: Iterable[Decision]) -> set[DecisionReason.ValueType]:
    """Why it was given."""
    return {decision.reason for decision in decisions}


def entities(prefix: str, count: int = 500) -> list[str]:
    """Ids that no other prefix has."""
    return [f"{prefix}-{index}" for index in range(count)]


def test_first_variants_outlive_new_weights_and_kill_9(tmp_path: Path) -> None:
    """Who has worked with a variant for a week must not get another one because someone moves weights."""
    early, late = entities("early", 5000), entities("late", 5000)
    with running_server(tmp_path) as server, connected(server.address) as client:
        experiment = client.start(ab_test("default"))
        before = assigned(client, experiment, early)
        assert reasons(before) == {SPLIT}
        weighed(client, experiment, 10)

        after, new = assigned(client, experiment, early), assigned(client, experiment, late)

        assert variants(after) == variants(before)
        assert reasons(after) == {STICKY}
        assert all(decision.enrolled and decision.randomized for decision in after)
        assert {(decision.variant_id, decision.propensity) for decision in after} == {("a", 0.1), ("b", 0.9)}
        assert reasons(new) == {SPLIT}
        # Five standard deviations of a binomial of 5000 at .1 are 106.
        assert variants(new).count("a") == pytest.approx(500, abs=106)
        assert conflicting(client, experiment) == 0
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()

    with running_server(tmp_path) as server, connected(server.address) as client:
        again = assigned(client, experiment, early + late)

        assert variants(again) == variants(before) + variants(new)
        assert reasons(again) == {STICKY}
        weighed(client, experiment, 100)
        assert variants(assigned(client, experiment, early + late)) == variants(again)
        assert set(variants(assigned(client, experiment, entities("last")))) == {"a"}
        assert conflicting(client, experiment) == 0


def test_without_it_the_hash_decides_and_conflicts_are_counted(client: Client, namespace: str) -> None:
    """Where every call is an entity of its own nothing is looked up, and the check says who moved."""
    definition = ab_test(namespace)
    definition.sticky = StickyMode.STICKY_MODE_OFF
    experiment = client.start(definition)
    before = assigned(client, experiment, entities("u"))
    told = weighed(client, experiment, 10)
    after = assigned(client, experiment, entities("u"))

    moved = sum(first != second for first, second in zip(variants(before), variants(after), strict=True))
    assert reasons(after) == {SPLIT}
    assert moved > 0
    assert conflicting(client, experiment) == moved
    assert "each counts for its first one" in told.warnings[-1].message


def test_update_says_that_only_those_who_come_new_are_moved(client: Client, namespace: str) -> None:
    """Whoever is asked whether a change may go ahead must know whom it concerns."""
    experiment = client.start(ab_test(namespace))

    told = weighed(client, experiment, 30)

    assert told.reassigned_percent == pytest.approx(20, abs=1)
    assert told.warnings[-1].message == (
        f"{told.reassigned_percent:.3g} % of those who come new get another variant than before; who has one keeps it"
    )
    assert (told.experiment.allocation.epoch, told.experiment.allocation.weights_epoch) == (2, 2)


def test_a_pause_alone_changes_no_reason(client: Client, namespace: str) -> None:
    """As long as weights are those of the start the hash gives the first variant, and nothing is looked up."""
    experiment = client.start(ab_test(namespace))
    before = assigned(client, experiment, entities("u"))
    client.experiments.PauseExperiment(PauseExperimentRequest(id=experiment.id, namespace=namespace), timeout=TIMEOUT_S)
    client.experiments.ResumeExperiment(
        ResumeExperimentRequest(id=experiment.id, namespace=namespace), timeout=TIMEOUT_S
    )

    after = assigned(client, experiment, entities("u"))

    assert reasons(after) == {SPLIT}
    assert {decision.epoch for decision in after} == {2}
    assert variants(after) == variants(before)


def test_all_ways_to_ask_give_the_first_variant(client: Client, namespace: str) -> None:
    """A program may mix the calls, and each of them is somebody's first one."""
    definition = ab_test(namespace)
    experiment = client.start(definition)
    ids = entities("u", 40)
    before = dict(zip(ids, variants(assigned(client, experiment, ids)), strict=True))
    weighed(client, experiment, 100)

    for entity_id, first in before.items():
        enabled = client.decisions.IsEnabled(
            IsEnabledRequest(namespace=namespace, flag_name=experiment.id, entity_id=entity_id), timeout=TIMEOUT_S
        )
        given = client.decisions.GetVariant(
            GetVariantRequest(namespace=namespace, flag_name=experiment.id, entity_id=entity_id), timeout=TIMEOUT_S
        )
        looked = client.assign(experiment, entity_id, ExposureMode.EXPOSURE_MODE_NONE)
        assert (enabled.reason, enabled.enabled, given.variant_id) == (STICKY, first == "b", first)
        assert (looked.reason, looked.variant_id, looked.is_control) == (STICKY, first, first == "a")
    assert set(before.values()) == {"a", "b"}


def test_reported_exposures_are_first_ones_too(client: Client, namespace: str) -> None:
    """Clients that decide in batches say later what they used, and are asked for it again."""
    experiment = client.start(ab_test(namespace))
    weighed(client, experiment, 100)
    ids = entities("u", 20)
    exposures = [
        Exposure(experiment_id=experiment.id, entity_id=entity_id, variant_id="b", iteration=1, epoch=1)
        for entity_id in ids
    ]
    client.record(namespace, exposures=tuple(exposures))

    assert set(variants(assigned(client, experiment, ids))) == {"b"}
    assert conflicting(client, experiment) == 0


def test_traffic_goes_first(client: Client, namespace: str) -> None:
    """Less traffic means less traffic, for those as well who were in; who comes back has its variant."""
    experiment = client.start(ab_test(namespace))
    before = assigned(client, experiment, entities("u"))
    weighed(client, experiment, 100)
    for traffic in (50.0, 100.0):
        changed = type(experiment)(id=experiment.id, namespace=namespace)
        changed.config.traffic_percentage = traffic
        client.experiments.UpdateExperiment(UpdateExperimentRequest(experiment=changed), timeout=TIMEOUT_S)
        after = assigned(client, experiment, entities("u"))
        inside = [decision.reason == STICKY for decision in after]
        expected = [first if kept else "a" for first, kept in zip(variants(before), inside, strict=True)]
        assert variants(after) == expected
        assert sum(inside) == pytest.approx(5 * traffic, abs=5 * 11.2 if traffic < 100 else 0)
    assert conflicting(client, experiment) == 0


def test_a_forgotten_entity_comes_new(client: Client, namespace: str) -> None:
    """Whoever asks to be forgotten leaves no variant behind either."""
    experiment = client.start(ab_test(namespace))
    given = dict(zip(entities("u"), variants(assigned(client, experiment, entities("u"))), strict=True))
    weighed(client, experiment, 100)
    who = next(entity_id for entity_id, variant in given.items() if variant == "b")
    assert client.assign(experiment, who, ExposureMode.EXPOSURE_MODE_NONE).variant_id == "b"

    client.experiments.ForgetEntity(ForgetEntityRequest(namespace=namespace, entity_id=who), timeout=TIMEOUT_S)

    after = client.assign(experiment, who)
    assert (after.variant_id, after.reason) == ("a", SPLIT)


def test_a_new_iteration_begins_with_nothing(client: Client, namespace: str) -> None:
    """Iterations are compared with each other, so that none may hand its variants on."""
    experiment = client.start(ab_test(namespace))
    assigned(client, experiment, entities("u"))
    weighed(client, experiment, 100)
    client.experiments.StopExperiment(StopExperimentRequest(id=experiment.id, namespace=namespace), timeout=TIMEOUT_S)
    client.experiments.StartExperiment(StartExperimentRequest(id=experiment.id, namespace=namespace), timeout=TIMEOUT_S)

    after = assigned(client, experiment, entities("u"))

    assert (set(variants(after)), reasons(after)) == ({"a"}, {SPLIT})


def test_calls_that_race_with_each_other_and_with_a_change_agree(client: Client, namespace: str) -> None:
    """Two requests of one user arrive at the same time, on both sides of a click."""
    experiment = client.start(ab_test(namespace))
    ids = entities("u", 4000)
    given: dict[str, set[str]] = {entity_id: set() for entity_id in ids}

    def ask(offset: int) -> list[Decision]:
        turned = ids[offset:] + ids[:offset]
        found = []
        for first in range(0, len(turned), 50):
            found += assigned(client, experiment, turned[first : first + 50])
        return found

    with ThreadPoolExecutor(5) as threads:
        asking = [threads.submit(ask, offset) for offset in (0, 0, 1000, 2000)]
        for control in (100, 0, 100, 0, 50):
            weighed(client, experiment, control)
        for each in asking:
            for decision in each.result():
                given[decision.entity_id].add(decision.variant_id)

    assert Counter(len(found) for found in given.values()) == {1: len(ids)}
    assert conflicting(client, experiment) == 0


def test_as_long_as_the_journal_is_read_nobody_is_enrolled(tmp_path: Path) -> None:
    """Without its first variant an entity gets the hashed one, and nobody counts it."""
    go = tmp_path / "go"
    ids = entities("u")
    with running_server(tmp_path / "data") as server, connected(server.address) as client:
        experiment = client.start(ab_test("default"))
        before = assigned(client, experiment, ids)
        weighed(client, experiment, 0)
        assert server.stop() == 0

    slow = SLOW_REPLAY.format(go=str(go))
    with running_server(tmp_path / "data", before=slow) as server, connected(server.address) as client:
        meanwhile = assigned(client, experiment, ids)
        assert {
            (each.reason, each.variant_id, each.enabled, each.enrolled, each.randomized, each.propensity)
            for each in meanwhile
        } == {(UNAVAILABLE, "b", True, False, False, 0.0)}
        go.touch()
        which = GetExperimentStatusRequest(id=experiment.id)
        while True:
            try:
                client.experiments.GetExperimentStatus(which, timeout=TIMEOUT_S)
                break
            except grpc.RpcError:
                time.sleep(0.02)

        assert variants(assigned(client, experiment, ids)) == variants(before)
        assert conflicting(client, experiment) == 0
