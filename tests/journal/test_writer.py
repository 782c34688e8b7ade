"""The one thread that appends."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from klero.errors import JournalUnavailableError
from klero.journal.lost import Lost
from klero.journal.space import SpaceGuard
from klero.journal.sqlite import SqliteJournal
from klero.journal.writer import JournalWriter
from tests.journal.fake_engine import FakeEngine
from tests.journal.made import frame

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from klero.errors import KleroError

NOW_MS = 1_800_000_000_000


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    """An empty journal."""
    with SqliteJournal(tmp_path / "journal.db") as journal:
        yield journal


class Run:
    """What a writer did until its queue was empty."""

    def __init__(self, engine: FakeEngine, journal: SqliteJournal, path: Path) -> None:
        """Run it in this thread."""
        self.answers: list[tuple[int, bytes | KleroError]] = []
        self.folded: list[int] = []
        JournalWriter(
            engine.engine,
            journal,
            deliver=self.answers.extend,
            folded=self.folded.append,
            guard=SpaceGuard(path, engine=engine.engine),
            clock=lambda: NOW_MS,
        ).run()


def test_frames_are_durable_before_anyone_is_answered(journal: SqliteJournal, tmp_path: Path) -> None:
    """Each gets the next position."""
    engine = FakeEngine(queue=[frame(1), frame(2)])
    run = Run(engine, journal, tmp_path)

    assert [1, 2] == [found.position for found in journal.frames()] == engine.committed
    assert [(1, b"stored"), (2, b"stored")] == run.answers
    assert [len(frame(1).body), len(frame(2).body)] == run.folded


def test_positions_go_on_behind_what_was_lost(journal: SqliteJournal, tmp_path: Path) -> None:
    """A checkpoint may stand before the last position that anyone was told."""
    journal.accept([Lost(2, 9, "missing")], [frame(1)])
    engine = FakeEngine(queue=[frame(2)], position=1)
    Run(engine, journal, tmp_path)

    assert [10] == engine.committed


def test_time_goes_on_where_nothing_comes(journal: SqliteJournal, tmp_path: Path) -> None:
    """Windows close in quiet hours too."""
    engine = FakeEngine(queue=[None, None, frame(1)])
    Run(engine, journal, tmp_path)

    assert [NOW_MS, NOW_MS] == engine.ticks


def test_record_is_taken_once_the_disk_was_looked_at(journal: SqliteJournal, tmp_path: Path) -> None:
    """Held from the start, so that nothing comes before the journal is read."""
    engine = FakeEngine()
    Run(engine, journal, tmp_path)

    assert [True, False] == engine.held


def test_a_disk_that_refuses_ends_it(journal: SqliteJournal, tmp_path: Path) -> None:
    """What a disk did not take cannot be told from what it did."""
    engine = FakeEngine(queue=[frame(1), frame(2)])
    journal.close()

    read_only = SqliteJournal(tmp_path / "journal.db", read_only=True)
    run = Run(engine, read_only, tmp_path)
    read_only.close()
    ((ticket, error),) = run.answers
    assert (1, 1, []) == (ticket, engine.given_up, engine.committed)
    assert isinstance(cast("object", error), JournalUnavailableError)


def test_a_frame_that_cannot_be_folded_ends_it(journal: SqliteJournal, tmp_path: Path) -> None:
    """Whatever came behind would be counted on a wrong base."""
    engine = FakeEngine(queue=[frame(1), frame(2)], bad_at=1)
    run = Run(engine, journal, tmp_path)

    assert ([1], [(1, b"stored")], []) == (engine.committed, run.answers, run.folded)
