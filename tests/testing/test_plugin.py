"""The fixtures, as a project that installs Klero finds them."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = """
def test_fake(klero_client):
    klero_client.fix("prompt", "stepwise")
    assert klero_client.get_variant("prompt", "a") == "stepwise"


def test_each_test_has_its_own(klero_client):
    assert klero_client.get_variant("prompt", "a", default="none") == "none"


def test_server(klero_server):
    klero_server.start({
        "id": "real", "type": "ab_test", "entityType": "run", "control": {"id": "a"}, "variants": [{"id": "b"}],
        "metrics": [{"name": "success", "type": "conversion", "goal": "increase", "primary": True}],
    })
    with klero_server.client() as client:
        with client.run("r1"):
            variant = client.get_variant("real")
    assert [(row.entity_id, row.variant_id) for row in klero_server.exposures()] == [("r1", variant)]
    assert {row.event for row in klero_server.outcomes()} == {"success", "duration_s"}
"""
LOADED = "import sys, klero.testing.plugin; print([n for n in ('grpc', 'google.protobuf') if n in sys.modules])"


def test_fixtures(tmp_path: Path) -> None:
    """Tests of agents need a line of set-up at most."""
    (tmp_path / "test_agent.py").write_text(TESTS, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", *_plugin(), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_the_plugin_is_declared_and_loads_nothing() -> None:
    """It is loaded in every project of whoever has Klero installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)

    assert {"klero": "klero.testing.plugin"} == project["entry-points"]["pytest11"]
    assert "[]\n" == done.stdout


def _plugin() -> list[str]:
    """By name only where the installed package does not declare it itself."""
    declared = {point.value for point in entry_points(group="pytest11")}
    return [] if "klero.testing.plugin" in declared else ["-p", "klero.testing.plugin"]
