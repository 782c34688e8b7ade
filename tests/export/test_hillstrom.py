"""A real experiment out of the server again: what it counted follows from the files alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from klero import lifecycle
from klero.cli import main
from klero.v1.experiment_service_pb2 import GetExperimentRequest
from tests.export.recompute import Counted, Iteration, Place, Spread, recompute
from tests.rpc.calls import connected
from tests.server_process import running_server

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = Path(__file__).parents[2] / "examples"
EXPERIMENT = "hillstrom-email"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data directory of a server that has imported the experiment."""
    return tmp_path_factory.mktemp("hillstrom")


@pytest.fixture(scope="module")
def address(data_dir: Path) -> Iterator[str]:
    """Address of that server."""
    with pytest.MonkeyPatch.context() as patch, running_server(data_dir) as server:
        patch.setenv("KLERO_ADDRESS", server.address)
        assert 0 == main(["apply", "-f", str(EXAMPLES / "hillstrom.yaml")])
        assert 0 == main(["start", EXPERIMENT])
        assert 0 == main(["import", EXPERIMENT, str(EXAMPLES / "data" / "hillstrom.csv.gz"), "--variant", "segment"])
        yield server.address


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_the_files_have_all_that_was_counted(
    address: str,
    data_dir: Path,
    file_format: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whoever trusts no results computes them again, in whatever reads tables."""
    export = ["export", "--data-dir", str(data_dir), "--output", str(tmp_path), "--format", file_format]
    assert 0 == main([*export, "--json"])
    position = json.loads(capsys.readouterr().out)["position"]
    with connected(address) as client:
        definition = client.experiments.GetExperiment(GetExperimentRequest(id=EXPERIMENT)).experiment
        results = client.results(definition, position=position)
    started, *_ = lifecycle.lacking(definition, None)

    expected = {
        Place("", "", 1, variant_id, metric, "live"): Counted(
            events=found.events,
            # The moments of a conversion say how many entities it happened to.
            nonzero=round(found.moments.n * found.moments.means[0]) if metric != "spend" else -1,
            all=Spread(found.moments.n, list(found.moments.means), list(found.moments.comoments)),
        )
        for variant_id, variant in results.variant_results.items()
        for metric, found in variant.metric_results.items()
    }
    recomputed = recompute(tmp_path, file_format, Iteration(EXPERIMENT, 1, started.started))
    for place, counted in recomputed.items():
        if place.metric == "spend":
            counted.nonzero = -1

    assert 9 == len(expected)
    assert expected.keys() == recomputed.keys()
    assert [] == [place for place, counted in expected.items() if not counted.agrees(recomputed[place])]
    assert 64_000 == sum(found.all.n for place, found in recomputed.items() if place.metric == "visit")
