"""What forcing a variant does to decisions of the core, and what it leaves alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from klero import engine as core
from klero.engine import Engine
from klero.v1.decision_pb2 import Context, Decision
from klero.v1.decision_service_pb2 import AssignRequest, AssignResponse
from klero.v1.experiment_pb2 import Experiment, ExperimentStatus, ExperimentType, Override, Snapshot, Variant
from tests import oracle

NOW_MS = 1_800_000_000_000
NOBODY_ELSE = "forced"

statuses = st.sampled_from(
    [value for value in ExperimentStatus.values() if 0 < value != ExperimentStatus.EXPERIMENT_STATUS_ARCHIVED]
)
entity_ids = st.text(min_size=1, max_size=20).filter(lambda entity_id: entity_id != NOBODY_ELSE)
variant_ids = st.sampled_from(["a", "b", "c"])
times = st.none() | st.integers(NOW_MS - 2, NOW_MS + 2)


def definition(status: ExperimentStatus.ValueType) -> Experiment:
    """Part of the traffic, three variants; once ended, one of them is shipped."""
    described = Experiment(
        id="exp",
        type=ExperimentType.EXPERIMENT_TYPE_AB_TEST,
        control=Variant(id="a"),
        variants=[Variant(id="b"), Variant(id="c", enabled=False)],
    )
    described.config.traffic_percentage = 60
    admitted, _ = core.admit(described)
    admitted.status = status
    admitted.shipped_variant_id = "c"
    return admitted


def override(variant_id: str, entity_id: str = "", expires_at_ms: int | None = None) -> Override:
    """One of that experiment."""
    made = Override(experiment_id="exp", variant_id=variant_id, entity_id=entity_id)
    if expires_at_ms is not None:
        made.expires_at.FromMilliseconds(expires_at_ms)
    return made


def decide(status: ExperimentStatus.ValueType, entity_id: str, *overrides: Override) -> Decision:
    """By the core, at `NOW_MS`."""
    found = Engine(secret=bytes(16), incarnation=bytes(16))
    found.load(Snapshot(experiments=[definition(status)], overrides=overrides))
    request = AssignRequest(experiment_id="exp", entity_id=entity_id)
    answer = found.handle("Assign", request.SerializeToString(), NOW_MS)
    assert isinstance(answer, bytes)
    return AssignResponse.FromString(answer).decision


@given(statuses, entity_ids, st.tuples(variant_ids, times), st.tuples(variant_ids, times))
def test_decisions_are_those_of_the_oracle(
    status: ExperimentStatus.ValueType, entity_id: str, own: tuple[str, int | None], everyone: tuple[str, int | None]
) -> None:
    """Expired or not, for one or for everyone: both readings of the rules agree."""
    overrides = [override(everyone[0], "", everyone[1]), override(own[0], entity_id, own[1])]
    expected = oracle.decide(definition(status), Context(entity_id=entity_id), NOW_MS, overrides)

    found = decide(status, entity_id, *overrides)

    assert (expected.variant_id, expected.reason, expected.enrolled, expected.randomized, expected.enabled) == (
        found.variant_id,
        found.reason,
        found.enrolled,
        found.randomized,
        found.enabled,
    )


@given(statuses, entity_ids, variant_ids, times)
def test_an_override_of_another_entity_changes_nobody_else(
    status: ExperimentStatus.ValueType, entity_id: str, variant_id: str, expiry_ms: int | None
) -> None:
    """A tester who forces a variant must not move anybody's variant."""
    assert decide(status, entity_id) == decide(status, entity_id, override(variant_id, NOBODY_ELSE, expiry_ms))


@given(statuses, entity_ids, variant_ids, st.sampled_from(["one", "everyone"]))
def test_an_expired_override_is_as_none(
    status: ExperimentStatus.ValueType, entity_id: str, variant_id: str, forced: str
) -> None:
    """Whoever forgets to remove one gets the old state back, to the millisecond."""
    whom = "" if forced == "everyone" else entity_id

    assert decide(status, entity_id) == decide(status, entity_id, override(variant_id, whom, NOW_MS))
    assert variant_id == decide(status, entity_id, override(variant_id, whom, NOW_MS + 1)).variant_id


@given(statuses, entity_ids, variant_ids, variant_ids)
def test_the_own_override_goes_before_everyones(
    status: ExperimentStatus.ValueType, entity_id: str, own: str, everyone: str
) -> None:
    """While everyone is switched off, one person can still look at what is new."""
    found = decide(status, entity_id, override(own, entity_id), override(everyone))

    assert own == found.variant_id
    assert (True, False, 0.0) == (found.enrolled, found.randomized, found.propensity)
