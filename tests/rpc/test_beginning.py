"""A server whose journal is still being read, and one whose journal is damaged."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import grpc

from klero.data_directory import DataDirectory
from klero.journal.checkpoints import Checkpoints
from klero.v1.decision_pb2 import DecisionReason
from klero.v1.experiment_service_pb2 import (
    ForgetEntityRequest,
    GetExperimentRequest,
    GetExperimentResultsRequest,
    GetExperimentStatusRequest,
    StopExperimentRequest,
)
from tests.rpc.calls import TIMEOUT_S, Client, ab_test, connected, external, refused
from tests.rpc.sender import assert_counted_once, batch
from tests.server_process import FREE_PORT, running_server, start_failure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.server_process import ServerProcess

# Reading waits until the test makes a file.
SLOW_REPLAY = """
import time
from pathlib import Path
import klero.rpc.beginning as beginning
read = beginning.replay
def slow(engine, journal, checkpoints, *, folded, cancelled):
    while not Path({go!r}).exists() and not cancelled():
        time.sleep(0.01)
    return read(engine, journal, checkpoints, folded=folded, cancelled=cancelled)
beginning.replay = slow
"""
_ACCEPT = """
import sys
from pathlib import Path
from klero.rpc.server import serve
from klero.settings import Settings
serve(Settings(Path(sys.argv[1]), sys.argv[2], accept_loss=True), ready=lambda address: print(address, flush=True))
"""
BATCHES = 5


def filled(data_dir: Path) -> None:
    """Run a server once: an external experiment with batches, and one to assign."""
    with running_server(data_dir) as server, connected(server.address) as client:
        client.start(external("default"))
        client.start(ab_test("default", "inside"))
        for _ in range(BATCHES):
            client.decisions.Record(batch(), timeout=TIMEOUT_S)
        assert server.stop() == 0


@contextmanager
def reading(tmp_path: Path) -> Iterator[tuple[ServerProcess, Client]]:
    """A filled server that is ready and does not get on with its journal before `go` is called."""
    filled(tmp_path / "data")
    before = SLOW_REPLAY.format(go=str(tmp_path / "go"))
    with running_server(tmp_path / "data", before=before) as server, connected(server.address) as client:
        yield server, client


def go(tmp_path: Path) -> None:
    """Let the journal be read."""
    (tmp_path / "go").touch()


def test_decisions_do_not_wait_for_the_journal(tmp_path: Path) -> None:
    """Agents decide the moment a server is back, and what they do is measured from the first one on."""
    with reading(tmp_path) as (server, client):
        inside = client.experiments.GetExperiment(GetExperimentRequest(id="inside"), timeout=TIMEOUT_S).experiment
        assert client.assign(inside, "early").reason == DecisionReason.DECISION_REASON_SPLIT
        held = refused(client.decisions.Record, batch())
        assert (grpc.StatusCode.UNAVAILABLE, "JOURNAL_UNAVAILABLE", True) == (held.code, held.reason, held.may_retry)
        for call, request in (
            (client.experiments.GetExperimentResults, GetExperimentResultsRequest(id="exp")),
            (client.experiments.GetExperimentStatus, GetExperimentStatusRequest(id="exp")),
        ):
            behind = refused(call, request)
            assert (grpc.StatusCode.UNAVAILABLE, "RESULTS_BEHIND", True) == (
                behind.code, behind.reason, behind.may_retry,
            )  # fmt: skip
            assert "0" == behind.metadata["as_of"]
        stopping = client.experiments.StopExperiment.future(StopExperimentRequest(id="inside"), timeout=TIMEOUT_S)
        forgetting = client.experiments.ForgetEntity.future(ForgetEntityRequest(entity_id="x"), timeout=TIMEOUT_S)
        assert not stopping.done()

        go(tmp_path)

        assert stopping.result().experiment.id == "inside"
        assert forgetting.result().position > BATCHES
        assert_counted_once(client, BATCHES)
        assert 1 == sum(arm.enrolled for arm in client.results(inside).variant_results.values())
        assert server.stop() == 0


def test_a_stop_does_not_wait_for_the_journal(tmp_path: Path) -> None:
    """An operator who started the wrong thing gets rid of it at once, and loses nothing."""
    with reading(tmp_path) as (server, client):
        waiting = client.experiments.StopExperiment.future(StopExperimentRequest(id="exp"), timeout=TIMEOUT_S)
        assert server.stop() == 0
        assert waiting.code() == grpc.StatusCode.UNAVAILABLE
        assert "Traceback" not in server.log()
    with running_server(tmp_path / "data") as server, connected(server.address) as client:
        assert_counted_once(client, BATCHES)


def test_a_clean_stop_leaves_checkpoints(tmp_path: Path) -> None:
    """The next start replays nothing."""
    filled(tmp_path / "data")
    with closing(sqlite3.connect(tmp_path / "data" / "journal.db")) as database:
        (last,) = database.execute("SELECT max(position) FROM frame").fetchone()

    assert last == Checkpoints(DataDirectory(tmp_path / "data").checkpoints).last_position()


def test_a_damaged_journal_is_served_once_its_loss_is_accepted(tmp_path: Path) -> None:
    """The operator decides, once, and everything outside of the damage still counts once."""
    filled(tmp_path / "data")
    with closing(sqlite3.connect(tmp_path / "data" / "journal.db", isolation_level=None)) as database:
        database.execute("UPDATE frame SET body = x'00' WHERE position = 4")
        database.execute("DELETE FROM frame WHERE position = 6")

    code, said = start_failure(tmp_path / "data", FREE_PORT)
    assert code != 0
    assert "journal frames 4 (checksum does not match), 6 (missing) cannot be read; `klero serve --accept-loss`" in said

    with running_server(tmp_path / "data", code=_ACCEPT) as server, connected(server.address) as client:
        assert "the journal goes on without frames 4 (checksum does not match), 6 (missing)" in server.log()
        assert client.decisions.Record(batch(), timeout=TIMEOUT_S).position > BATCHES
        assert server.stop() == 0
    assert 1 == len(list((tmp_path / "data").glob("journal.db.damaged-*")))
    for again in (_ACCEPT, None):
        with running_server(tmp_path / "data", **({"code": again} if again else {})) as server:
            assert "goes on without" not in server.log()
            assert server.stop() == 0


def test_what_a_checkpoint_has_counted_of_a_lost_frame_stays_counted(tmp_path: Path) -> None:
    """It was whole when it was counted; accepting a loss must not lose more than the disk did."""
    filled(tmp_path / "data")
    with closing(sqlite3.connect(tmp_path / "data" / "journal.db", isolation_level=None)) as database:
        database.execute("DELETE FROM frame WHERE position = 4")

    with running_server(tmp_path / "data", code=_ACCEPT) as server, connected(server.address) as client:
        assert_counted_once(client, BATCHES)
        assert server.stop() == 0


def test_a_full_disk_is_refused_before_it_refuses(tmp_path: Path) -> None:
    """Nothing has to be restarted once there is room again."""
    before = """
import klero.journal.space as space
from pathlib import Path
space.free_and_total = lambda path: (int(Path({free!r}).read_text()), 1 << 30)
space.SpaceGuard.__init__.__kwdefaults__["space"] = space.free_and_total
"""
    free = tmp_path / "free"
    free.write_text("0")
    before = before.format(free=str(free))
    with running_server(tmp_path / "data", before=before) as server, connected(server.address) as client:
        running = client.start(ab_test("default"))
        held = refused(client.decisions.Record, batch())
        assert (grpc.StatusCode.UNAVAILABLE, "JOURNAL_UNAVAILABLE", True) == (held.code, held.reason, held.may_retry)
        assert client.assign(running, "u").reason == DecisionReason.DECISION_REASON_SPLIT
        assert "Record is refused" in server.log()

        free.write_text(str(1 << 29))
        deadline = time.monotonic() + TIMEOUT_S
        while "Record is taken again" not in server.log() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert client.decisions.Record(batch(), timeout=TIMEOUT_S).accepted > 0
        assert server.stop() == 0
