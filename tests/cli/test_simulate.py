"""What a definition would do is what it does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from klero.cli import main
from klero.cli.simulating import as_running, simulate
from klero.definition import parse
from klero.v1.decision_pb2 import Context
from tests import oracle

if TYPE_CHECKING:
    from pathlib import Path

DEFINITION = """\
id: {id}
type: ab_test
entityType: user
hashing: {{salt: {salt}}}
control: {{id: a, weight: 20}}
variants:
  - {{id: b, weight: 80}}
config: {{trafficPercentage: {traffic}, rampUpPeriod: 3d}}
"""
NOW_MS = 1_800_000_000_000


def written(directory: Path, *, salt: str = "s", traffic: int = 50, name: str = "exp") -> str:
    """A file with a definition."""
    path = directory / f"{name}.yaml"
    path.write_text(DEFINITION.format(id=name, salt=salt, traffic=traffic), encoding="utf-8")
    return str(path)


def simulated(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """What `klero simulate --json` prints."""
    assert main(["simulate", *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_counts_are_those_of_the_oracle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A share that is seen before the start is the share after it."""
    path = written(tmp_path)
    running = as_running(parse((tmp_path / "exp.yaml").read_text(encoding="utf-8"), source_name="exp.yaml"))
    decisions = [oracle.decide(running, Context(entity_id=f"entity-{number}"), NOW_MS) for number in range(2000)]
    (found,) = simulated(capsys, path, "--entities", "2000")["experiments"]

    for variant in found["variants"]:
        expected = sum(each.enrolled and each.variant_id == variant["id"] for each in decisions)
        assert (variant["id"], expected) == (variant["id"], variant["entities"])
    assert {"not_in_traffic": 2000 - found["enrolled"]} == found["notEnrolled"]
    assert found["sampleRatioPValue"] > 0.001


def test_one_salt_is_seen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two experiments that spread alike confound each other, which nobody sees in either alone."""
    first = written(tmp_path, name="one")
    same = written(tmp_path, name="two")
    other = written(tmp_path, name="three", salt="t")
    overlaps = simulated(capsys, first, same, other, "--entities", "20000")["overlaps"]
    by_ids = {tuple(each["ids"]): each for each in overlaps}

    assert by_ids["one", "two"]["association"] == pytest.approx(1)
    assert by_ids["one", "two"]["both"] == pytest.approx(2 * by_ids["one", "two"]["expected"], rel=0.05)
    assert by_ids["one", "three"]["association"] < 0.05
    assert by_ids["one", "three"]["both"] == pytest.approx(by_ids["one", "three"]["expected"], rel=0.1)


def test_ids_that_are_not_unique_are_seen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An id column that names a country splits whole countries."""
    ids = tmp_path / "ids.txt"
    ids.write_text("DE\nFR\n" * 1000, encoding="utf-8")

    assert main(["simulate", written(tmp_path, traffic=100), "--ids", str(ids)]) == 0
    assert "the split is not as configured: ids that are not unique?" in capsys.readouterr().out


def test_what_is_wrong_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With its place, before anything is decided."""
    path = written(tmp_path, traffic=200)

    assert main(["simulate", path]) == 1
    assert f"{path}:8:10: config.trafficPercentage: 200 must be from 0 to 100" in capsys.readouterr().err


def test_of_nobody_there_is_nothing_to_test() -> None:
    """A weight of 0 and a traffic of 0 are definitions too."""
    definition = parse(DEFINITION.format(id="exp", salt="s", traffic=0), source_name="exp.yaml")
    (found,), overlaps = simulate([as_running(definition)], ["a", "b"], now_ms=NOW_MS)

    assert (0, None, []) == (found.enrolled, found.p_value, overlaps)
