"""What the journal is told later, if it could not be told at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klero import lifecycle
from klero.engine import Engine
from klero.errors import IllegalTransitionError
from klero.v1.experiment_pb2 import Allocation
from tests.lifecycle.made import ALLOCATION, at, changed, definition, in_status, running, windowed

if TYPE_CHECKING:
    from collections.abc import Callable

    from klero.storage.v1.journal_pb2 import Control
    from klero.v1.experiment_pb2 import Experiment

    State = tuple[bool, bool, bool, int]


@dataclass
class Iteration:
    """An iteration as controls leave it, with windows that stay open until somebody closes them."""

    stopped: bool = False
    closed: bool = False
    paused: bool = False
    epoch: int = 0


class OpenWindows:
    """A journal with an entity whose windows never close by themselves."""

    def __init__(self) -> None:
        """Begin empty."""
        self._iterations: dict[int, Iteration] = {}

    def tell(self, control: Control) -> None:
        """Follow a control as the contract of the journal says."""
        action = control.WhichOneof("action")
        if action == "started":
            self._iterations.setdefault(control.iteration, Iteration())
            return
        known = self._iterations[control.iteration]
        if action == "epoch":
            known.epoch = max(known.epoch, control.epoch.number)
        elif action in {"paused", "resumed"}:
            known.paused = action == "paused"
        else:
            known.stopped = True
            known.closed |= control.stopped.immediate

    def known(self, iteration: int) -> Iteration | None:
        """None: never heard of."""
        return self._iterations.get(iteration)


class NoEntities:
    """The engine, in which nobody was enrolled: every stop closes."""

    def __init__(self) -> None:
        """Begin empty."""
        self._engine = Engine(secret=bytes(16), incarnation=bytes(15) + b"\1")

    def tell(self, control: Control) -> None:
        """Write and fold it."""
        self._engine.control(control)
        frame = self._engine.take_frame()
        assert frame is not None
        self._engine.commit(frame, self._engine.position + 1)

    def known(self, iteration: int) -> lifecycle.Known | None:
        """None: never heard of."""
        return self._engine.iteration("default", "exp", iteration)


def _reweigh(stored: Experiment) -> Experiment:
    share = 51.0 if stored.allocation.weights["a"] == 50 else 50.0
    return lifecycle.update(
        stored,
        changed(stored, "control.weight"),
        allocation=Allocation(weights={"a": share, "b": 100 - share}, traffic_percentage=80),
        now=at(40),
    )


STEPS: dict[str, Callable[[Experiment], Experiment]] = {
    "start": lambda stored: lifecycle.start(stored, allocation=ALLOCATION, now=at(40)),
    "pause": lambda stored: lifecycle.pause(stored, now=at(40)),
    "resume": lambda stored: lifecycle.resume(stored, now=at(40)),
    "reweigh": _reweigh,
    "rename": lambda stored: lifecycle.update(stored, changed(stored, "name"), allocation=ALLOCATION, now=at(40)),
    "stop": lambda stored: lifecycle.stop(stored, ship_variant_id="", now=at(40)),
    "stop now": lambda stored: lifecycle.stop(stored, ship_variant_id="", now=at(40), immediate=True),
    "drained": lambda stored: lifecycle.drained(stored, now=at(40)),
    "archive": lambda stored: lifecycle.archive(stored, now=at(40)),
}


def tell_lacking(journal: OpenWindows | NoEntities, stored: Experiment) -> None:
    """Complete what a journal knows."""
    for control in lifecycle.lacking(stored, journal.known(stored.iteration)):
        journal.tell(control)


def state(journal: OpenWindows | NoEntities, iteration: int) -> State | None:
    """All that decisions and results rest on: nobody can tell whether what has ended is paused."""
    known = journal.known(iteration)
    return None if known is None else (known.stopped, known.closed, known.paused and not known.stopped, known.epoch)


@pytest.mark.parametrize("journal", [OpenWindows, NoEntities])
@given(st.data())
def test_a_journal_that_missed_the_latest_changes_catches_up(
    journal: type[OpenWindows | NoEntities], data: st.DataObject
) -> None:
    """The process may die between catalog and journal at every change of an iteration."""
    stored = lifecycle.draft(data.draw(st.sampled_from([definition(), windowed()])), now=at(1))
    steps = data.draw(st.lists(st.sampled_from(list(STEPS)), max_size=12))
    history = [stored]
    for step in steps:
        try:
            history.append(STEPS[step](history[-1]))
        except IllegalTransitionError:
            continue
    latest = history[-1]
    since = next(index for index, each in enumerate(history) if each.iteration == latest.iteration)
    missed_from = data.draw(st.integers(since, len(history)))

    at_once, later = journal(), journal()
    for each in history:
        tell_lacking(at_once, each)
    for each in history[:missed_from]:
        tell_lacking(later, each)
    tell_lacking(later, latest)

    assert state(at_once, latest.iteration) == state(later, latest.iteration)
    assert [] == lifecycle.lacking(latest, later.known(latest.iteration))
    expected = (
        None
        if not latest.iteration
        else (
            latest.HasField("ended_at"),
            latest.HasField("ended_at") and (journal is NoEntities or latest.closed_early),
            latest.status == lifecycle.PAUSED,
            latest.allocation.epoch,
        )
    )
    assert expected == state(later, latest.iteration)


def actions(experiment: Experiment, known: Iteration | None) -> list[str | None]:
    """What is told, in order."""
    return [control.WhichOneof("action") for control in lifecycle.lacking(experiment, known)]


def test_nothing_is_told_of_what_never_began() -> None:
    """A draft, and what waits for its first start, is measured nowhere."""
    assert [] == actions(in_status(lifecycle.DRAFT), None)
    assert [] == actions(in_status(lifecycle.SCHEDULED), None)
    assert ["started", "epoch"] == actions(running(), None)
    assert ["started", "epoch", "stopped"] == actions(in_status(lifecycle.ARCHIVED), None)


def test_a_resume_comes_before_its_epoch_and_before_the_next_pause() -> None:
    """In another order the pause would end the epoch's exposures, or not end itself."""
    paused = lifecycle.pause(running(), now=at(20))
    resumed = lifecycle.resume(paused, now=at(30))
    again = lifecycle.pause(resumed, now=at(40))

    assert ["resumed", "epoch"] == actions(resumed, Iteration(paused=True, epoch=1))
    assert ["epoch", "paused"] == actions(again, Iteration(epoch=1))
    assert ["started", "epoch", "paused"] == actions(again, None)


def test_each_control_has_the_time_of_its_change() -> None:
    """Segments of results begin and end with it."""
    stopped = lifecycle.stop(running(), ship_variant_id="", now=at(20))
    archived = lifecycle.archive(stopped, now=at(30))
    resumed = lifecycle.resume(lifecycle.pause(running(), now=at(20)), now=at(30))

    assert [10_000, 10_000, 20_000] == [control.time_ms for control in lifecycle.lacking(archived, None)]
    assert [30_000, 30_000] == [
        control.time_ms for control in lifecycle.lacking(resumed, Iteration(paused=True, epoch=1))
    ]


def test_an_end_that_closes_windows_comes_after_one_that_did_not() -> None:
    """Who ends the draining makes results final at once, also in a journal that has the end already."""
    draining = in_status(lifecycle.DRAINING)
    stopped = lifecycle.stop(draining, ship_variant_id="", immediate=True, now=at(30))

    assert [False, True] == [lifecycle.lacking(each, None)[-1].stopped.immediate for each in (draining, stopped)]
    assert [] == actions(draining, Iteration(stopped=True, epoch=1))
    assert ["stopped"] == actions(stopped, Iteration(stopped=True, epoch=1))
    assert [] == actions(stopped, Iteration(stopped=True, closed=True, epoch=1))
