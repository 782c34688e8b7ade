"""Finished data into an experiment, through Record like everything else."""

from __future__ import annotations

import csv
import gzip
import json
import math
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from scipy import stats

if TYPE_CHECKING:
    from tests.cli.conftest import Klero

DATA = Path(__file__).parents[2] / "examples" / "data" / "hillstrom.csv.gz"
LABELS = {"none": "No E-Mail", "womens": "Womens E-Mail", "mens": "Mens E-Mail"}
METRICS = ("visit", "conversion", "spend")
DEFINITION = """
id: {id}
type: ab_test
assignmentSource: external
control: {{id: none, name: No E-Mail}}
variants: [{{id: womens, name: Womens E-Mail}}, {{id: mens, name: Mens E-Mail}}]
metrics:
  - {{name: visit, type: conversion, goal: increase, primary: true}}
  - {{name: conversion, type: conversion, goal: increase}}
  - {{name: spend, type: continuous, goal: increase}}
analysisPlan: {{method: fixed_horizon, plannedSampleSize: 64000}}
"""


def started(klero: Klero, directory: Path, identifier: str) -> None:
    """An experiment that takes exposures of others."""
    path = directory / "definition.yaml"
    path.write_text(DEFINITION.format(id=identifier), encoding="utf-8")
    assert 0 == klero("apply", "-f", str(path)).code
    assert 0 == klero("start", identifier).code


def test_hillstrom_agrees_with_the_file_and_with_scipy(klero: Klero, tmp_path: Path) -> None:
    """Scientists recompute what they are shown: means to 1e-9, p-values to 1e-9 relative."""
    started(klero, tmp_path, "hillstrom")
    done = klero("import", "hillstrom", str(DATA), "--variant", "segment", "--json")
    report = json.loads(done.output)
    results = json.loads(klero("results", "hillstrom", "--json", "--min-position", str(report["position"])).output)
    rows: dict[str, list[list[float]]] = defaultdict(list)
    with gzip.open(DATA, "rt", encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            rows[row["segment"]].append([float(row[metric]) for metric in METRICS])
    columns = {variant: list(zip(*rows[label], strict=True)) for variant, label in LABELS.items()}

    assert (0, 64_000, 256_000, 0) == (done.code, report["rows"], report["accepted"], report["rejected"])
    for variant in LABELS:
        found = results["variantResults"][variant]
        assert len(rows[LABELS[variant]]) == found["sampleSize"]
        for metric, values in zip(METRICS, columns[variant], strict=True):
            assert math.isclose(math.fsum(values) / len(values), found["metrics"][metric], rel_tol=1e-9)
    for comparison in results["comparisons"]:
        index = METRICS.index(comparison["metric"])
        treated, control = columns[comparison["variantId"]][index], columns["none"][index]
        if comparison["metric"] == "spend":
            expected = stats.ttest_ind(treated, control, equal_var=False).pvalue
        else:
            table = [[sum(values), len(values) - sum(values)] for values in (treated, control)]
            expected = stats.chi2_contingency(table, correction=False).pvalue
        assert math.isclose(expected, comparison["result"]["pValue"], rel_tol=1e-9)
    assert 6 == len(results["comparisons"])


def test_bad_cells_are_named_and_the_others_kept(klero: Klero, tmp_path: Path) -> None:
    """Real files have holes; nobody wants to mend the first fault to learn of the second."""
    started(klero, tmp_path, "holes")
    path = tmp_path / "holes.csv"
    path.write_text(
        "who,arm,visit,spend\n"
        "a,mens,1,2.5\n"
        "b,Mens E-Mail,,oops\n"
        "c,nobody,1,1\n"
        "d,none,inf,1,9\n"
        f"{'e' * 300},none,1,0\n"
        "f,none,nan,\n",
        encoding="utf-8",
    )
    done = klero(
        "import",
        "holes",
        str(path),
        "--variant",
        "arm",
        "--entity",
        "who",
        "--event",
        "visit=visit",
        "--event",
        "spend=spend",
        "--json",
    )
    report = json.loads(done.output)

    assert 1 == done.code
    assert 6 == report["rows"]
    assert 5 == report["accepted"]  # the exposures of a, b and f, visit and spend of a
    problems = "\n".join(report["problems"])
    for said in (
        "row 2, column spend: `oops` is no finite number",
        "row 3, column arm: `nobody` is no variant",
        "row 4: 5 cells, the header has 4",
        "row 5: entity id has 300 bytes, at most 256 are allowed",
        "row 6, column visit: `nan` is no finite number",
    ):
        assert said in problems


@pytest.mark.parametrize(
    ("content", "arguments", "said"),
    [
        ("who,arm\na,mens\n", ["--variant", "nowhere"], "no column `nowhere`, only who, arm"),
        ("", ["--variant", "arm"], "no column `arm`, only an empty file"),
        (b"who,arm\n\xff,mens\n", ["--variant", "arm", "--event", "visit=who"], "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_imported_says_why(
    klero: Klero, tmp_path: Path, content: str | bytes, arguments: list[str], said: str
) -> None:
    """One sentence, and nothing half done."""
    started(klero, tmp_path, f"unreadable-{abs(hash(said))}")
    path = tmp_path / "file.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = klero("import", f"unreadable-{abs(hash(said))}", str(path), *arguments)

    assert 1 == done.code
    assert said in done.errors
