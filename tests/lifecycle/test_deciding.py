"""Which changes of a definition can give entities another variant."""

from __future__ import annotations

import pytest

from klero import lifecycle
from klero.v1.experiment_pb2 import Experiment, ExperimentConfig, Hashing, Variant
from tests.lifecycle.made import copied

WEIGHTS = ["control.weight", "variants[0].weight"]


def definition(*weights: float, traffic: float | None = None, salt: str = "") -> Experiment:
    """Arms `a`, `b` and `c`, each with its weight or none at all."""
    arms = [Variant(id=name) for name in "abc"]
    for arm, weight in zip(arms, weights, strict=False):
        arm.weight = weight
    made = Experiment(id="exp", control=arms[0], variants=arms[1:], config=ExperimentConfig(traffic_percentage=traffic))
    if salt:
        made.hashing.CopyFrom(Hashing(salt=salt))
    return made


@pytest.mark.parametrize(
    ("before", "after", "paths"),
    [
        (definition(), definition(), []),
        (definition(50, 30, 20), definition(50, 30, 20), []),
        (definition(50, 30, 20), definition(40, 40, 20), [WEIGHTS]),
        (definition(50, 50, 0), definition(50, 0, 50), [["variants[0].weight", "variants[1].weight"]]),
        # 0 is a weight, none is an equal share.
        (definition(100, 0, 0), definition(), [[*WEIGHTS, "variants[1].weight"]]),
        (definition(traffic=100), definition(traffic=50), [["config.trafficPercentage"]]),
        (definition(), definition(traffic=0), [["config.trafficPercentage"]]),
        (definition(traffic=0), definition(), [["config.trafficPercentage"]]),
        (definition(), definition(salt="new"), [["hashing"]]),
        (definition(), definition(salt="exp"), []),
        (
            definition(50, 30, 20, traffic=9),
            definition(40, 40, 20, traffic=8, salt="new"),
            [WEIGHTS, ["config.trafficPercentage"], ["hashing"]],
        ),
    ],
)
def test_each_change_is_found_by_itself(before: Experiment, after: Experiment, paths: list[list[str]]) -> None:
    """People are told which of their changes moves entities, not that one of them does."""
    stored = before.SerializeToString(deterministic=True)
    changes = list(lifecycle.deciding_changes(before, after))

    assert paths == [found for found, _ in changes]
    for _, alone in changes:
        # Each has one change: what is left to change is all but that one.
        assert len(changes) - 1 == len(list(lifecycle.deciding_changes(alone, after)))
        assert 1 == len(list(lifecycle.deciding_changes(before, alone)))
    assert stored == before.SerializeToString(deterministic=True)


def test_paths_are_those_of_the_new_definition() -> None:
    """Variants may be sorted: they are known by id, and people look for the path in what they sent."""
    before, after = definition(50, 30, 20), definition(50, 20, 30)
    after.variants.reverse()
    assert [] == list(lifecycle.deciding_changes(before, copied_reversed(before)))
    after.variants[0].weight, after.variants[1].weight, after.control.weight = 20, 31, 49
    ((paths, alone),) = lifecycle.deciding_changes(before, after)

    assert ["control.weight", "variants[1].weight"] == paths
    assert {"a": 49, "b": 31, "c": 20} == {arm.id: arm.weight for arm in (alone.control, *alone.variants)}


def copied_reversed(experiment: Experiment) -> Experiment:
    """The same with its variants in another order."""
    made = copied(experiment)
    made.variants.reverse()
    return made


def test_texts_and_configs_decide_nothing() -> None:
    """Who fixes a spelling is not warned of moved entities."""
    before, after = definition(), definition()
    after.name = after.control.name = "new"
    after.variants[0].config["x"] = 1
    after.config.min_sample_size = 7

    assert [] == list(lifecycle.deciding_changes(before, after))
