"""Going on without lost frames."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from klero.journal.checking import report
from klero.journal.lost import Lost
from klero.journal.repair import accept_loss
from klero.journal.sqlite import SqliteJournal
from tests.journal.made import execute, frame, journal_of, page_with, spoil_page

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2027, 1, 31, 9, 5, 7, tzinfo=UTC)


def accepted(path: Path, known_until: int = 0) -> list[str]:
    """Accept what is lost; its positions."""
    return [str(lost) for lost in accept_loss(path, known_until=known_until, now=NOW)]


def positions(path: Path) -> list[int]:
    """Of the frames in a whole journal."""
    with SqliteJournal(path) as journal:
        assert report(journal.frames(), accepted=journal.accepted()).whole
        return [found.position for found in journal.frames()]


def test_a_whole_journal_stays_as_it_is(tmp_path: Path) -> None:
    """The option may stand in a unit file for ever."""
    path = journal_of(tmp_path / "journal.db", [frame(1), frame(2)])
    before = path.read_bytes()

    assert [] == accepted(path) == accepted(tmp_path / "missing.db")
    assert before == path.read_bytes()
    assert [path] == list(tmp_path.glob("*.db*"))


def test_whole_frames_keep_their_positions_and_the_damaged_file_is_kept(tmp_path: Path) -> None:
    """Experts may get more out of it than this did."""
    path = journal_of(tmp_path / "journal.db", map(frame, range(1, 7)))
    execute(path, "DELETE FROM frame WHERE position = 2")
    execute(path, "UPDATE frame SET body = x'00' WHERE position IN (5, 6)")
    before = path.read_bytes()

    assert ["2", "5-6"] == accepted(path)
    assert [1, 3, 4] == positions(path)
    assert before == (tmp_path / "journal.db.damaged-20270131T090507Z").read_bytes()
    assert not list(tmp_path.glob("*.fresh*"))


def test_losses_add_up_and_are_asked_for_once(tmp_path: Path) -> None:
    """A second bad sector does not bring the first one back into question."""
    path = journal_of(tmp_path / "journal.db", map(frame, range(1, 7)))
    execute(path, "DELETE FROM frame WHERE position = 2")
    assert ["2"] == accepted(path)
    execute(path, "DELETE FROM frame WHERE position = 4")

    assert ["4"] == [str(lost) for lost in accept_loss(path, known_until=0, now=NOW.replace(year=2028))]
    assert [] == accepted(path)
    with SqliteJournal(path) as journal:
        assert [Lost(2, 2, "missing"), Lost(4, 4, "missing")] == journal.accepted()


def test_a_lost_end_is_left_behind(tmp_path: Path) -> None:
    """Nobody knows which positions were told to callers, so none of them comes again."""
    frames = [frame(number, padding=1000) for number in range(1, 101)]
    path = journal_of(tmp_path / "journal.db", frames)
    spoil_page(path, page_with(path, frames[99].body))

    (lost,) = accept_loss(path, known_until=0, now=NOW)
    assert lost.last is not None
    kept = positions(path)
    assert kept == list(range(1, lost.first))
    with SqliteJournal(path) as journal:
        assert lost.last == journal.end() > 1_000_000


@pytest.mark.parametrize("padding", [0, 1000, 16_300, 40_000])
def test_frames_below_a_damaged_root_are_kept(tmp_path: Path, padding: int) -> None:
    """One bad sector at the top of the tree hides every frame and harms none."""
    frames = [frame(number, padding=padding + number) for number in range(1, 401)]
    path = journal_of(tmp_path / "journal.db", frames)
    spoil_page(path, 2)
    (lost,) = accept_loss(path, known_until=0, now=NOW)

    assert (401, 400 + (1 << 20)) == (lost.first, lost.last)
    with SqliteJournal(path) as journal:
        assert frames == list(journal.frames())


def test_a_tail_that_a_checkpoint_knows_of_is_left_behind(tmp_path: Path) -> None:
    """The next frame must not get a position that the checkpoint has counted."""
    path = journal_of(tmp_path / "journal.db", [frame(1)])

    assert ["2-5"] == accepted(path, known_until=5)
    with SqliteJournal(path) as journal:
        assert 5 == journal.end()


def test_what_an_earlier_try_left_is_in_nobodys_way(tmp_path: Path) -> None:
    """A crash in the middle is followed by another try."""
    path = journal_of(tmp_path / "journal.db", [frame(1), frame(3)])
    (tmp_path / "journal.db.fresh").write_bytes(b"half a file")

    assert ["2"] == accepted(path)
    assert [1, 3] == positions(path)


def test_a_reader_that_keeps_part_in_the_log_is_named(tmp_path: Path) -> None:
    """What SQLite still has in its log must be in the file that is kept."""
    path = journal_of(tmp_path / "journal.db", [frame(1), frame(2)])
    with SqliteJournal(path) as writer, SqliteJournal(path, read_only=True) as reader:
        writer._database.execute("PRAGMA busy_timeout = 0")  # noqa: SLF001  # a test should not wait
        writer.append(frame(3))
        reading = reader.frames()
        next(reading)
        writer.append(frame(4))

        with pytest.raises(sqlite3.OperationalError, match="another process reads it"):
            writer.merge_log()
        assert 2 == len(list(reading))
        writer.merge_log()
    assert [1, 2, 3, 4] == positions(path)
