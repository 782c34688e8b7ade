"""Checkpoints on the disk, and the thread that writes them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from klero.journal.checkpointer import Checkpointer
from klero.journal.checkpoints import Checkpoints
from tests.journal.fake_engine import FakeEngine

if TYPE_CHECKING:
    from pathlib import Path

WAIT_S = 10


def names(path: Path) -> list[str]:
    """Files there."""
    return sorted(file.name for file in path.iterdir())


def test_the_two_newest_of_each_part_are_kept(tmp_path: Path) -> None:
    """One that the disk damages has another behind it."""
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    assert ([[], []], 0) == (checkpoints.read(2), checkpoints.last_position())
    for position in (5, 9, 10, 100):
        checkpoints.write(0, position, b"%d" % position)
    checkpoints.write(1, 9, b"other")

    assert ["0-10.ckpt", "0-100.ckpt", "1-9.ckpt"] == names(tmp_path / "checkpoints")
    assert [[b"100", b"10"], [b"other"]] == checkpoints.read(2)
    assert 100 == checkpoints.last_position()


def test_rotations_that_are_cut_short_leave_a_whole_set(tmp_path: Path) -> None:
    """Shards rest on a ledger that is not ahead of them; kills in a row must not take the last one away."""
    checkpoints = Checkpoints(tmp_path)
    for part in (0, 1, 2):
        checkpoints.write(part, 10 + part, b"whole")
    for position in (20, 30, 40):
        checkpoints.write(0, position, b"cut short")
    checkpoints.write(1, 41, b"cut short")

    assert ["0-10.ckpt", "0-30.ckpt", "0-40.ckpt", "1-11.ckpt", "1-41.ckpt", "2-12.ckpt"] == names(tmp_path)
    checkpoints.write(2, 42, b"whole again")
    checkpoints.write(0, 50, b"next")
    assert ["0-40.ckpt", "0-50.ckpt"] == names(tmp_path)[:2]


def test_a_file_is_never_changed(tmp_path: Path) -> None:
    """A position has one state; what is there is on the disk already."""
    checkpoints = Checkpoints(tmp_path)
    checkpoints.write(0, 5, b"first")
    checkpoints.write(0, 5, b"second")

    assert [[b"first"]] == checkpoints.read(1)


def test_what_a_crash_left_is_no_checkpoint(tmp_path: Path) -> None:
    """Half a state must not be taken for a whole one."""
    (tmp_path / "0-7.ckpt.unfinished").write_bytes(b"ha")
    (tmp_path / "notes.txt").touch()
    checkpoints = Checkpoints(tmp_path)
    assert ([[]], 0) == (checkpoints.read(1), checkpoints.last_position())

    checkpoints.remove_unfinished()
    assert ["notes.txt"] == names(tmp_path)


def test_a_file_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    """The one behind it is older, and good."""
    checkpoints = Checkpoints(tmp_path)
    checkpoints.write(0, 5, b"older")
    (tmp_path / "0-6.ckpt").mkdir()

    assert [[b"older"]] == checkpoints.read(1)


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    """A full disk takes no checkpoint away."""
    checkpoints = Checkpoints(tmp_path)
    checkpoints.write(0, 5, b"older")
    (tmp_path / "0-6.ckpt.unfinished").mkdir()

    with pytest.raises(OSError, match="0-6"):
        checkpoints.write(0, 6, b"newer")
    assert [[b"older"]] == checkpoints.read(1)


def until_made(engine: FakeEngine) -> None:
    """Wait for the last part of a rotation."""
    assert engine.made.wait(WAIT_S)
    engine.made.clear()


def test_a_rotation_is_due_by_frames_or_by_bytes(tmp_path: Path) -> None:
    """A restart replays no more than that."""
    engine = FakeEngine(position=7)
    checkpointer = Checkpointer(engine.engine, Checkpoints(tmp_path), rotation_bytes=1000, rotation_frames=3)
    checkpointer.start()
    for _ in range(2):
        checkpointer.folded(10)
    assert not engine.made.wait(0.05)
    checkpointer.folded(10)
    until_made(engine)
    engine.position = 8
    checkpointer.folded(1000)
    until_made(engine)
    checkpointer.close()

    assert [0, 1, 0, 1] == engine.asked
    assert ["0-7.ckpt", "0-8.ckpt", "1-7.ckpt", "1-8.ckpt"] == names(tmp_path)


def test_the_end_writes_what_has_come(tmp_path: Path) -> None:
    """A clean restart replays nothing; one after nothing writes nothing."""
    engine = FakeEngine(position=7)
    checkpointer = Checkpointer(engine.engine, Checkpoints(tmp_path))
    checkpointer.start()
    checkpointer.folded(10)
    checkpointer.close()
    assert [0, 1] == engine.asked

    idle = Checkpointer(engine.engine, Checkpoints(tmp_path))
    idle.start()
    idle.close()
    assert [0, 1] == engine.asked


def test_one_that_was_never_started_can_be_closed(tmp_path: Path) -> None:
    """A server that stops while it still reads has nothing to keep."""
    engine = FakeEngine(position=7)
    checkpointer = Checkpointer(engine.engine, Checkpoints(tmp_path))
    checkpointer.folded(10)
    checkpointer.close()

    assert [] == engine.asked


def test_a_disk_that_refuses_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Checkpoints save time; serving does not need them."""
    path = tmp_path / "checkpoints"
    path.touch()
    engine = FakeEngine(position=7)
    checkpointer = Checkpointer(engine.engine, Checkpoints(path), rotation_frames=1)
    checkpointer.start()
    checkpointer.folded(10)
    refused = threading.Event()
    while "cannot be written" not in caplog.text and not refused.wait(0.01):
        pass
    path.unlink()
    checkpointer.folded(10)
    checkpointer.close()

    assert ["0-7.ckpt", "1-7.ckpt"] == names(path)
