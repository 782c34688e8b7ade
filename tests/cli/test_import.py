"""Finished data into an experiment, through Record like everything else."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import json
import math
import re
import zlib
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from pyarrow import parquet
from scipy import stats

from klero.cli.import_cells import as_number, as_time_ns

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
        "holes.csv:3: column `spend`: `oops` is no finite number",
        "holes.csv:4: column `arm`: `nobody` is no variant",
        "holes.csv:5: 5 cells, the header has 4",
        "holes.csv:6: entity id has 300 bytes, at most 256 are allowed",
        "holes.csv:7: column `visit`: `nan` is no finite number",
    ):
        assert said in problems


@pytest.mark.parametrize(
    ("content", "arguments", "said"),
    [
        (b"who,arm\na,mens\n", ["--variant", "nowhere"], "f.csv: no column `nowhere`, the columns are who, arm"),
        (b"who,Segment\na,mens\n", ["--variant", "segmnt"], "did you mean `Segment`? the columns are who, Segment"),
        (b"", ["--variant", "arm"], "f.csv: the file is empty, its first line must be a header"),
        (b"\n", ["--variant", "arm"], "f.csv: the file is empty"),
        (b"arm,arm\nmens,mens\n", ["--variant", "arm"], "f.csv: the header has the column `arm` 2 times"),
        (
            b"who,arm\na,mens\n\xff,mens\n",
            ["--variant", "arm", "--event", "visit=who"],
            "f.csv:3: the byte 0xff is not utf-8: save the file as UTF-8, or give --encoding",
        ),
        (b"who,arm\n", ["--variant", "arm", "--encoding", "utf-9"], "--encoding `utf-9` is not known"),
        ("who,arm\n".encode("utf-16"), ["--variant", "arm"], "f.csv: UTF-16 is not read"),
        (
            b'who,arm\na,"mens\n' + b"b,mens\n" * 30_000,
            ["--variant", "arm", "--event", "visit=who"],
            "f.csv:2: a cell has more than 131072 characters: is a quote not closed?",
        ),
    ],
)
def test_a_file_that_cannot_be_imported_says_why(
    klero: Klero, tmp_path: Path, content: bytes, arguments: list[str], said: str
) -> None:
    """One sentence with the line, and never a traceback."""
    identifier = f"unreadable-{zlib.crc32(said.encode())}"
    started(klero, tmp_path, identifier)
    path = tmp_path / "f.csv"
    path.write_bytes(content)
    done = klero("import", identifier, str(path), *arguments)

    assert 1 == done.code
    assert said in done.errors


def test_lines_are_counted_as_an_editor_counts_them(klero: Klero, tmp_path: Path) -> None:
    """Cells have line breaks in them, and people leave lines empty."""
    started(klero, tmp_path, "lines")
    path = tmp_path / "f.csv"
    path.write_bytes(b'who,arm\n"a\nb",mens\n\nc,nobody\n"d\n",mens,1\n')
    done = klero("import", "lines", str(path), "--variant", "arm", "--event", "visit=who", "--dry-run")

    assert f"{path}:2: column `who`: `a\nb` is no finite number" in done.errors
    assert f"{path}:5: column `arm`: `nobody` is no variant" in done.errors
    assert f"{path}:6: 3 cells, the header has 2" in done.errors


@pytest.mark.parametrize("name", ["nowhere.csv", "nowhere.parquet", "broken.csv.gz", "broken.parquet"])
def test_what_is_no_such_file_says_so(klero: Klero, tmp_path: Path, name: str) -> None:
    """Names are mistyped, and downloads end early."""
    started(klero, tmp_path, f"missing-{name}")
    if name.startswith("broken"):
        (tmp_path / name).write_bytes(b"no such format")
    done = klero("import", f"missing-{name}", str(tmp_path / name), "--variant", "arm")

    assert 1 == done.code
    assert f"{name}: cannot be read: " in done.errors


ROWS = [("a\nb", "mens", 1, 2.5), ("c", "none", 0, None), ("ü", "womens", 1, 1e3), ("c", "mens", 1, 1.0)]


def csv_text(delimiter: str) -> str:
    """`ROWS` as CSV; the id of the first one has a line break in it."""
    lines = io.StringIO(newline="")
    writer = csv.writer(lines, delimiter=delimiter, lineterminator="\r\n")
    writer.writerows([("who", "arm", "visit", "spend", "when"), *[(*row, "2026-01-31T09:00:00Z") for row in ROWS]])
    return lines.getvalue()


def files(directory: Path) -> list[tuple[Path, list[str]]]:
    """The same rows in every form that is read, with the options for each."""
    plain, semicolons, tabs = (directory / name for name in ("plain.csv", "bom.csv", "latin.csv.gz"))
    plain.write_bytes(csv_text(",").encode())
    semicolons.write_bytes(csv_text(";").encode("utf-8-sig"))
    with gzip.open(tabs, "wb") as file:
        file.write(csv_text("\t").encode("latin-1"))
    table = directory / "rows.parquet"
    when = dt.datetime(2026, 1, 31, 9, tzinfo=dt.UTC)
    names = ("who", "arm", "visit", "spend")
    columns = dict(zip(names, map(list, zip(*ROWS, strict=True)), strict=True))
    parquet.write_table(pa.table({**columns, "when": [when] * len(ROWS)}), table)
    return [(plain, []), (semicolons, []), (tabs, ["--encoding", "latin-1"]), (table, [])]


def test_every_form_of_a_file_says_the_same(klero: Klero, tmp_path: Path) -> None:
    """Spreadsheets write semicolons and marks of byte order, warehouses write Parquet."""
    started(klero, tmp_path, "forms")
    columns = [
        "--variant",
        "arm",
        "--entity",
        "who",
        "--time",
        "when",
        "--event",
        "visit=visit",
        "--event",
        "spend=spend",
    ]
    expected = {
        "dryRun": True,
        "rows": 4,
        "entities": 3,
        "variants": {"none": 1, "womens": 1, "mens": 1},
        "outcomes": {"visit": 4, "spend": 3},
        "severalVariants": 1,
        "rejected": 0,
        "problems": [],
    }

    for path, options in files(tmp_path):
        done = klero("import", "forms", str(path), *columns, *options, "--dry-run", "--json")
        assert expected == json.loads(done.output), path
    shown = klero("import", "forms", str(tmp_path / "plain.csv"), *columns, "--dry-run").output
    assert "would import 4 rows into `forms`; a dry run, nothing was sent\n" in shown
    assert "  variants: none 1, womens 1, mens 1; from column `arm`\n" in shown
    assert "  event spend: 3 outcomes, from column `spend`, for spend\n" in shown
    assert 0 == json.loads(klero("results", "forms", "--json").output).get("progress", {}).get("enrolled", 0)


def test_the_same_rows_twice_count_once(klero: Klero, tmp_path: Path) -> None:
    """An import that was interrupted is simply run again."""
    started(klero, tmp_path, "twice-imported")
    path, _ = files(tmp_path)[0]
    arguments = ["import", "twice-imported", str(path), "--variant", "arm", "--entity", "who", "--event", "spend=spend"]
    found = []
    for _ in range(2):
        position = json.loads(klero(*arguments, "--json").output)["position"]
        results = klero("results", "twice-imported", "--view", "live", "--json", "--min-position", str(position)).output
        found.append(json.loads(results)["variantResults"])

    assert found[0] == found[1]
    assert 2.5 == found[0]["mens"]["metrics"]["spend"]


def test_an_interrupted_import_says_how_to_go_on(klero: Klero, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows otherwise whether half of it counts."""
    started(klero, tmp_path, "interrupted")

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("klero.client.batches.Sender.send", interrupt)
    path, _ = files(tmp_path)[0]
    done = klero("import", "interrupted", str(path), "--variant", "arm", "--event", "visit=visit")

    assert 130 == done.code
    assert "stopped after 4 rows; the same import again goes on, nothing counts twice\n" in done.errors


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("1,5", "`1,5` is no finite number, write decimals with a point and thousands without a comma"),
        ("1_000", "`1_000` is no finite number"),
        ("-inf", "`-inf` is no finite number"),
        ("1e999", "`1e999` is no finite number"),
        (b"1", "is no finite number"),
    ],
)
def test_what_is_no_number_is_refused(cell: object, said: str) -> None:
    """A value that is read wrongly is worse than one that is left out."""
    with pytest.raises(ValueError, match=re.escape(said)):
        as_number(cell)


@pytest.mark.parametrize(
    ("cell", "number"), [("", None), ("  ", None), (None, None), (" 1.5 ", 1.5), (Decimal("0.1"), 0.1), (True, 1.0)]
)
def test_what_is_a_number_is_read(cell: object, number: float | None) -> None:
    """An empty cell is no outcome."""
    assert number == as_number(cell)


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [
        ("2026-01-31T09:00:00Z", 1_769_850_000),
        ("2026-01-31T10:00:00+01:00", 1_769_850_000),
        ("2026-01-31 09:00:00", 1_769_850_000),
        ("2026-01-31", 1_769_817_600),
        (dt.date(2026, 1, 31), 1_769_817_600),
        (dt.datetime(1969, 12, 31, 23, 59, 59, tzinfo=dt.UTC), -1),
    ],
)
def test_times_without_an_offset_are_utc(cell: object, seconds: int) -> None:
    """As the help says."""
    assert seconds * 10**9 == as_time_ns(cell)
