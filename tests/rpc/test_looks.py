"""The task that looks: when a look is kept, and what it costs when nothing happens."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING, cast

import pytest

from klero.catalog.history import History, Iteration
from klero.errors import CatalogUnavailableError
from klero.rpc.looks import Looks
from klero.storage.v1.tally_pb2 import ArmTally, IterationTally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from klero.engine import Engine
    from klero.rpc.changes import Changes

BEGAN_MS = 1_000_000
EXP = Iteration("default", "exp", 1)
RUNNING: Mapping[Iteration, int] = {EXP: BEGAN_MS}
NONE: Mapping[Iteration, int] = {}


class FakeEngine:
    """One iteration whose entities the test sets."""

    def __init__(self) -> None:
        """Know nobody yet."""
        self.enrolled = 0
        self.position = 1
        self.readings = 0

    def count(self, enrolled: int) -> None:
        """Fold a frame after which so many are enrolled."""
        self.enrolled = enrolled
        self.position += 1

    def tally(self, *_iteration: object) -> IterationTally:
        """Count the reading."""
        self.readings += 1
        arms = [ArmTally(epoch=1, variant_id="a", enrolled=self.enrolled)] if self.enrolled else []
        return IterationTally(position=self.position, time_ms=self.position, arms=arms)


class FakeChanges:
    """Iterations that run."""

    counting = RUNNING


class Clock:
    """Time stands still unless the test moves it."""

    def __init__(self) -> None:
        """Begin with the iteration."""
        self.now_ms = BEGAN_MS

    def __call__(self) -> int:
        """Unix milliseconds."""
        return self.now_ms


class Bench:
    """Looks over fakes, round by round."""

    def __init__(self, history: History) -> None:
        """Look into `history`."""
        self.engine, self.clock, self.history = FakeEngine(), Clock(), history
        self.looks = self.restarted()

    def restarted(self) -> Looks:
        """The task of a new process over the same disk."""
        self.looks = Looks(
            cast("Changes", FakeChanges()),
            cast("Engine", self.engine),
            self.history,
            clock=self.clock,
            interval_s=0.001,
        )
        return self.looks

    def at(self, age_ms: int, counting: Mapping[Iteration, int] = RUNNING) -> list[tuple[int, int]]:
        """A round when the iteration is so old; returns age and entities of all looks."""
        self.clock.now_ms = BEGAN_MS + age_ms
        self.looks.look(counting)
        return [(each.looked_at_ms - BEGAN_MS, each.enrolled) for each in self.history.looks(EXP)]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Nothing was seen yet."""
    with closing(History(tmp_path / "catalog.db")) as history:
        yield Bench(history)


def test_nothing_is_kept_before_somebody_is_enrolled(bench: Bench) -> None:
    """A picture begins with the first entity."""
    assert [] == bench.at(0)
    bench.engine.count(1)
    assert [(500, 1)] == bench.at(500)


@pytest.mark.parametrize(
    ("age_ms", "enrolled", "kept"),
    [
        (100_999, 1_009, False),
        (101_000, 1_001, True),
        (100_999, 1_010, True),
        (101_000, 1_000, False),
        (100_500, 1_000, False),
    ],
)
def test_a_look_is_kept_when_time_or_entities_have_grown(
    bench: Bench, *, age_ms: int, enrolled: int, kept: bool
) -> None:
    """Looks are as dense as a picture can show, and none is kept for nothing."""
    bench.engine.count(1_000)
    assert [(100_000, 1_000)] == bench.at(100_000)
    bench.engine.count(enrolled)
    # Another process, because this one would not even read before one percent of the age has passed.
    bench.restarted()

    assert kept == (bench.at(age_ms) == [(100_000, 1_000), (age_ms, enrolled)])


def test_what_came_too_soon_is_kept_later(bench: Bench) -> None:
    """The end of a burst is seen although nothing comes after it."""
    bench.engine.count(1_000)
    bench.at(100_000)
    bench.engine.count(1_001)
    bench.restarted()
    bench.at(100_500)

    assert [(100_000, 1_000), (102_000, 1_001)] == bench.at(102_000)


def test_a_quiet_experiment_is_not_read(bench: Bench) -> None:
    """Ten thousand experiments that nobody asks for must cost nothing."""
    bench.engine.count(10)
    bench.at(1_000)
    readings = bench.engine.readings
    for age_ms in range(2_000, 1_000_000, 1_000):
        bench.at(age_ms)

    assert readings == bench.engine.readings


def test_a_busy_one_is_read_once_in_one_percent_of_its_age(bench: Bench) -> None:
    """A tally costs milliseconds, and a month of traffic is read for a picture only."""
    for age_ms in range(1_000_000, 1_100_000, 250):
        bench.engine.count(age_ms)
        bench.at(age_ms)

    assert 9 <= bench.engine.readings <= 11


def test_the_end_is_kept_whatever_has_grown(bench: Bench) -> None:
    """What is final must stay what everyone sees."""
    bench.engine.count(1_000)
    bench.at(100_000)
    bench.engine.count(1_001)
    stopped = bench.at(100_010, NONE)
    bench.engine.count(1_002)

    assert [(100_000, 1_000), (100_010, 1_001)] == stopped
    assert stopped == bench.at(900_000, NONE)


def test_an_end_that_was_missed_is_kept_once(bench: Bench) -> None:
    """The process died between the end and the last look, or the iteration was shorter than a round."""
    bench.engine.count(1_000)
    bench.at(100_000, NONE)
    bench.looks.end(EXP)
    bench.clock.now_ms += 1_000
    bench.looks.end(EXP)

    assert [(100_000, 1_000)] == bench.at(200_000, NONE)


def test_an_end_that_is_asked_for_before_the_round_is_kept_once(bench: Bench) -> None:
    """Whoever asks right after the stop, and the round after it, see the same end."""
    bench.engine.count(1_000)
    bench.at(100_000)
    bench.engine.count(1_001)
    bench.clock.now_ms += 10
    bench.looks.end(EXP)

    assert [(100_000, 1_000), (100_010, 1_001)] == bench.at(103_000)
    assert [(100_000, 1_000), (100_010, 1_001)] == bench.at(200_000, NONE)


def test_an_end_that_could_not_be_kept_is_tried_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when nothing else is due."""
    bench.engine.count(1_000)
    bench.at(100_000)
    bench.engine.count(1_001)
    with monkeypatch.context() as patch:
        patch.setattr(bench.history, "add", _refuse)
        with pytest.raises(CatalogUnavailableError):
            bench.at(100_010, NONE)

    assert NONE is not bench.looks._counting  # noqa: SLF001  # what makes the task look again
    assert [(100_000, 1_000), (100_020, 1_001)] == bench.at(100_020, NONE)


def _refuse(_looks: object) -> None:
    raise CatalogUnavailableError


def test_an_end_without_news_is_not_kept_again(bench: Bench) -> None:
    """Two equal points say nothing."""
    bench.engine.count(1_000)
    kept = bench.at(100_000)
    bench.engine.position += 1

    assert kept == bench.at(200_000, NONE)


def test_a_new_process_goes_on(bench: Bench) -> None:
    """A restart must not look again at what was seen."""
    bench.engine.count(1_000)
    kept = bench.at(100_000)
    bench.restarted()

    assert kept == bench.at(200_000)
    bench.engine.count(2_000)
    assert [*kept, (300_000, 2_000)] == bench.at(300_000)


def test_a_round_does_not_take_all_at_once(bench: Bench) -> None:
    """After a start everything is due, and a shutdown waits for the round under way."""
    many = {Iteration("default", f"e{number}", 1): BEGAN_MS for number in range(1_000)}
    bench.engine.count(5)
    readings = []
    for _ in range(5):
        bench.at(100_000, many)
        readings.append(bench.engine.readings)

    assert [256, 512, 768, 1_000, 1_000] == readings


async def test_it_looks_by_itself_until_it_is_closed(bench: Bench) -> None:
    """The server starts it once and waits for it at the end."""
    bench.engine.count(7)
    bench.looks.start()
    await _until(lambda: bool(bench.history.looks(EXP)))
    await bench.looks.close()

    assert [7] == [each.enrolled for each in bench.history.looks(EXP)]


async def test_a_disk_that_refuses_is_tried_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A full disk must neither end the task nor lose what was read."""
    keep, failures = bench.history.add, [CatalogUnavailableError()]

    def add(looks: object) -> None:
        if failures:
            raise failures.pop()
        keep(looks)  # type: ignore[arg-type]

    monkeypatch.setattr(bench.history, "add", add)
    monkeypatch.setattr("klero.rpc.looks._PAUSE_S", 0.001)
    bench.engine.count(7)
    bench.looks.start()
    await _until(lambda: "the history of results lacks a look" in caplog.text)
    bench.clock.now_ms += 1_000
    await _until(lambda: bool(bench.history.looks(EXP)))
    await bench.looks.close()

    assert [7] == [each.enrolled for each in bench.history.looks(EXP)]


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110  # nobody tells: what is looked at knows nothing of tests
            await asyncio.sleep(0.001)
