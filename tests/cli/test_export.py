"""Everything that was recorded, as tables."""

from __future__ import annotations

import csv
import json
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from klero.cli.exporting import EXPOSURE_COLUMNS, OUTCOME_COLUMNS
from klero.cli.row_files import RowFile, RowFileError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Klero

DEFINITION = """
id: {id}
type: ab_test
control: {{id: short}}
variants: [{{id: long}}]
metrics: [{{name: success, type: conversion, goal: increase, primary: true}}]
"""
COLUMNS = {"id": int, "name": str, "value": float, "good": bool}
ROWS = [(1, 'a,"b"\nc', 0.1, True), (2, "ü", -1e300, False)]  # fmt: skip


@pytest.fixture
def recorded(klero: Klero, tmp_path: Path) -> str:
    """An experiment with two entities and their outcomes; its id."""
    identifier = f"exported-{tmp_path.name.replace('_', '-')}"
    (tmp_path / "exp.yaml").write_text(DEFINITION.format(id=identifier), encoding="utf-8")
    assert 0 == klero("apply", "-f", str(tmp_path / "exp.yaml")).code
    assert 0 == klero("start", identifier).code
    assert 0 == klero("assign", identifier, f"{identifier}-1", f"{identifier}-2").code
    assert 0 == klero("record", f"{identifier}-1", "success").code
    assert 0 == klero("record", f"{identifier}-other", "cost", "2.5").code
    return identifier


def read(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_everything_is_exported_beside_the_server(
    klero: Klero, shared_data_dir: Path, recorded: str, tmp_path: Path
) -> None:
    """Whoever trusts no results computes them again."""
    done = klero("export", "--data-dir", str(shared_data_dir), "--output", str(tmp_path / "out"), "--json")
    assert 0 == done.code, done.errors
    exposures, outcomes = read(tmp_path / "out" / "exposures.csv"), read(tmp_path / "out" / "outcomes.csv")
    of_ours = [row for row in exposures if row["experiment_id"] == recorded]

    assert list(EXPOSURE_COLUMNS) == list(exposures[0])
    assert list(OUTCOME_COLUMNS) == list(outcomes[0])
    assert {f"{recorded}-1", f"{recorded}-2"} == {row["entity_id"] for row in of_ours}
    assert {"first"} == {row["status"] for row in of_ours}
    assert all(int(row["journal_time_ms"]) >= int(row["occurred_at_ms"]) for row in of_ours)
    assert "2.5" == next(row["value"] for row in outcomes if row["entity_id"] == f"{recorded}-other")
    report = json.loads(done.output)
    assert (len(exposures), len(outcomes)) == (report["exposures"], report["outcomes"])
    assert max(int(row["position"]) for row in outcomes) <= report["position"]


def test_one_experiment_is_exported_with_its_entities(
    klero: Klero, shared_data_dir: Path, recorded: str, tmp_path: Path
) -> None:
    """Its own rows are enough to compute its results again."""
    done = klero(
        "export", "--data-dir", str(shared_data_dir), "--output", str(tmp_path / "out"), "--experiment", recorded
    )

    assert done.output.startswith("exported 2 exposures and 1 outcome up to journal position ")
    assert {recorded} == {row["experiment_id"] for row in read(tmp_path / "out" / "exposures.csv")}
    assert [f"{recorded}-1"] == [row["entity_id"] for row in read(tmp_path / "out" / "outcomes.csv")]


def test_one_namespace_is_exported(klero: Klero, shared_data_dir: Path, recorded: str, tmp_path: Path) -> None:
    """Teams hand out their own data."""
    assert recorded
    assert 0 == klero("record", "run-1", "success", "--namespace", "other").code
    arguments = ("export", "--data-dir", str(shared_data_dir), "--output", str(tmp_path / "out"))
    done = klero(*arguments, "--namespace", "other")

    assert 0 == done.code, done.errors
    assert [] == read(tmp_path / "out" / "exposures.csv")
    assert {"other"} == {row["namespace"] for row in read(tmp_path / "out" / "outcomes.csv")}


def test_parquet_has_the_same_rows(klero: Klero, shared_data_dir: Path, recorded: str, tmp_path: Path) -> None:
    """Warehouses read it with its types."""
    for file_format in ("csv", "parquet"):
        done = klero(
            "export", "--data-dir", str(shared_data_dir), "--output", str(tmp_path), "--format", file_format,
            "--experiment", recorded,
        )  # fmt: skip
        assert 0 == done.code, done.errors
    for name in ("exposures", "outcomes"):
        found = [rows(tmp_path / f"{name}.{file_format}") for file_format in ("csv", "parquet")]
        assert found[0] == found[1]
        assert found[0]


def test_a_forgotten_entity_is_not_exported(klero: Klero, shared_data_dir: Path, recorded: str, tmp_path: Path) -> None:
    """What a person asked to be erased must not come out of a file again."""
    gone = klero("forget", f"{recorded}-1", "--reason", "asked to")
    assert 0 == gone.code, gone.errors
    assert f"forgot `{recorded}-1`; results from journal position " in gone.output
    arguments = ("export", "--data-dir", str(shared_data_dir), "--output", str(tmp_path), "--experiment", recorded)
    assert 0 == klero(*arguments).code

    assert [f"{recorded}-2"] == [row["entity_id"] for row in read(tmp_path / "exposures.csv")]
    assert [] == read(tmp_path / "outcomes.csv")


def test_an_entity_id_that_cannot_be_is_refused(klero: Klero) -> None:
    """A mistake must not look like something erased."""
    done = klero("forget", "x" * 257)

    assert 1 == done.code
    assert "entityId: 257 bytes, must have 1 to 256" in done.errors


def test_a_directory_without_data_is_named(klero: Klero, tmp_path: Path) -> None:
    """Nothing is made there, and no empty table looks like a result."""
    done = klero("export", "--data-dir", str(tmp_path / "nowhere"), "--output", str(tmp_path / "out"))

    assert 1 == done.code
    assert f"error: catalog {tmp_path}/nowhere/catalog.db cannot be opened" in done.errors
    assert not (tmp_path / "out").exists()


def rows(path: Path) -> list[tuple[Any, ...]]:
    """Rows of a file as another program reads them."""
    query = f"SELECT * FROM '{path}'"  # noqa: S608  # a file of this test
    with duckdb.connect() as database:
        found = database.execute(query).fetchall()
    # CSV cannot tell an empty text from none.
    return [tuple("" if cell is None else cell for cell in row) for row in found]


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_rows_come_back_from_files(tmp_path: Path, file_format: str) -> None:
    """Quotes, line feeds, other alphabets, large numbers."""
    path = tmp_path / f"rows.{file_format}"
    with RowFile(path, COLUMNS, file_format=file_format) as file:
        file.write(ROWS[:1])
        file.write([])
        file.write(ROWS[1:])

    assert ROWS == rows(path)
    assert [path] == list(tmp_path.iterdir())
    assert 2 == file.rows


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_a_file_that_was_not_finished_is_not_there(tmp_path: Path, file_format: str) -> None:
    """Half a table looks like a whole one; the one of yesterday stays."""
    path = tmp_path / "rows"
    path.write_text("yesterday", encoding="utf-8")
    with suppress(KeyError), RowFile(path, COLUMNS, file_format=file_format) as file:
        file.write(ROWS)
        raise KeyError

    assert "yesterday" == path.read_text(encoding="utf-8")
    assert [path] == list(tmp_path.iterdir())


def test_an_empty_file_has_its_columns(tmp_path: Path) -> None:
    """Programs read the header even where there is nothing."""
    with RowFile(tmp_path / "rows.csv", COLUMNS, file_format="csv"):
        pass
    with RowFile(tmp_path / "rows.parquet", COLUMNS, file_format="parquet"):
        pass

    assert "id,name,value,good\n" == (tmp_path / "rows.csv").read_text(encoding="utf-8")
    assert [] == rows(tmp_path / "rows.parquet")


def test_without_pyarrow_the_message_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra, because it is larger than Klero."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(RowFileError, match="Parquet needs pyarrow: pip install 'klero\\[parquet\\]'"):
        RowFile(tmp_path / "rows", COLUMNS, file_format="parquet").__enter__()
    with pytest.raises(RowFileError, match="cannot be written: No such file"):
        RowFile(tmp_path / "no" / "rows", COLUMNS, file_format="csv").__enter__()
