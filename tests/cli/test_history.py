"""How an estimate has developed, in the terminal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from klero.cli.history import spread
from klero.v1.results_pb2 import HistoryPoint

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Klero

DEFINITION = """
id: {id}
type: ab_test
assignmentSource: external
control: {{id: short}}
variants: [{{id: long}}]
metrics: [{{name: success, type: conversion, goal: increase, primary: true}}]
{more}
"""


def apply(klero: Klero, directory: Path, identifier: str, more: str = "") -> None:
    """Store a draft."""
    path = directory / f"{identifier}.yaml"
    path.write_text(DEFINITION.format(id=identifier, more=more), encoding="utf-8")
    assert 0 == klero("apply", "-f", str(path)).code


def started(klero: Klero, directory: Path, identifier: str, more: str = "") -> None:
    """Start with 300 entities a variant, of which `long` converts more."""
    apply(klero, directory, identifier, more)
    klero("start", identifier)
    rows = [f"{identifier}-{n},{'long' if n % 2 else 'short'},{int(n % 6 < 1 + n % 2 * 2)}" for n in range(600)]
    data = directory / "data.csv"
    data.write_text("entity_id,variant,success\n" + "\n".join(rows), encoding="utf-8")
    assert 0 == klero("import", identifier, str(data), "--variant", "variant", "--entity", "entity_id").code


def read(text: str) -> Any:  # noqa: ANN401  # JSON
    """JSON with numbers of twelve digits: a stop may add up in another order."""
    return json.loads(text, parse_float=lambda number: float(f"{float(number):.12g}"))


def test_the_present_is_the_last_row(klero: Klero, tmp_path: Path) -> None:
    """Who reads a history wants to know how it ends, and sees there what `results` says."""
    started(klero, tmp_path, "course")
    printed = klero("history", "course")
    plain = read(klero("history", "course", "--json").output)
    klero("stop", "course")
    ended = klero("history", "course")
    now = read(klero("results", "course", "--json").output)["comparisons"][0]["result"]

    assert (0, 0) == (printed.code, ended.code)
    assert ended.output.splitlines()[0].endswith("the last one is the end")
    lines = printed.output.splitlines()
    assert lines[0].startswith("success: ")
    assert lines[0].endswith("the last one is now")
    assert ["time", "(UTC)", "variant", "entities", "lift", "interval", "p"] == lines[1].split()
    assert ["long", "300", f"{100 * now['lift']:+.1f}"] == lines[-1].split()[:3]
    assert "\x1b" not in printed.output
    assert "success" == plain["metric"]
    assert now == plain["points"][-1]["comparisons"][0]["result"]


def test_a_fixed_horizon_is_not_right_at_each_look(klero: Klero, tmp_path: Path) -> None:
    """A row of such intervals invites to stop at the first that leaves 0 out."""
    started(klero, tmp_path, "planned", "analysisPlan: {method: fixed_horizon, plannedSampleSize: 600}")

    assert "right at the planned end only" in " ".join(klero("history", "planned").output.split())


def test_what_has_no_history_says_why(klero: Klero, tmp_path: Path) -> None:
    """The next step, or the name that was meant."""
    apply(klero, tmp_path, "idea")

    assert "`idea` was never started; `klero start idea` starts it\n" == klero("history", "idea").output
    assert "has no metric `sucess`" in klero("history", "idea", "--metric", "sucess").errors


@pytest.mark.parametrize(("points", "most", "expected"), [(3, 5, [0, 1, 2]), (256, 2, [0, 255]), (9, 3, [0, 4, 8])])
def test_rows_are_spread(points: int, most: int, expected: list[int]) -> None:
    """A screen has fewer lines than a history has looks."""
    found = spread([HistoryPoint(as_of=number) for number in range(points)], most)

    assert expected == [point.as_of for point in found]
