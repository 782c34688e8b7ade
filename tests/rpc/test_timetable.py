"""The end of draining: when it comes, and what may come between."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from klero import lifecycle
from klero.catalog.sqlite import SqliteCatalog
from klero.engine import IterationState
from klero.errors import CatalogUnavailableError, KleroError
from klero.rpc.changes import Changes
from klero.rpc.decisions import Waiting
from klero.rpc.timetable import Timetable
from klero.v1.events_pb2 import AuditEntry
from klero.v1.experiment_pb2 import Experiment, ExperimentStatus, Metric, Variant

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from klero.engine import Engine
    from klero.rpc.changes import Cause
    from klero.storage.v1.journal_pb2 import Control
    from klero.v1.experiment_pb2 import Snapshot

NOW_MS = 90_000
STOPPED = ExperimentStatus.EXPERIMENT_STATUS_STOPPED


def draining() -> Experiment:
    """An experiment that waits for its windows."""
    return Experiment(
        id="exp",
        namespace="default",
        etag="1-2",
        iteration=1,
        status=ExperimentStatus.EXPERIMENT_STATUS_DRAINING,
        control=Variant(id="a"),
        variants=[Variant(id="b")],
        metrics=[Metric(name="cost", window=Duration(seconds=60))],
        shipped_variant_id="b",
    )


class FakeEngine:
    """A tally that is closed when the test says so."""

    def __init__(self) -> None:
        """Begin with open windows."""
        self.closed = False
        self.looks = 0

    def iteration(self, _namespace: str, _experiment_id: str, _iteration: int) -> IterationState:
        """Count the look."""
        self.looks += 1
        return IterationState(stopped=True, closed=self.closed, paused=False, epoch=1)


class FakeChanges:
    """One stored definition."""

    def __init__(self, stored: Experiment) -> None:
        """Store it, in force as it is."""
        self.stored = stored
        self.timed = [stored] if stored.status == lifecycle.DRAINING else []
        self.causes: list[Cause] = []
        self.failures: list[KleroError] = []

    async def change(
        self, _namespace: str, _experiment_id: str, step: Callable[[Experiment], Experiment], cause: Cause
    ) -> Experiment:
        """Apply the step, or fail as the test wants."""
        if self.failures:
            raise self.failures.pop()
        self.stored = step(self.stored)
        self.timed = []
        self.causes.append(cause)
        return self.stored


async def run(changes: FakeChanges, engine: FakeEngine, *, close_windows: bool = True) -> None:
    """Look for some rounds, in the middle of which the windows close."""
    task = Timetable(cast("Changes", changes), cast("Engine", engine), clock=lambda: NOW_MS, interval_s=0.001)
    task.start()
    await asyncio.sleep(0.02)
    engine.closed = close_windows
    await asyncio.sleep(0.05)
    await task.close()


async def test_it_ends_when_the_last_window_has_closed() -> None:
    """By the controller, with the reason that people read in the audit trail."""
    changes, engine = FakeChanges(draining()), FakeEngine()
    await run(changes, engine)

    assert (STOPPED, "b") == (changes.stored.status, changes.stored.shipped_variant_id)
    assert NOW_MS == changes.stored.updated_at.ToMilliseconds()
    assert [("drained", "controller")] == [(cause.action, cause.actor) for cause in changes.causes]


async def test_open_windows_are_waited_for() -> None:
    """A window of a week is looked at for a week."""
    changes, engine = FakeChanges(draining()), FakeEngine()
    await run(changes, engine, close_windows=False)

    assert lifecycle.DRAINING == changes.stored.status
    assert engine.looks > 1


async def test_nothing_is_asked_while_nothing_drains() -> None:
    """A tally costs time, and most servers have nothing that drains."""
    running = draining()
    running.status = ExperimentStatus.EXPERIMENT_STATUS_RUNNING
    engine = FakeEngine()
    await run(FakeChanges(running), engine)

    assert 0 == engine.looks


async def test_what_changed_meanwhile_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """Stopped at once and started again: the windows of the new iteration are open."""
    changes, engine = FakeChanges(draining()), FakeEngine()
    changes.stored = draining()
    changes.stored.etag, changes.stored.iteration = "1-3", 2
    await run(changes, engine)

    assert lifecycle.DRAINING == changes.stored.status
    assert "drained of `exp` failed" in caplog.text


async def test_a_failure_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """A full disk must not leave an experiment draining for ever."""
    changes, engine = FakeChanges(draining()), FakeEngine()
    changes.failures = [CatalogUnavailableError()]
    await run(changes, engine)

    assert STOPPED == changes.stored.status
    assert "drained of `exp` failed" in caplog.text


class FakeJournal(FakeEngine):
    """An engine as it is after a replay."""

    def __init__(self, *, closed: bool) -> None:
        """Know that the iteration was stopped, and whether its windows are closed."""
        super().__init__()
        self.closed = closed
        self.told: list[Control] = []

    def iteration(self, _namespace: str, _experiment_id: str, _iteration: int) -> IterationState:
        """Plan and end are in the journal."""
        return IterationState(stopped=True, closed=self.closed, paused=False, epoch=0)

    def control(self, control: Control) -> int:
        """Keep what is told."""
        self.told.append(control)
        return len(self.told)

    def load(self, _snapshot: Snapshot) -> None:
        """Put it in force."""

    def recall(self) -> None:
        """All of the journal is folded."""


@pytest.mark.parametrize(("early", "closed", "told"), [(True, False, [True]), (True, True, []), (False, False, [])])
async def test_windows_that_were_closed_early_are_closed_after_a_crash_too(
    tmp_path: Path, *, early: bool, closed: bool, told: list[bool]
) -> None:
    """The process died between catalog and journal: the journal still holds the windows open."""
    catalog = SqliteCatalog(tmp_path / "catalog.db")
    stored = draining()
    if early:
        stored = lifecycle.stop(stored, ship_variant_id="", immediate=True, now=Timestamp(seconds=1))
    stored.ended_at.FromSeconds(1)
    catalog.create(stored, AuditEntry(namespace="default", resource_id="exp"))
    journal = FakeJournal(closed=closed)
    waiting = Waiting(asyncio.get_running_loop())
    changes = Changes(catalog, cast("Engine", journal), waiting, clock=lambda: NOW_MS)

    await changes.catch_up(begin=lambda: waiting.deliver([(ticket + 1, b"") for ticket in range(len(journal.told))]))
    changes.close()

    assert told == [control.stopped.immediate for control in journal.told]
    assert ([] if early else ["exp"]) == [each.id for each in changes.timed]
