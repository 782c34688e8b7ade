"""Looks in the catalog's file: what is kept, what goes, and who else writes there."""

from __future__ import annotations

import itertools
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from klero.catalog.history import MOST, History, Iteration, Look, least_missed
from klero.catalog.sqlite import SqliteCatalog
from klero.errors import CatalogUnavailableError, StartupError
from klero.v1.events_pb2 import AuditEntry
from klero.v1.experiment_pb2 import Experiment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FIRST = Iteration("default", "exp", 1)
YEAR_MS = 365 * 86_400_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An empty catalog."""
    SqliteCatalog(tmp_path / "catalog.db").close()
    return tmp_path / "catalog.db"


@pytest.fixture
def history(path: Path) -> Iterator[History]:
    """Looks in that catalog."""
    with closing(History(path)) as history:
        yield history


def look(at_ms: int, enrolled: int = 1) -> Look:
    """A look whose tally is its time."""
    return Look(at_ms, enrolled, str(at_ms).encode())


def test_looks_come_back_oldest_first_each_with_its_iteration(history: History) -> None:
    """A picture of one iteration must not show points of another, nor of the same id elsewhere."""
    others = [Iteration("default", "exp", 2), Iteration("default", "exp2", 1), Iteration("other", "exp", 1)]
    history.add([(FIRST, look(30)), (FIRST, look(10)), *((other, look(20)) for other in others)])

    assert [look(10), look(30)] == history.looks(FIRST)
    assert look(30) == history.last(FIRST)
    assert [[look(20)]] * 3 == [history.looks(other) for other in others]
    assert (None, []) == (history.last(Iteration("default", "exp", 3)), history.looks(Iteration("x", "exp", 1)))


def test_looks_outlive_the_process(path: Path) -> None:
    """A history of weeks is longer than any process; nothing is closed when it is killed."""
    killed = History(path)
    killed.add([(FIRST, look(10))])

    with closing(History(path)) as history:
        assert [look(10)] == history.looks(FIRST)
    killed.close()


def test_all_or_none(history: History) -> None:
    """A round that failed is repeated as a whole."""
    unfit = Look(20, 1, b"")
    object.__setattr__(unfit, "enrolled", None)

    with pytest.raises(CatalogUnavailableError):
        history.add([(FIRST, look(10)), (FIRST, unfit)])
    assert [] == history.looks(FIRST)


def test_the_catalog_is_written_beside_it(path: Path, history: History) -> None:
    """Looks are no changes: revisions, definitions and the trail stay as they are, and both can write."""
    with closing(SqliteCatalog(path)) as catalog:
        for number in range(3):
            history.add([(FIRST, look(number + 1))])
            catalog.create(Experiment(id=f"e{number}", namespace="default"), AuditEntry(namespace="default"))
        assert 3 == catalog.snapshot().revision
    assert 3 == len(history.looks(FIRST))
    with closing(SqliteCatalog(path)) as catalog:
        assert 3 == catalog.snapshot().revision


def test_a_file_that_is_no_catalog_is_refused(tmp_path: Path) -> None:
    """The server says at its start what it cannot open."""
    (tmp_path / "catalog.db").write_bytes(b"no database at all" * 100)

    with pytest.raises(StartupError, match=r"catalog\.db cannot be opened"):
        History(tmp_path / "catalog.db")


def test_a_failing_disk_is_an_error_of_ours(path: Path, history: History) -> None:
    """Callers are told to come back, not that Klero broke."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP TABLE look")

    with pytest.raises(CatalogUnavailableError):
        history.looks(FIRST)


def test_of_many_looks_most_are_kept_with_the_first_and_the_last(history: History) -> None:
    """The answer has at most 256 points, and begins where the iteration did."""
    added = [look(1_000 * (number + 1), number + 1) for number in range(MOST + 40)]
    for each in added:
        history.add([(FIRST, each)])
    kept = history.looks(FIRST)

    assert MOST == len(kept)
    assert (added[0], added[-1]) == (kept[0], kept[-1])
    assert set(kept) <= set(added)


@pytest.mark.parametrize(
    ("seconds", "entities", "index"),
    [
        ([0, 100, 110, 120, 200], [0, 10, 11, 12, 20], 2),
        ([0, 50, 100, 190, 195, 200], [0, 5, 10, 19, 20, 21], 4),
        ([0, 1, 2, 100, 200, 300], [0, 1, 2, 100, 200, 300], 1),
        ([0, 100, 200, 300, 400], [0, 0, 0, 0, 100], 2),
        ([0, 100, 200], [0, 100, 0], 1),
        ([0, 0, 0], [0, 0, 0], 1),
    ],
)
def test_the_least_missed_look_has_the_closest_neighbours(seconds: list[int], entities: list[int], index: int) -> None:
    """Never the first or the last one, wherever they crowd, and whatever is equal."""
    points = [(1_000 * at, count) for at, count in zip(seconds, entities, strict=True)]

    assert index == least_missed(points)


def kept_of(points: Iterator[tuple[int, int]]) -> list[tuple[int, int]]:
    """What is left of points that come one after the other."""
    kept: list[tuple[int, int]] = []
    for point in points:
        kept.append(point)
        if len(kept) > MOST:
            del kept[least_missed(kept)]
    return kept


def a_year() -> Iterator[tuple[int, int]]:
    """Time and entities of looks at an even flow, each when the time since the start has grown by 1 %."""
    at_ms = 250
    while at_ms < YEAR_MS:
        yield at_ms, at_ms // 1_000
        at_ms += max(250, at_ms // 100)


def test_after_a_year_every_scale_still_has_its_points() -> None:
    """Whether a picture has days, entities or orders of magnitude below it, no stretch is empty."""
    kept = kept_of(a_year())
    days = [at_ms / YEAR_MS for at_ms, _ in kept]
    orders = [next(index for index in range(20) if at_ms < 4**index * 250) for at_ms, _ in kept]

    assert MOST == len(kept)
    assert max(later - earlier for earlier, later in itertools.pairwise(days)) < 0.025
    assert set(range(1, max(orders) + 1)) == set(orders)


def test_a_burst_after_a_quiet_time_is_seen() -> None:
    """Most entities may come in the last hour of a month: its course is what people ask for."""
    quiet = [(1_000 * number, number) for number in range(1, 2_000)]
    burst = [(YEAR_MS + 1_000 * number, 2_000 + 100 * number) for number in range(1, 2_000)]
    kept = kept_of(iter(quiet + burst))

    assert len([point for point in kept if point[0] > YEAR_MS]) > MOST // 4
    assert (quiet[0], burst[-1]) == (kept[0], kept[-1])
