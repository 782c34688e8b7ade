"""Catalogs of earlier versions, as these wrote them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from klero.catalog.requests import Remembered
from klero.catalog.sqlite import FORMAT, SqliteCatalog, read_secret
from klero.errors import StartupError
from klero.v1.events_pb2 import AuditEntry
from klero.v1.experiment_pb2 import Experiment

if TYPE_CHECKING:
    from pathlib import Path

SECRET = bytes(range(16))
# Written out, so that a change of what is in force cannot change what was.
FORMAT_1 = """
CREATE TABLE head (
    only INTEGER PRIMARY KEY CHECK (only = 1), generation INTEGER NOT NULL, revision INTEGER NOT NULL,
    secret BLOB NOT NULL
) STRICT;
CREATE TABLE experiment (
    namespace TEXT NOT NULL, id TEXT NOT NULL, revision INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (namespace, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE audit (
    revision INTEGER PRIMARY KEY, namespace TEXT NOT NULL, resource_id TEXT NOT NULL, body BLOB NOT NULL
) STRICT;
PRAGMA user_version = 1;
"""
FORMAT_2 = "ALTER TABLE head ADD COLUMN told INTEGER NOT NULL DEFAULT 0; PRAGMA user_version = 2;"
AUDIT = AuditEntry(namespace="default", action="Test", resource_id="exp", revision=1, generation=4)
STORED = Experiment(namespace="default", id="exp", name="kept", iteration=1, revision=1, etag="4-1")


def written(path: Path, version: int) -> None:
    """A file with one definition, of whose start the journal of format 2 knows."""
    with closing(sqlite3.connect(path)) as database:
        database.executescript(FORMAT_1)
        database.execute("INSERT INTO head VALUES (1, 4, 1, ?)", (SECRET,))
        database.execute("INSERT INTO experiment VALUES ('default', 'exp', 1, ?)", (STORED.SerializeToString(),))
        database.execute("INSERT INTO audit VALUES (1, 'default', 'exp', ?)", (AUDIT.SerializeToString(),))
        if version == 2:
            database.executescript(FORMAT_2)
            database.execute("UPDATE head SET told = 1")
        database.commit()


def schema(path: Path) -> tuple[int, set[str], list[tuple[str, ...]]]:
    """Format, tables with indexes, and the columns of all of them."""
    columns = "SELECT m.name, c.name, c.type, c.pk FROM sqlite_schema m, pragma_table_info(m.name) c ORDER BY 1, 2"
    with closing(sqlite3.connect(path)) as database:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        names = {name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE sql IS NOT NULL")}
        return version, names, database.execute(columns).fetchall()


@pytest.mark.parametrize(("version", "told"), [(1, False), (2, True)])
def test_all_that_an_earlier_version_wrote_is_there(tmp_path: Path, version: int, *, told: bool) -> None:
    """Format 1 does not say what the journal knows, so that the first start looks."""
    path = tmp_path / "catalog.db"
    written(path, version)
    SqliteCatalog(tmp_path / "new.db").close()

    assert SECRET == read_secret(path)
    with closing(SqliteCatalog(path)) as catalog:
        assert (SECRET, 4, told) == (catalog.secret, catalog.generation, catalog.all_told())
        assert STORED == catalog.get("default", "exp")
        assert [AUDIT] == catalog.audit_page("default", before=9, size=9, wanted=lambda _: True)
        assert 1 == catalog.snapshot().revision
    assert schema(tmp_path / "new.db") == schema(path)
    assert FORMAT == schema(path)[0]


@pytest.mark.parametrize("version", [1, 2])
def test_what_came_later_works_in_an_earlier_file(tmp_path: Path, version: int) -> None:
    """Ends of iterations and answers are kept from then on."""
    path = tmp_path / "catalog.db"
    written(path, version)
    remember = Remembered("default", "r", b"f", 1, lambda stored: stored.etag.encode())
    with closing(SqliteCatalog(path)) as catalog:
        stored = catalog.get("default", "exp")
        assert catalog.remembered(remember) is None
        assert catalog.ended("default", "exp", 1) is None
        catalog.replace(stored, AuditEntry(namespace="default"), ended=stored, remember=remember)
    with closing(SqliteCatalog(path)) as catalog:
        assert b"4-2" == catalog.remembered(remember)
        assert STORED == catalog.ended("default", "exp", 1)


def test_an_upgrade_is_whole_or_none(tmp_path: Path) -> None:
    """A full disk in the middle of it must not leave what no version reads."""
    path = tmp_path / "catalog.db"
    written(path, 1)
    with closing(sqlite3.connect(path)) as database:
        # The last step of the upgrade finds its place taken.
        database.execute("CREATE TABLE override (x)")
        database.commit()

    with pytest.raises(StartupError, match=r"catalog\.db cannot be opened: table override already exists"):
        SqliteCatalog(path)
    assert (1, {"head", "experiment", "audit", "override"}) == schema(path)[:2]
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP TABLE override")
        database.commit()
    with closing(SqliteCatalog(path)) as catalog:
        assert STORED == catalog.get("default", "exp")
