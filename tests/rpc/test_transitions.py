"""Every status that can be reached, and what every call that names an experiment does there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import grpc
import pytest

from klero.v1 import experiment_service_pb2 as pb
from klero.v1.decision_pb2 import DecisionReason, Exposure, Outcome
from klero.v1.decision_service_pb2 import AssignRequest, IsEnabledRequest
from klero.v1.error_reason_pb2 import ErrorReason
from klero.v1.experiment_pb2 import Experiment, Override
from tests.rpc.calls import TIMEOUT_S, Refusal, audited, refused
from tests.rpc.life import HOUR_S, Life, status_word, windowed

if TYPE_CHECKING:
    from pathlib import Path

    from google.protobuf.message import Message

    from tests.rpc.calls import Client

STATUSES = ("draft", "scheduled", "running", "paused", "draining", "stopped", "archived")
IMMEDIATELY = "StopExperiment immediate"
# The status after a call in each of STATUSES; `-`: it is refused.
AFTER = {
    "UpdateExperiment": "draft scheduled running paused draining stopped -",
    "DeleteExperiment": "deleted - - - - - -",
    "StartExperiment": "running - - - - running -",
    "PauseExperiment": "- - paused - - - -",
    "ResumeExperiment": "- - - running - - -",
    "StopExperiment": "- stopped draining draining - - -",
    IMMEDIATELY: "- stopped stopped stopped stopped - -",
    "ArchiveExperiment": "- - - - - archived -",
    "SetOverride": "draft scheduled running paused draining stopped -",
}
# What a refusal names as allowed; no client can roll back, so that column is missing above.
ALLOWED = {
    "UpdateExperiment": "draft, scheduled, running, paused, draining, stopped, rolled_back",
    "DeleteExperiment": "draft",
    "StartExperiment": "draft, stopped, rolled_back",
    "PauseExperiment": "running",
    "ResumeExperiment": "paused",
    "StopExperiment": "scheduled, running, paused, draining with `immediate`",
    "ArchiveExperiment": "stopped, rolled_back",
    "SetOverride": "draft, scheduled, running, paused, draining, stopped, rolled_back",
}
REASONS = {
    "draft": DecisionReason.DECISION_REASON_NOT_STARTED,
    "scheduled": DecisionReason.DECISION_REASON_NOT_STARTED,
    "running": DecisionReason.DECISION_REASON_SPLIT,
    "paused": DecisionReason.DECISION_REASON_PAUSED,
    "draining": DecisionReason.DECISION_REASON_STOPPED,
    "stopped": DecisionReason.DECISION_REASON_STOPPED,
}
NOT_BEGUN = ("draft", "scheduled")
# What the server itself counts, and times: no two answers have the same.
STAMPS = ("etag", "revision", "updated_at", "started_at", "ended_at")


def led_to(client: Client, namespace: str, status: str) -> Life:
    """A new experiment with this status, with an hour as its window."""
    life = Life(client, namespace)
    definition = windowed(namespace, HOUR_S)
    if status == "scheduled":
        definition.schedule.start_at.FromSeconds(int(time.time()) + HOUR_S)
    life.create(definition)
    if status != "draft":
        life.move("Start")
    if status not in NOT_BEGUN:
        # Without an open window nothing drains for longer than a second.
        client.assign(definition, "first")
    if status == "paused":
        life.move("Pause")
    if status in {"draining", "stopped", "archived"}:
        life.move("Stop", immediate=status != "draining")
    if status == "archived":
        life.move("Archive")
    assert status == status_word(life.stored())
    return life


def asked(life: Life, call: str, *, validate_only: bool) -> Message:
    """The request of one of the calls in the table."""
    if call == "UpdateExperiment":
        return life.updating(Experiment(owner="somebody"), validate_only=validate_only)
    if call == "SetOverride":
        override = Override(namespace=life.namespace, experiment_id=life.experiment_id, variant_id="b")
        return pb.SetOverrideRequest(override=override, validate_only=validate_only)
    if call == IMMEDIATELY:
        return life.request("StopExperiment", immediate=True, validate_only=validate_only)
    return life.request(call, validate_only=validate_only)


def without_stamps(response: Message) -> Message:
    """The response without what no two answers have alike."""
    if isinstance(response, pb.SetOverrideResponse):
        response.override.ClearField("etag")
        response.override.ClearField("expires_at")
        return response
    experiment = getattr(response, "experiment", None)
    if isinstance(experiment, Experiment):
        for name in STAMPS:
            experiment.ClearField(name)  # type: ignore[arg-type]  # names of fields, as a table
        experiment.allocation.ClearField("started_at")
        experiment.analysis_plan.ClearField("frozen_at")
    return response


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("call", AFTER)
def test_a_call_is_done_or_refused_by_status(
    client: Client, namespace: str, data_dir: Path, status: str, call: str
) -> None:
    """A check answers as the call itself and leaves nothing; a refusal names what is allowed."""
    life, after = led_to(client, namespace, status), AFTER[call].split()[STATUSES.index(status)]
    method = getattr(client.experiments, call.split(maxsplit=1)[0])
    before, trail = life.stored(), len(audited(data_dir, namespace))
    checking, meaning = (asked(life, call, validate_only=only) for only in (True, False))
    if after == "-":
        first, second = refused(method, checking), refused(method, meaning)
        assert first == second
        assert_illegal(first, life, call.split(maxsplit=1)[0], status)
    else:
        checked = method(checking, timeout=TIMEOUT_S)
        assert (before, trail) == (life.stored(), len(audited(data_dir, namespace)))
        answer = method(meaning, timeout=TIMEOUT_S)
        assert trail + 1 == len(audited(data_dir, namespace))
        if after == "deleted":
            gone = refused(client.experiments.GetExperiment, life.request("GetExperiment"))
            assert (grpc.StatusCode.NOT_FOUND, "EXPERIMENT_NOT_FOUND") == (gone.code, gone.reason)
            return
        if call != "SetOverride":
            assert life.stored() == answer.experiment
        assert without_stamps(checked) == without_stamps(answer)
    found = life.stored()
    assert (status if after == "-" else after) == status_word(found)
    assert (before if after == "-" or call == "SetOverride" else found) == found


def assert_illegal(refusal: Refusal, life: Life, method: str, status: str) -> None:
    """It says what was asked, what is, and what would have to be."""
    assert (grpc.StatusCode.FAILED_PRECONDITION, "ILLEGAL_TRANSITION") == (refusal.code, refusal.reason)
    assert {
        "method": method,
        "namespace": life.namespace,
        "experiment_id": life.experiment_id,
        "status": status,
        "allowed": ALLOWED[method],
    } == refusal.metadata


@pytest.mark.parametrize("status", STATUSES)
def test_everything_can_be_read_in_every_status(client: Client, namespace: str, status: str) -> None:
    """Nobody has to know where an experiment is to look at it."""
    life = led_to(client, namespace, status)
    stored = life.stored()
    how = life.call("GetExperimentStatus")
    results = life.call("GetExperimentResults").results
    history = life.call("GetExperimentHistory")
    began = int(status not in NOT_BEGUN)

    assert (stored.status, stored.status_reason, stored.iteration) == (how.status, how.status_reason, how.iteration)
    assert (stored.revision, stored.allocation) == (how.revision, how.allocation)
    assert [began] * 2 == [stored.iteration, results.iteration]
    assert "ok" == history.metric
    assert (status in {"stopped", "archived"}) == results.is_final
    assert ["a", "b"] == sorted(results.variant_results)
    assert [began] * 2 == [results.progress.enrolled, how.progress.enrolled]


@pytest.mark.parametrize("status", STATUSES)
def test_decisions_follow_the_status(client: Client, namespace: str, status: str) -> None:
    """Assign and IsEnabled give one reason, and only who is split into variants is enrolled."""
    life = led_to(client, namespace, status)
    assign = AssignRequest(experiment_id="exp", namespace=namespace, entity_id="user")
    enable = IsEnabledRequest(flag_name="exp", namespace=namespace, entity_id="user")
    if status == "archived":
        for call, request in ((client.decisions.Assign, assign), (client.decisions.IsEnabled, enable)):
            gone = refused(call, request)
            assert (grpc.StatusCode.NOT_FOUND, "EXPERIMENT_NOT_FOUND") == (gone.code, gone.reason)
        return
    decision = client.decisions.Assign(assign, timeout=TIMEOUT_S).decision
    enabled = client.decisions.IsEnabled(enable, timeout=TIMEOUT_S)
    runs = status == "running"

    assert [REASONS[status]] * 2 == [decision.reason, enabled.reason]
    assert (runs, runs) == (decision.enrolled, decision.randomized)
    assert runs or (decision.variant_id, enabled.enabled) == ("a", False)
    assert int(status not in NOT_BEGUN) + int(runs) == client.results(life.stored()).progress.enrolled


@pytest.mark.parametrize("status", [each for each in STATUSES if each not in {"draft", "scheduled", "archived"}])
def test_what_was_decided_before_still_counts(client: Client, namespace: str, status: str) -> None:
    """Outcomes are counted while an iteration is under way, whatever is decided meanwhile."""
    life = Life(client, namespace)
    decision = client.assign(client.start(windowed(namespace, HOUR_S)), "user")
    if status == "paused":
        life.move("Pause")
    if status in {"draining", "stopped"}:
        life.move("Stop", immediate=status == "stopped")
    assert 1 == client.record(namespace, Outcome(entity_id="user", event="ok")).accepted
    until = client.record(namespace, Outcome(entity_id="nobody", event="nothing")).position
    found = life.call("GetExperimentResults", view="RESULTS_VIEW_LIVE", min_position=until).results

    assert (0 if status == "stopped" else 1) == found.variant_results[decision.variant_id].conversions


@pytest.mark.parametrize(
    ("status", "reason", "counted"),
    [
        ("draft", "ITERATION_NOT_FOUND", 0),
        ("scheduled", "ITERATION_NOT_FOUND", 0),
        ("running", "", 1),
        ("paused", "", 1),
        ("draining", "", 0),
        ("stopped", "", 0),
        ("archived", "EXPERIMENT_NOT_FOUND", 0),
    ],
)
def test_exposures_that_clients_report_count_until_the_stop(
    client: Client, namespace: str, status: str, reason: str, counted: int
) -> None:
    """A client sends an exposure when a config is first used; what comes after the stop is no fault of its own."""
    life = led_to(client, namespace, status)
    given = client.assign(client.start(windowed(f"{namespace}-twin", HOUR_S)), "user")
    sent = Exposure(
        experiment_id="exp", entity_id="user", variant_id=given.variant_id, iteration=1, epoch=1, reason=given.reason
    )
    answer = client.record(namespace, exposures=(sent,))

    assert [f"ERROR_REASON_{reason}"] * bool(reason) == [ErrorReason.Name(each.reason) for each in answer.rejected]
    assert int(status not in NOT_BEGUN) + counted == client.results(life.stored()).progress.enrolled
