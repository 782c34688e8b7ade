"""Single rows that upstreams and forgetting bring about: what stays of them in counts and files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp

from klero import lifecycle
from klero.cli import main
from klero.v1.decision_pb2 import Exposure, Outcome
from klero.v1.decision_service_pb2 import RecordRequest
from klero.v1.experiment_pb2 import Snapshot
from tests.export.simulation import START_MS, Server, started_experiment

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from klero.storage.v1.tally_pb2 import MetricTally


def running(data_dir: Path) -> Server:
    """With the simulated experiment, nobody in it."""
    server, started = Server(data_dir), started_experiment()
    server.engine.load(Snapshot(experiments=[started]))
    opening, *_ = lifecycle.lacking(started, None)
    server.control(opening)
    return server


def exposed() -> RecordRequest:
    """An exposure at the start, so that whatever comes later happened after it."""
    exposure = Exposure(experiment_id="simulated", entity_id="u", variant_id="b", epoch=1)
    exposure.occurred_at.CopyFrom(Timestamp(seconds=START_MS // 1000))
    return RecordRequest(exposures=[exposure])


def spent(value: float, event_id: str = "", supersedes: str = "", variant_id: str = "") -> RecordRequest:
    """An outcome of the same entity."""
    outcome = Outcome(entity_id="u", event="spend", value=value, event_id=event_id, supersedes=supersedes)
    if variant_id:
        outcome.experiment_id, outcome.variant_id = "simulated", variant_id
    return RecordRequest(outcomes=[outcome])


def send(server: Server, *requests: RecordRequest) -> None:
    """A frame for each."""
    for request in requests:
        server.record(request, 2000)
        server.write()


def counted(server: Server) -> MetricTally:
    """What `spend` has of the only arm."""
    tally = server.engine.tally("default", "simulated", 1)
    assert tally is not None
    (arm,) = tally.arms
    return next(metric for metric in arm.metrics if metric.metric == "spend")


def test_what_was_forgotten_is_not_taken_back(tmp_path: Path) -> None:
    """A correction of an outcome that counts no more would take its value from those that do."""
    server = running(tmp_path)
    send(server, exposed(), spent(10, "x"))
    server.forget("u", 2000)
    server.write()
    send(server, exposed(), spent(1), spent(2, "y", "x"))

    assert (2, 3.0) == (counted(server).events, counted(server).live.moments.means[0])


def test_an_outcome_of_another_variant_is_not_taken_back(tmp_path: Path) -> None:
    """It never counted, so its correction is an outcome like any other."""
    server = running(tmp_path)
    send(server, exposed(), spent(10, "x", variant_id="a"), spent(1), spent(2, "y", "x"))

    assert (2, 3.0) == (counted(server).events, counted(server).live.moments.means[0])


def test_what_is_taken_back_leaves_nothing_behind(tmp_path: Path) -> None:
    """A remainder of rounding would make a spender of someone who spent nothing."""
    server = running(tmp_path)
    send(server, exposed(), spent(33.33, "x"), spent(0.1, "y", "x"), spent(0, "z", "y"))

    assert (1, 0) == (counted(server).events, counted(server).live.nonzero)


def test_rows_behind_the_forgetting_are_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also those of the same frame: they are counted."""
    server = running(tmp_path)
    server.record(exposed(), 2000)
    server.record(spent(10), 2000)
    server.forget("u", 2000)
    server.record(exposed(), 2000)
    server.write()
    server.journal.close()

    assert 0 == main(["export", "--data-dir", str(tmp_path), "--output", str(tmp_path / "out")])
    assert "exported 1 exposure and 0 outcomes" in capsys.readouterr().out
    assert 0 == counted(server).events
