"""Deciding for many entities in the caller's process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from klero.client.evaluator import Evaluator
from klero.engine import admit
from klero.errors import KleroError
from klero.v1.decision_pb2 import Context
from klero.v1.experiment_pb2 import Experiment, ExperimentConfig, ExperimentStatus, ExperimentType, Snapshot, Variant
from tests import oracle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

NOW_MS = 1_800_000_000_000
IDS = ["", "é" * 200, "用户-42", *(f"user-{number}" for number in range(500))]


def running() -> Experiment:
    """Three arms of unequal weight, not everyone enrolled."""
    definition, _ = admit(
        Experiment(
            id="exp",
            type=ExperimentType.EXPERIMENT_TYPE_AB_TEST,
            control=Variant(id="z", weight=20),
            variants=[Variant(id="b", weight=30), Variant(id="a", weight=50)],
            config=ExperimentConfig(traffic_percentage=60),
        )
    )
    definition.status = ExperimentStatus.EXPERIMENT_STATUS_RUNNING
    definition.iteration = 1
    return definition


@pytest.fixture
def evaluator() -> Evaluator:
    """Of one experiment."""
    return Evaluator(Snapshot(experiments=[running()]))


@pytest.mark.parametrize(
    "given",
    [
        list,
        tuple,
        iter,
        np.array,
        lambda ids: np.array(ids, dtype=object),
        pa.array,
        lambda ids: pa.array(ids, type=pa.large_string()),
        lambda ids: pa.array(["before", *ids, "behind"])[1:-1],
        lambda ids: pa.chunked_array([ids[:7], [], ids[7:]], type=pa.string()),
    ],
    ids=["list", "tuple", "iterator", "numpy", "objects", "arrow", "large arrow", "slice", "chunks"],
)
def test_every_kind_of_list_decides_as_the_oracle(
    evaluator: Evaluator, given: Callable[[list[str]], Iterable[str]]
) -> None:
    """A data frame decided at night and an agent by day agree on each entity."""
    definition = running()
    found = evaluator.choose("exp", given(IDS), now_ms=NOW_MS)
    expected = [oracle.decide(definition, Context(entity_id=each), NOW_MS) for each in IDS]

    assert ("z", "b", "a") == found.variant_ids
    assert [each.variant_id for each in expected] == [found.variant_ids[each] for each in found.variants]
    assert [each.reason for each in expected] == list(found.reasons)


@pytest.mark.parametrize("nobody", [[], pa.array([], type=pa.string()), np.array([], dtype=str)])
def test_of_nobody_there_is_nothing(evaluator: Evaluator, nobody: Iterable[str]) -> None:
    """An empty shard of a large job is no special case."""
    found = evaluator.choose("exp", nobody, now_ms=NOW_MS)

    assert ([], []) == (list(found.variants), list(found.reasons))


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        (["a", 1], TypeError, "entity ids must be strings"),
        (pa.array(["a", None]), ValueError, "an array of string with 1 nulls must be one of strings without nulls"),
        (pa.array([1, 2]), ValueError, "an array of int64 with 0 nulls"),
    ],
)
def test_what_are_no_ids_is_refused(
    evaluator: Evaluator, given: Iterable[str], error: type[Exception], match: str
) -> None:
    """A column of numbers is the wrong column."""
    with pytest.raises(error, match=match):
        evaluator.choose("exp", given, now_ms=NOW_MS)


def test_an_unknown_experiment_is_named(evaluator: Evaluator) -> None:
    """As the server would."""
    with pytest.raises(KleroError, match="no experiment `exq` in namespace `default`, did you mean `exp`"):
        evaluator.choose("exq", ["a"], now_ms=NOW_MS)


def test_a_snapshot_that_cannot_be_served_is_refused() -> None:
    """All its faults at once."""
    with pytest.raises(KleroError, match=r"experiments\[0\]\.type"):
        Evaluator(Snapshot(experiments=[Experiment(id="exp")]))
