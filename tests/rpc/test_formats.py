"""A data directory that the version before this one wrote: format 1 of the journal."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from klero.v1.decision_pb2 import Outcome
from klero.v1.experiment_pb2 import ExperimentStatus
from klero.v1.experiment_service_pb2 import GetExperimentRequest
from tests.rpc.calls import connected
from tests.server_process import running_server

OLD = Path(__file__).parents[1] / "journal" / "format_1"
# What that version answered: per experiment, variant and metric entities, value and co-moments.
EXPECTED: dict[str, dict[str, dict[str, tuple[int, float, list[float]]]]] = json.loads(
    (OLD / "results.json").read_text(encoding="utf-8")
)


def test_an_upgrade_keeps_every_number(tmp_path: Path) -> None:
    """Who installs a new version over a running experiment goes on with it."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    for name in ("catalog.db", "journal.db"):
        shutil.copy(OLD / name, data / name)

    with running_server(data) as server, connected(server.address) as client:
        for experiment_id, variants in EXPECTED.items():
            experiment = client.experiments.GetExperiment(GetExperimentRequest(id=experiment_id)).experiment
            found = client.results(experiment).variant_results
            for variant_id, metrics in variants.items():
                for metric, (entities, value, comoments) in metrics.items():
                    result = found[variant_id].metric_results[metric]
                    assert entities == result.sample_size
                    assert value == pytest.approx(result.value, rel=1e-12)
                    assert comoments == pytest.approx(list(result.moments.comoments), rel=1e-12)
        running = client.experiments.GetExperiment(GetExperimentRequest(id="old-live")).experiment
        assert ExperimentStatus.EXPERIMENT_STATUS_RUNNING == running.status
        assert client.record("default", Outcome(entity_id="user-1", event="ok")).accepted == 1
        assert server.stop() == 0, server.log()
    # The journal has frames of both formats now.
    with running_server(data) as server, connected(server.address) as client:
        assert sum(one.enrolled for one in client.results(running).variant_results.values()) == 30  # see results.json
