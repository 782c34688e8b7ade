"""The short form of the drill, and proof that it can fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.drill.mutants import ANSWERS_BEFORE_THE_COMMIT, forget_requests
from tests.drill.rounds import FREQUENT_CHECKPOINTS, DrillPlan, drill

if TYPE_CHECKING:
    from pathlib import Path

SEED = 20260


def test_nothing_is_lost_or_counted_twice(tmp_path: Path) -> None:
    """After any number of kills there is what was acknowledged, each batch once, however often it was sent."""
    said: list[str] = []

    assert [] == drill(DrillPlan(seed=SEED, rounds=5, outcomes=2000, compare_every=3), tmp_path, say=said.append)
    assert 5 == len(said), said
    assert [line for line in said if "from position 0 " not in line], "no start made use of a checkpoint"


def test_a_server_that_answers_before_the_commit_fails(tmp_path: Path) -> None:
    """Its clients were told of outcomes that no restart brings back."""
    plan = DrillPlan(seed=SEED, rounds=3, outcomes=500, compare_every=1, before=ANSWERS_BEFORE_THE_COMMIT)
    found = drill(plan, tmp_path, say=print)

    assert [each for each in found if "lost outcomes" in each], found
    assert [each for each in found if each.startswith("results of `a`: the sum is")], found


def test_a_journal_that_ends_before_a_checkpoint_fails(tmp_path: Path) -> None:
    """The same server notices by itself once a checkpoint has what the journal lacks."""
    before = FREQUENT_CHECKPOINTS + ANSWERS_BEFORE_THE_COMMIT
    found = drill(DrillPlan(seed=SEED, rounds=3, outcomes=500, compare_every=1, before=before), tmp_path, say=print)

    assert "(missing) cannot be read" in found[0]


def test_a_server_that_forgets_requests_at_a_checkpoint_fails(tmp_path: Path) -> None:
    """Repeats from before the checkpoint count again."""
    plan = DrillPlan(seed=SEED, rounds=6, outcomes=2500, compare_every=2, meanwhile=forget_requests)
    found = drill(plan, tmp_path, say=print)

    assert [each for each in found if "stored again" in each or "the sum is" in each], found
