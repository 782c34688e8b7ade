"""Whether a journal is whole, and what is lost if it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from klero.journal.checking import JournalReport, report
from klero.journal.frames import Unreadable
from klero.journal.lost import Lost, described, without
from klero.journal.sqlite import SqliteJournal
from tests.journal.made import START_MS, execute, frame, journal_of, page_with, spoil_page

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Bodies that fill a page and more each, so that a page belongs to one frame.
LONG = 40_000


def look(path: Path, known_until: int = 0) -> JournalReport:
    """Check the journal at `path`."""
    with SqliteJournal(path, read_only=True) as journal:
        return report(journal.frames(), accepted=journal.accepted(), known_until=known_until)


def ranges(found: JournalReport) -> list[str]:
    """Lost positions and why."""
    return [f"{lost}: {lost.why}" for lost in found.lost]


def test_a_whole_journal_is_described(tmp_path: Path) -> None:
    """Operators see what they have."""
    path = journal_of(tmp_path / "journal.db", [frame(1, frame_format=1), frame(2), frame(3)])
    found = look(path)

    assert found.whole
    assert (3, 1, 3, 3, 6, (1, 2)) == (
        found.frames, found.first, found.last, found.exposures, found.outcomes, found.formats,
    )  # fmt: skip
    assert sum(len(frame(position).body) for position in (1, 2, 3)) == found.body_bytes


def test_an_empty_journal_is_whole(tmp_path: Path) -> None:
    """A new installation has nothing to lose."""
    found = look(journal_of(tmp_path / "journal.db", []))

    assert found.whole
    assert (0, 0, 0) == (found.frames, found.first, found.last)


@pytest.mark.parametrize(
    ("statement", "lost"),
    [
        ("DELETE FROM frame WHERE position = 1", ["1: missing"]),
        ("DELETE FROM frame WHERE position IN (2, 3, 6)", ["2-3: missing", "6: missing"]),
        ("UPDATE frame SET body = x'00' WHERE position = 4", ["4: checksum does not match"]),
        ("UPDATE frame SET body = x'00' WHERE position >= 7", ["7-8: checksum does not match"]),
        ("UPDATE frame SET crc = crc + 1 WHERE position IN (1, 8)", ["1: checksum does not match"] * 2),
        ("UPDATE frame SET body = x'00'", ["1-8: checksum does not match"]),
    ],
)
def test_what_is_lost_is_named(tmp_path: Path, statement: str, lost: list[str]) -> None:
    """Whoever decides to go on without must know without what."""
    path = journal_of(tmp_path / "journal.db", map(frame, range(1, 9)))
    execute(path, statement)
    found = look(path)

    assert not found.whole
    assert [entry.partition(": ")[2] for entry in lost] == [entry.partition(": ")[2] for entry in ranges(found)]
    if len(set(lost)) == len(lost):
        assert lost == ranges(found)
    else:
        assert [1, 8] == [entry.first for entry in found.lost]


@pytest.mark.parametrize("position", [1, 4, 8])
def test_frames_outside_of_a_damaged_page_are_kept(tmp_path: Path, position: int) -> None:
    """A bad sector costs what is on it and nothing else."""
    frames = [frame(number, padding=LONG) for number in range(1, 9)]
    path = journal_of(tmp_path / "journal.db", frames)
    # The end of a body lies on a page of that frame alone.
    spoil_page(path, page_with(path, frames[position - 1].body[-20:]))
    found = look(path)

    assert [position] == [lost.first for lost in found.lost]
    assert (position, 7) == (found.lost[0].last, found.frames)


def test_frames_beside_a_damaged_leaf_are_kept(tmp_path: Path) -> None:
    """A page that SQLite cannot read at all holds the rows of some frames only."""
    frames = [frame(number, padding=1000) for number in range(1, 201)]
    path = journal_of(tmp_path / "journal.db", frames)
    spoil_page(path, page_with(path, frames[99].body))
    found = look(path)

    (lost,) = found.lost
    assert lost.last is not None
    assert lost.first <= 100 <= lost.last
    assert 200 - found.frames == lost.last - lost.first + 1
    assert found.frames > 180


def test_a_damaged_last_page_loses_an_unknown_end(tmp_path: Path) -> None:
    """Nobody can say how many frames were on it, so nobody claims to."""
    frames = [frame(number, padding=1000) for number in range(1, 101)]
    path = journal_of(tmp_path / "journal.db", frames)
    spoil_page(path, page_with(path, frames[99].body))
    found = look(path)

    (lost,) = found.lost
    assert (found.frames + 1, None) == (lost.first, lost.last)
    assert f"{lost.first} and all behind" == str(lost)


def test_a_tail_that_a_checkpoint_knows_of_is_missed(tmp_path: Path) -> None:
    """A file that was put back from an older backup looks whole by itself."""
    path = journal_of(tmp_path / "journal.db", [frame(1), frame(2)])

    assert look(path, known_until=2).whole
    assert ["3-5: missing"] == ranges(look(path, known_until=5))


def test_accepted_losses_are_not_complained_of_again(tmp_path: Path) -> None:
    """An operator decides once."""
    path = tmp_path / "journal.db"
    with SqliteJournal(path) as journal:
        journal.accept([Lost(2, 3, "missing")], [frame(1), frame(4), frame(6)])
    found = look(path)

    assert ((Lost(2, 3, "missing"),), ["5: missing"]) == (found.accepted, ranges(found))


def test_a_damaged_list_of_losses_makes_them_show_again(tmp_path: Path) -> None:
    """Better told twice than never."""
    path = tmp_path / "journal.db"
    with SqliteJournal(path) as journal:
        journal.accept([Lost(2, 2, "a reason")], [frame(1), frame(3)])
    spoil_page(path, page_with(path, b"a reason"))

    assert ["2: missing"] == ranges(look(path))


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda: frame(2, frame_format=3), "its format is 3, this version reads 1 to 2"),
        (lambda: frame(2, time_ms=START_MS), f"its time {START_MS} lies before {START_MS + 1} of a frame before it"),
    ],
)
def test_a_whole_frame_that_cannot_be_is_named(tmp_path: Path, spoil: Callable[[], object], why: str) -> None:
    """Another program wrote it, or a newer one; it is not lost, and cannot be accepted as such."""
    path = journal_of(tmp_path / "journal.db", [frame(1), spoil()])  # type: ignore[list-item]  # frames
    found = look(path)

    assert not found.whole
    assert () == found.lost
    assert [(2, why)] == [(fault.position, fault.why) for fault in found.faults]


def test_a_position_on_a_damaged_page_is_not_believed() -> None:
    """Garbage must not make billions of positions lost."""
    found = report([frame(1), Unreadable(1 << 50, open_end=False, why="garbage"), frame(3)], accepted=())

    assert ["2: garbage"] == ranges(found)
    found = report([frame(1), Unreadable(1 << 50, open_end=False, why="garbage")], accepted=())
    assert ["2: garbage"] == ranges(found)


@pytest.mark.parametrize(
    ("accepted", "left"),
    [
        ([], ["4-8"]),
        ([(1, 3), (9, 12)], ["4-8"]),
        ([(4, 8)], []),
        ([(1, 20)], []),
        ([(4, 5)], ["6-8"]),
        ([(8, 8)], ["4-7"]),
        ([(5, 5), (7, 7)], ["4", "6", "8"]),
    ],
)
def test_known_positions_are_taken_out(accepted: list[tuple[int, int]], left: list[str]) -> None:
    """What is new among what is lost."""
    known = [Lost(first, last, "") for first, last in accepted]

    assert left == [str(lost) for lost in without(Lost(4, 8, ""), known)]


def test_an_unknown_end_stays_unknown() -> None:
    """Accepted positions before it are still taken out."""
    assert ["4 and all behind"] == [str(lost) for lost in without(Lost(4, None, ""), [Lost(1, 3, "")])]
    assert ["4", "7 and all behind"] == [str(lost) for lost in without(Lost(4, None, ""), [Lost(5, 6, "")])]


def test_many_ranges_do_not_fill_the_screen() -> None:
    """The first ones say where to look."""
    text = described(Lost(2 * number, 2 * number, "missing") for number in range(1, 101))

    assert text.startswith("2 (missing), 4 (missing), ")
    assert text.endswith("40 (missing) and 80 more ranges")
