"""Bytes that change on the disk: what is lost is named, everything else counts."""

from __future__ import annotations

import shutil
import uuid
import zlib
from typing import TYPE_CHECKING

import pytest

from klero.journal.frames import StoredFrame
from klero.journal.sqlite import PAGE_BYTES, SqliteJournal
from klero.storage.v1.journal_pb2 import Batch, JournalEntry, JournalFrame, OutcomeColumns
from klero.v1.decision_pb2 import DecisionReason
from klero.v1.experiment_service_pb2 import GetExperimentStatusRequest
from klero.v1.results_pb2 import HealthState
from tests.durability.recording import assert_each_counts_once, record, start
from tests.rpc.calls import connected, external
from tests.rpc.sender import assert_counted_once
from tests.server_process import FREE_PORT, running_server, start_failure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from klero.v1.decision_service_pb2 import RecordRequest

# Enough for two pages.
BATCHES = 120
_ACCEPT_LOSS = """
import sys
from pathlib import Path
from klero.rpc.server import serve
from klero.settings import Settings
settings = Settings(Path(sys.argv[1]), sys.argv[2], accept_loss=True)
serve(settings, ready=lambda address: print(address, flush=True))
"""


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[RecordRequest]]:
    """A data directory with checkpoints, and the batches in it."""
    data_dir = tmp_path_factory.mktemp("stopped") / "data"
    with running_server(data_dir) as server, connected(server.address) as client:
        start(client)
        sent = record(client, BATCHES)
        assert server.stop() == 0, server.log()
    return data_dir, sent


@pytest.fixture
def data_dir(stopped: tuple[Path, list[RecordRequest]], tmp_path: Path) -> Path:
    """A copy to damage."""
    return shutil.copytree(stopped[0], tmp_path / "data")


@pytest.fixture
def sent(stopped: tuple[Path, list[RecordRequest]]) -> list[RecordRequest]:
    """The batches in it, all acknowledged."""
    return stopped[1]


def entity_of(request: RecordRequest) -> bytes:
    """Bytes that only the frame of this batch has."""
    return request.outcomes[0].entity_id.encode() * len(request.outcomes)


def flip(path: Path, offset: int) -> None:
    """Change one byte."""
    content = bytearray(path.read_bytes())
    content[offset] ^= 0xFF
    path.write_bytes(content)


def flip_in_frame(journal: Path, request: RecordRequest) -> None:
    """Change a byte in the middle of a frame's body."""
    flip(journal, journal.read_bytes().index(entity_of(request)))


def flip_in_page(journal: Path, request: RecordRequest) -> None:
    """Change the byte that says what kind of page it is that has the frame."""
    flip(journal, journal.read_bytes().index(entity_of(request)) // PAGE_BYTES * PAGE_BYTES)


@pytest.mark.parametrize("damage", [flip_in_frame, flip_in_page])
@pytest.mark.parametrize("with_checkpoints", [True, False])
def test_a_damaged_journal_is_named_and_can_be_left_behind(
    data_dir: Path,
    sent: list[RecordRequest],
    damage: Callable[[Path, RecordRequest], None],
    with_checkpoints: bool,  # noqa: FBT001  # pytest gives it by name
) -> None:
    """Without leave it is not served; with it, what clients send again fills the gap, and nothing counts twice."""
    damage(data_dir / "journal.db", sent[-1])
    if not with_checkpoints:
        shutil.rmtree(data_dir / "checkpoints")

    code, said = start_failure(data_dir, FREE_PORT)
    assert code != 0
    assert "cannot be read; `klero serve --accept-loss` goes on without" in said

    with running_server(data_dir, code=_ACCEPT_LOSS) as server, connected(server.address) as client:
        assert_each_counts_once(client, sent)
        assert server.stop() == 0, server.log()
        assert "the damaged file is kept beside it" in server.log()
    assert list(data_dir.glob("journal.db.damaged-*"))


def test_a_start_that_was_lost_is_told_again(data_dir: Path, sent: list[RecordRequest]) -> None:
    """Decisions and new outcomes do not wait for what cannot be brought back."""
    flip_in_page(data_dir / "journal.db", sent[0])
    shutil.rmtree(data_dir / "checkpoints")

    with running_server(data_dir, code=_ACCEPT_LOSS) as server, connected(server.address) as client:
        assert client.assign(external("default", "inside"), "u").reason == DecisionReason.DECISION_REASON_SPLIT
        before = client.results(external("default")).progress.enrolled
        record(client, 10)
        assert before + 10 == client.results(external("default")).progress.enrolled
        assert server.stop() == 0, server.log()


def cut(path: Path) -> None:
    """Leave half of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def flip_in_the_middle(path: Path) -> None:
    """Change one byte of a file."""
    flip(path, path.stat().st_size // 2)


@pytest.mark.parametrize("damage", [cut, flip_in_the_middle])
@pytest.mark.parametrize("part", ["0", "7"])
def test_a_damaged_checkpoint_is_passed_over(
    data_dir: Path, sent: list[RecordRequest], damage: Callable[[Path], None], part: str
) -> None:
    """The journal has everything that a checkpoint has."""
    files = list((data_dir / "checkpoints").glob(f"{part}-*.ckpt"))
    assert files
    for path in files:
        damage(path)

    with running_server(data_dir) as server, connected(server.address) as client:
        assert_counted_once(client, BATCHES)
        assert_each_counts_once(client, sent)
        assert server.stop() == 0, server.log()
        assert "a checkpoint cannot be used" in server.log()


def test_an_entry_that_cannot_be_folded_is_shown_and_the_rest_counts(data_dir: Path, sent: list[RecordRequest]) -> None:
    """One bad record must neither stop the journal nor vanish in silence."""
    # One without a kind, and one whose columns do not fit each other.
    entries = [JournalEntry(), JournalEntry(batch=Batch(outcomes=OutcomeColumns(events=["cost"], event=[0, 0])))]
    with SqliteJournal(data_dir / "journal.db") as journal:
        position, time_ms = journal.end() + 1, journal.last_time_ms()
        body = JournalFrame(
            format=2, incarnation=uuid.uuid4().bytes, sequence=1, time_ms=time_ms, entries=entries
        ).SerializeToString()
        journal.append(
            StoredFrame(position=position, time_ms=time_ms, exposures=0, outcomes=2, crc=zlib.crc32(body), body=body)
        )

    with running_server(data_dir) as server, connected(server.address) as client:
        assert_each_counts_once(client, sent + record(client, 10))
        inside = client.assign(external("default", "inside"), "u")
        status = client.experiments.GetExperimentStatus(GetExperimentStatusRequest(id="exp"))
        health = {check.name: check for check in client.results(external("default")).health}
        assert server.stop() == 0, server.log()

    assert inside.reason == DecisionReason.DECISION_REASON_SPLIT
    assert 2 == {counter.name: counter.value for counter in status.counters}["quarantined"]
    assert health["journal"].state == HealthState.HEALTH_STATE_WARNING
    assert f"entry 1 at position {position}" in health["journal"].message
