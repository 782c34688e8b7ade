"""Forcing a variant, over gRPC."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from klero.v1 import experiment_service_pb2 as pb
from klero.v1.decision_pb2 import Context, Decision, DecisionReason, Exposure, ExposureMode
from klero.v1.decision_service_pb2 import BatchAssignRequest, GetVariantRequest, IsEnabledRequest
from klero.v1.events_pb2 import ResourceType
from klero.v1.experiment_pb2 import Experiment, Override
from tests.rpc.calls import ab_test, audited, connected, external, flag, refused
from tests.server_process import running_server

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.rpc.calls import Client

DAY_MS = 86_400_000
OWN = DecisionReason.DECISION_REASON_ENTITY_OVERRIDE
EVERYONES = DecisionReason.DECISION_REASON_EXPERIMENT_OVERRIDE


def now_ms() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


def asked(experiment: Experiment, entity_id: str = "", variant_id: str = "", **rest: Any) -> pb.SetOverrideRequest:  # noqa: ANN401  # fields
    """A request with these fields."""
    override = Override(
        namespace=experiment.namespace, experiment_id=experiment.id, entity_id=entity_id, variant_id=variant_id
    )
    return pb.SetOverrideRequest(override=override, **rest)


def force(client: Client, request: pb.SetOverrideRequest) -> Override:
    """Set one; returns it as stored."""
    return client.experiments.SetOverride(request).override


def removal(experiment: Experiment, entity_id: str = "", **rest: Any) -> pb.DeleteOverrideRequest:  # noqa: ANN401  # fields
    """A request with these fields."""
    return pb.DeleteOverrideRequest(
        namespace=experiment.namespace, experiment_id=experiment.id, entity_id=entity_id, **rest
    )


def listed(client: Client, namespace: str, **rest: Any) -> list[str]:  # noqa: ANN401  # fields
    """What is in force: experiment, entity and variant of each."""
    request = pb.ListOverridesRequest(namespace=namespace, **rest)
    found = client.experiments.ListOverrides(request).overrides
    return [f"{each.experiment_id}/{each.entity_id}={each.variant_id}" for each in found]


def test_every_call_gives_the_forced_variant_at_once(client: Client, namespace: str) -> None:
    """Who forces a variant looks at it with the next request."""
    running = client.start(ab_test(namespace))
    force(client, asked(running, "u", "b"))
    force(client, asked(running, variant_id="a"))
    mine, theirs = client.assign(running, "u"), client.assign(running, "someone")
    batch = client.decisions.BatchAssign(
        BatchAssignRequest(namespace=namespace, contexts=[Context(entity_id="u"), Context(entity_id="someone")])
    ).decisions
    enabled = client.decisions.IsEnabled(IsEnabledRequest(flag_name="exp", namespace=namespace, entity_id="u"))
    variant = client.decisions.GetVariant(GetVariantRequest(flag_name="exp", namespace=namespace, entity_id="u"))

    assert (("b", OWN), ("a", EVERYONES)) == ((mine.variant_id, mine.reason), (theirs.variant_id, theirs.reason))
    assert [(True, False, 0.0)] * 2 == [(each.enrolled, each.randomized, each.propensity) for each in (mine, theirs)]
    assert [mine, theirs] == list(batch)
    assert (True, OWN) == (enabled.enabled, enabled.reason)
    assert ("b", OWN) == (variant.variant_id, variant.reason)


def test_nobody_who_is_forced_is_in_the_analysis(client: Client, namespace: str) -> None:
    """Testers and emergencies are no evidence, not even when a client reports their exposure itself."""
    running = client.start(ab_test(namespace))
    force(client, asked(running, "u", "b"))
    decision = client.assign(running, "u")
    exposure = Exposure(
        experiment_id="exp", entity_id="u", variant_id="b", reason=decision.reason, iteration=1, epoch=decision.epoch
    )
    client.record(namespace, exposures=(exposure,))
    client.assign(running, "free")

    assert 1 == client.results(running).progress.enrolled


def test_overrides_act_from_draft_to_stop(client: Client, namespace: str) -> None:
    """A draft is looked at before it starts, and an emergency does not ask for the status."""
    draft = client.experiments.CreateExperiment(pb.CreateExperimentRequest(experiment=ab_test(namespace))).experiment
    force(client, asked(draft, variant_id="b"))
    found = [_only_looked(client, draft)]
    client.experiments.StartExperiment(pb.StartExperimentRequest(id="exp", namespace=namespace))
    found.append(_only_looked(client, draft))
    client.experiments.StopExperiment(pb.StopExperimentRequest(id="exp", namespace=namespace))
    found.append(_only_looked(client, draft))

    assert [("b", EVERYONES)] * 3 == [(each.variant_id, each.reason) for each in found]
    client.experiments.ArchiveExperiment(pb.ArchiveExperimentRequest(id="exp", namespace=namespace))
    assert [] == listed(client, namespace)
    refusal = refused(client.experiments.SetOverride, asked(draft, variant_id="b"))
    assert (grpc.StatusCode.FAILED_PRECONDITION, "ILLEGAL_TRANSITION") == (refusal.code, refusal.reason)
    assert "SetOverride is not allowed while experiment `exp` is archived" in refusal.message


def _only_looked(client: Client, experiment: Experiment) -> Decision:
    return client.assign(experiment, "u", ExposureMode.EXPOSURE_MODE_NONE)


def test_an_override_ends_by_itself(client: Client, namespace: str) -> None:
    """A test that nobody takes back must not stay."""
    running = client.start(ab_test(namespace))
    request = asked(running, "u", "b")
    request.override.expires_at.FromMilliseconds(now_ms() + 400)
    force(client, request)
    assert client.assign(running, "u").reason == OWN
    while client.assign(running, "u").reason == OWN:
        assert now_ms() < request.override.expires_at.ToMilliseconds() + 5000
        time.sleep(0.02)

    assert now_ms() >= request.override.expires_at.ToMilliseconds()
    assert [] == listed(client, namespace)
    assert "OVERRIDE_NOT_FOUND" == refused(client.experiments.DeleteOverride, removal(running, "u")).reason


def test_it_lasts_a_day_unless_told_otherwise(client: Client, namespace: str) -> None:
    """Nobody has to think of an expiry, and whoever wants none says so."""
    running = client.start(ab_test(namespace))
    before_ms = now_ms()
    day = force(client, asked(running, "u", "b", reason="look"))
    lasting = force(client, asked(running, "v", "b", permanent=True))

    assert before_ms + DAY_MS <= day.expires_at.ToMilliseconds() <= now_ms() + DAY_MS
    assert ("look", "anonymous") == (day.reason, day.created_by)
    assert not lasting.HasField("expires_at")


@pytest.mark.parametrize(("enabled", "variant_id"), [(False, "off"), (True, "on")])
def test_a_flag_is_switched_without_its_variants_names(
    client: Client, namespace: str, *, enabled: bool, variant_id: str
) -> None:
    """In an emergency nobody looks up what the variants are called."""
    definition = flag(namespace)
    # The first is not enabled: it is not what `on` means.
    definition.variants.insert(0, definition.variants[0])
    definition.variants[0].id, definition.variants[0].enabled = "dark", False
    running = client.start(definition)
    stored = force(client, asked(running, enabled=enabled))

    assert variant_id == stored.variant_id
    answer = client.decisions.IsEnabled(IsEnabledRequest(flag_name="flag", namespace=namespace, entity_id="u"))
    assert (enabled, EVERYONES) == (answer.enabled, answer.reason)


@pytest.mark.parametrize(
    ("change", "field", "description"),
    [
        ({"entity_id": "é" * 129}, "override.entityId", "258 bytes, must have at most 256; none means everyone"),
        ({"variant_id": ""}, "override.variantId", "neither this nor `enabled` is set, exactly one of them must be"),
        ({"enabled": True}, "override.variantId", "both this and `enabled` are set, exactly one of them must be"),
        ({"expires_s": 2e9, "permanent": True}, "override.expiresAt", "is set, but `permanent` asks for no expiry"),
        ({"expires_s": 1e9}, "override.expiresAt", "2001-09-09T01:46:40Z must be in the future"),
        ({"expires_s": 1e12}, "override.expiresAt", "1000000000000 seconds and 0 nanoseconds must be a time of"),
        ({"expires_s": -1e12}, "override.expiresAt", "-1000000000000 seconds and 0 nanoseconds must be a time of"),
        ({"request_id": "0"}, "requestId", "`0` must be a UUID, or empty"),
    ],
)
def test_what_is_wrong_is_named(
    client: Client, namespace: str, change: dict[str, Any], field: str, description: str
) -> None:
    """Who sets an override by hand learns what to write."""
    fields = {"entity_id": "u", "variant_id": "b", **change}
    seconds = fields.pop("expires_s", None)
    request = asked(ab_test(namespace), **fields)
    if seconds is not None:
        request.override.expires_at.seconds = int(seconds)
    found = refused(client.experiments.SetOverride, request)

    assert (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD") == (found.code, found.reason)
    assert [field] == list(found.fields)
    assert description in found.fields[field]


def test_what_is_not_there_cannot_be_forced(client: Client, namespace: str) -> None:
    """A mistyped name must not look like success."""
    service = client.experiments
    running = client.start(ab_test(namespace))
    outside = client.start(external(namespace, "outside"))
    nothing = Experiment(id="expp", namespace=namespace)
    dark = flag(namespace)
    dark.variants[0].enabled = False
    client.start(dark)
    cases: list[tuple[Callable[..., Any], object, str, str]] = [
        (service.SetOverride, asked(nothing, "u", "b"), "EXPERIMENT_NOT_FOUND", "did you mean `exp`?"),
        (service.SetOverride, asked(running, "u", "c"), "VARIANT_NOT_FOUND", "has no variant `c`"),
        (service.SetOverride, asked(outside, "u", "b"), "ASSIGNED_EXTERNALLY", "assigned by another system"),
        (service.SetOverride, asked(dark, "u", enabled=True), "INVALID_FIELD", "no variant of `flag` is enabled"),
        (service.DeleteOverride, removal(nothing), "EXPERIMENT_NOT_FOUND", "did you mean `exp`?"),
        (service.DeleteOverride, removal(running), "OVERRIDE_NOT_FOUND", "has no override for everyone"),
        (service.DeleteOverride, removal(running, "u"), "OVERRIDE_NOT_FOUND", "has no override for entity `u`"),
        (
            service.ListOverrides,
            pb.ListOverridesRequest(namespace=namespace, experiment_id="expp"),
            "EXPERIMENT_NOT_FOUND",
            "did you mean `exp`?",
        ),
    ]
    for call, request, reason, message in cases:
        found = refused(call, request)
        assert reason == found.reason
        assert message in found.message


def test_an_etag_holds_what_was_seen(client: Client, namespace: str) -> None:
    """Two people force something on one entity: the second must see the first's before."""
    service = client.experiments
    running = client.start(ab_test(namespace))
    first = force(client, asked(running, "u", "b"))
    request = asked(running, "u", "a")
    request.override.etag = first.etag
    second = force(client, request)

    again = refused(service.SetOverride, request)
    stale = refused(service.DeleteOverride, removal(running, "u", etag=first.etag))
    assert ["ETAG_MISMATCH"] * 2 == [again.reason, stale.reason]
    assert {
        "namespace": namespace,
        "resource_type": "override",
        "id": "exp/u",
        "expected": first.etag,
        "found": second.etag,
    } == stale.metadata
    service.DeleteOverride(removal(running, "u", etag=second.etag))
    gone = refused(service.SetOverride, request)
    assert ("ETAG_MISMATCH", "none") == (gone.reason, gone.metadata["found"])


def test_validate_only_changes_nothing(client: Client, namespace: str, data_dir: Path) -> None:
    """A check leaves no trace."""
    running = client.start(ab_test(namespace))
    checked = client.experiments.SetOverride(asked(running, "u", "b", validate_only=True)).override
    assert ("b", "") == (checked.variant_id, checked.etag)
    assert [] == listed(client, namespace)

    force(client, asked(running, "u", "b"))
    client.experiments.DeleteOverride(removal(running, "u", validate_only=True))
    missing = refused(client.experiments.DeleteOverride, removal(running, validate_only=True))

    assert "OVERRIDE_NOT_FOUND" == missing.reason
    assert ["exp/u=b"] == listed(client, namespace)
    assert 1 == sum("Override" in entry.action for entry in audited(data_dir, namespace))


def test_the_trail_says_who_was_forced_to_what(client: Client, namespace: str) -> None:
    """After an incident people ask who saw what, and since when."""
    running = client.start(ab_test(namespace))
    force(client, asked(running, "u/1", "b", reason="demo", permanent=True))
    force(client, asked(running, "u/1", "a", permanent=True))
    client.experiments.DeleteOverride(removal(running, "u/1", reason="over"))
    entries = client.experiments.ListAuditEntries(
        pb.ListAuditEntriesRequest(namespace=namespace, resource_type=ResourceType.RESOURCE_TYPE_OVERRIDE)
    ).entries[::-1]
    changes = [
        (change.path, change.before.string_value, change.after.string_value)
        for entry in entries
        for change in entry.changes
    ]

    assert ["SetOverride", "SetOverride", "DeleteOverride"] == [entry.action for entry in entries]
    assert ["demo", "", "over"] == [entry.reason for entry in entries]
    assert {"exp/u/1"} == {entry.resource_id for entry in entries}
    assert [("variantId", "", "b"), ("variantId", "b", "a"), ("variantId", "a", "")] == changes


def test_pages_follow_one_another(client: Client, namespace: str) -> None:
    """Tools that list page by page see each once, everyone's first."""
    running, other = client.start(ab_test(namespace)), client.start(ab_test(namespace, "other"))
    for entity_id in ("u/1", "", "ü"):
        force(client, asked(running, entity_id, "b"))
    force(client, asked(other, "u", "a"))
    request = pb.ListOverridesRequest(namespace=namespace, page_size=3)
    first = client.experiments.ListOverrides(request)
    request.page_token = first.next_page_token
    rest = client.experiments.ListOverrides(request)

    assert ["", "u/1", "ü"] == [each.entity_id for each in first.overrides]
    assert (["u"], "") == ([each.entity_id for each in rest.overrides], rest.next_page_token)
    assert ["other/u=a"] == listed(client, namespace, experiment_id="other")
    wrong = refused(
        client.experiments.ListOverrides,
        pb.ListOverridesRequest(namespace=namespace, page_size=-1, page_token=running.id),
    )
    assert {"pageSize", "pageToken"} == wrong.fields.keys()


def test_a_deleted_draft_takes_its_overrides_along(client: Client, namespace: str) -> None:
    """Another experiment of the same name begins without force."""
    definition = ab_test(namespace)
    for _ in range(2):
        client.experiments.CreateExperiment(pb.CreateExperimentRequest(experiment=definition))
        assert [] == listed(client, namespace)
        force(client, asked(definition, "u", "b"))
        client.experiments.DeleteExperiment(pb.DeleteExperimentRequest(id="exp", namespace=namespace))


def test_overrides_outlive_the_server(tmp_path: Path) -> None:
    """A flag that was switched off in an emergency stays off when the server comes back."""
    with running_server(tmp_path / "data") as server, connected(server.address) as client:
        running = client.start(ab_test("default"))
        force(client, asked(running, variant_id="b"))
        server.process.kill()
        server.process.wait()
    with running_server(tmp_path / "data") as server, connected(server.address) as client:
        decision = client.assign(running, "u")

        assert ("b", EVERYONES) == (decision.variant_id, decision.reason)
        assert ["exp/=b"] == listed(client, "default")
