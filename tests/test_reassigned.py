"""How many entities a change moves, counted again by the reference."""

from __future__ import annotations

import pytest

from klero import _core
from klero import engine as core
from klero.v1.decision_pb2 import Context
from klero.v1.experiment_pb2 import Experiment, ExperimentConfig, ExperimentStatus, ExperimentType, Hashing, Variant
from tests import oracle

ENTITIES = 2_000
AB = ExperimentType.EXPERIMENT_TYPE_AB_TEST
FLAG = ExperimentType.EXPERIMENT_TYPE_FEATURE_FLAG


def running(
    *weights: float, traffic: float = 100, salt: str = "", kind: ExperimentType.ValueType = AB, arms: str = "abc"
) -> Experiment:
    """A running experiment with its allocation in force."""
    variants = [Variant(id=name) for name in arms]
    for variant, weight in zip(variants, weights, strict=False):
        variant.weight = weight
    definition, _ = core.admit(
        Experiment(
            id="exp",
            type=kind,
            status=ExperimentStatus.EXPERIMENT_STATUS_RUNNING,
            control=variants[0],
            variants=variants[1:],
            config=ExperimentConfig(traffic_percentage=traffic),
            hashing=Hashing(salt=salt),
        )
    )
    definition.allocation.CopyFrom(core.allocation(definition))
    return definition


def counted(before: Experiment, after: Experiment) -> float:
    """The same by the reference, one decision after the other."""
    moved = []
    for number in range(ENTITIES):
        context = Context(entity_id=str(number))
        first = oracle.decide(before, context, 0)
        if first.enrolled:
            moved.append(first.variant_id != oracle.decide(after, context, 0).variant_id)
    return 100 * sum(moved) / len(moved)


@pytest.mark.parametrize(
    ("before", "after", "least"),
    [
        pytest.param(running(50, 30, 20), running(50, 30, 20), 0, id="nothing"),
        pytest.param(running(50, 30, 20), running(30, 50, 20), 15, id="weights"),
        pytest.param(running(50, 30, 20), running(100, 0, 0), 45, id="weight-zero"),
        pytest.param(running(), running(34, 33, 33), 0.1, id="equal-shares-written-out"),
        pytest.param(running(50, 30, 20), running(50, 30, 20, traffic=40), 25, id="less-traffic"),
        pytest.param(running(50, 30, 20, traffic=40), running(50, 30, 20), 0, id="more-traffic"),
        pytest.param(running(50, 30, 20, traffic=40), running(50, 30, 20, traffic=0), 45, id="no-traffic"),
        pytest.param(running(50, 30, 20), running(50, 30, 20, salt="new"), 50, id="salt"),
        pytest.param(running(50, 30, 20), running(50, 30, 20, salt="exp"), 0, id="the-same-salt"),
        pytest.param(running(50, 30, 20), running(20, 30, 50, traffic=60, salt="é"), 55, id="all-at-once"),
        pytest.param(
            running(traffic=20, kind=FLAG, arms="ab"), running(traffic=60, kind=FLAG, arms="ab"), 35, id="flag"
        ),
    ],
)
def test_as_many_move_as_the_reference_moves(before: Experiment, after: Experiment, least: float) -> None:
    """People decide by this number whether they change what runs."""
    found = _core.reassigned(before.SerializeToString(), after.SerializeToString(), ENTITIES)

    assert counted(before, after) == pytest.approx(found, abs=1e-9)
    assert found is not None
    assert least <= found <= (least + 15 if least else 0)


def stay(before: tuple[float, ...], after: tuple[float, ...]) -> float:
    """Percent that keep their variant.

    The variant of an entity has the smallest of keys that are exponential with its weight as rate. It stays if its key
    is smallest under both: of the exponentials of rate 1 behind the keys, each other one must exceed its own by the
    larger of the two ratios of weights.
    """
    arms = list(zip(before, after, strict=True))
    return 100 * sum(1 / sum(max(b / own_b, a / own_a) for b, a in arms) for own_b, own_a in arms if own_b and own_a)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((50.0, 30.0, 20.0), (30.0, 50.0, 20.0)),
        ((50.0, 30.0, 20.0), (0.0, 60.0, 40.0)),
        ((50.0, 50.0, 0.0), (0.0, 0.0, 100.0)),
        ((98.0, 1.0, 1.0), (1.0, 1.0, 98.0)),
    ],
)
def test_the_served_number_is_that_of_theory(before: tuple[float, ...], after: tuple[float, ...]) -> None:
    """Five standard errors of 100,000 entities are at most 0.8."""
    assert pytest.approx(100 - stay(before, after), abs=0.8) == core.reassigned(running(*before), running(*after))
