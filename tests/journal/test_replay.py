"""From the disk to a tally."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from klero.errors import StartupError
from klero.journal.checkpoints import Checkpoints
from klero.journal.replay import replay
from klero.journal.sqlite import SqliteJournal
from tests.journal.fake_engine import FakeEngine
from tests.journal.made import execute, frame, journal_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal with six frames."""
    return journal_of(tmp_path / "journal.db", map(frame, range(1, 7)))


def replayed(engine: FakeEngine, path: Path, *, cancelled_after: int = 1000) -> tuple[bool, list[int]]:
    """Replay into `engine`; whether it got to the end, and the lengths it told."""
    folded: list[int] = []
    with SqliteJournal(path) as journal:
        done = replay(
            engine.engine,
            journal,
            Checkpoints(path.parent / "checkpoints"),
            folded=folded.append,
            cancelled=lambda: len(engine.replayed) >= cancelled_after,
        )
    return done, folded


def test_every_frame_is_folded_in_order(path: Path) -> None:
    """Without checkpoints the journal says all."""
    engine = FakeEngine()
    done, folded = replayed(engine, path)

    assert (True, [1, 2, 3, 4, 5, 6]) == (done, engine.replayed)
    assert [len(frame(position).body) for position in range(1, 7)] == folded
    assert [[], []] == engine.parts


def test_only_what_no_checkpoint_has_is_folded(path: Path) -> None:
    """A restart takes as long as what came since the last rotation."""
    checkpoints = Checkpoints(path.parent / "checkpoints")
    checkpoints.write(0, 4, b"newer")
    checkpoints.write(0, 3, b"older")
    checkpoints.write(1, 5, b"other")
    engine = FakeEngine(restored=4)
    done, _ = replayed(engine, path)

    assert (True, [5, 6]) == (done, engine.replayed)
    assert [[b"newer", b"older"], [b"other"]] == engine.parts


def test_checkpoints_that_cannot_be_used_are_said(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A restart that takes long has its reason in the log."""
    assert replayed(FakeEngine(unusable=("part 1: checksum",)), path)[0]

    assert "a checkpoint cannot be used, its frames are folded again: part 1: checksum" in caplog.text


def test_it_can_be_given_up(path: Path) -> None:
    """A stop does not wait for a long journal."""
    engine = FakeEngine()
    done, _ = replayed(engine, path, cancelled_after=2)

    assert (False, [1, 2]) == (done, engine.replayed)


def test_damage_is_named_whole_and_ends_it(path: Path) -> None:
    """Results without some of the outcomes would be believed; one message names all that is lost."""
    execute(path, "DELETE FROM frame WHERE position IN (3, 4)")
    execute(path, "UPDATE frame SET body = x'00' WHERE position = 6")
    engine = FakeEngine()

    with pytest.raises(StartupError) as caught:
        replayed(engine, path)
    assert str(caught.value) == (
        "journal frames 3-4 (missing), 6 (checksum does not match) cannot be read; `klero serve --accept-loss` goes on "
        "without, and keeps the damaged file"
    )
    assert [1, 2] == engine.replayed


def test_damage_before_a_checkpoint_is_found_too(path: Path) -> None:
    """The export and a start without checkpoints would lack it; better known while a backup is there."""
    execute(path, "UPDATE frame SET body = x'00' WHERE position = 2")

    with pytest.raises(StartupError, match=r"journal frame 2 \(checksum does not match\) cannot be read"):
        replayed(FakeEngine(restored=6), path)


def test_a_checkpoint_behind_the_end_is_a_loss(path: Path) -> None:
    """The journal was put back from an older backup."""
    Checkpoints(path.parent / "checkpoints").write(0, 8, b"newer")

    with pytest.raises(StartupError, match=r"journal frames 7-8 \(missing\) cannot be read"):
        replayed(FakeEngine(), path)


def test_a_frame_that_cannot_be_folded_is_no_loss(path: Path) -> None:
    """It is whole: another version wrote it, and accepting its loss would throw it away."""
    with pytest.raises(StartupError, match=r"^journal frame 3 cannot be read: it cannot be$"):
        replayed(FakeEngine(bad_at=3), path)


def test_positions_of_accepted_losses_are_passed_over(path: Path) -> None:
    """An operator decides once."""
    execute(path, "DELETE FROM frame WHERE position IN (3, 4)")
    execute(path, "INSERT INTO lost VALUES (3, 4, 'missing')")
    engine = FakeEngine()

    assert replayed(engine, path)[0]
    assert [1, 2, 5, 6] == engine.replayed
