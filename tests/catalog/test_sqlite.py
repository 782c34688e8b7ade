"""The catalog in one SQLite file."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from klero.catalog.sqlite import FORMAT, SqliteCatalog, read_secret
from klero.errors import AlreadyExistsError, CatalogContendedError, ExperimentNotFoundError, StartupError
from klero.v1.events_pb2 import AuditEntry
from klero.v1.experiment_pb2 import Experiment, Variant

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[SqliteCatalog]:
    """An empty catalog."""
    catalog = SqliteCatalog(tmp_path / "catalog.db")
    yield catalog
    catalog.close()


def experiment(identifier: str = "exp") -> Experiment:
    """A definition that the catalog need not understand."""
    return Experiment(
        id=identifier,
        namespace="default",
        hypothesis="why",
        description="long",
        control=Variant(id="a", description="long"),
        variants=[Variant(id="b")],
    )


def audit(identifier: str = "exp") -> AuditEntry:
    """The entry of some change."""
    return AuditEntry(namespace="default", action="Test", resource_id=identifier)


def trail(catalog: SqliteCatalog, identifier: str) -> list[AuditEntry]:
    """Entries of a resource, oldest first."""
    found = catalog.audit_page("default", before=2**63 - 1, size=1000, wanted=lambda of: of.resource_id == identifier)
    return found[::-1]


def test_a_change_is_stored_with_its_audit_entry_and_revision(catalog: SqliteCatalog) -> None:
    """Operators read in the trail what happened, in order and without gaps."""
    created = catalog.create(experiment(), audit())
    created.name = "new"
    changed = catalog.replace(created, audit())
    entries = trail(catalog, "exp")

    assert (1, 2) == (created.revision, changed.revision)
    assert created.etag != changed.etag
    assert changed == catalog.get("default", "exp")
    assert [1, 2] == [entry.revision for entry in entries]


def test_a_change_that_rests_on_an_old_revision_changes_nothing(catalog: SqliteCatalog) -> None:
    """Two people change one experiment: the second must see the first's change before."""
    created = catalog.create(experiment(), audit())
    catalog.replace(created, audit())

    with pytest.raises(CatalogContendedError):
        catalog.replace(created, audit())
    assert 2 == catalog.get("default", "exp").revision
    assert 2 == len(trail(catalog, "exp"))
    assert 2 == catalog.snapshot().revision


def test_what_is_deleted_is_gone_and_its_trail_stays(catalog: SqliteCatalog) -> None:
    """The id is free again, and who deleted what can still be asked."""
    created = catalog.create(experiment(), audit())
    stale = catalog.replace(created, audit())
    with pytest.raises(CatalogContendedError):
        catalog.delete(created, audit())
    assert 3 == catalog.delete(stale, audit())

    with pytest.raises(ExperimentNotFoundError):
        catalog.get("default", "exp")
    assert [1, 2, 3] == [entry.revision for entry in trail(catalog, "exp")]
    assert 4 == catalog.create(experiment(), audit()).revision


def test_the_trail_comes_in_pages_newest_first(catalog: SqliteCatalog) -> None:
    """A long trail is read as far as somebody wants."""
    for _ in range(5):
        catalog.note(audit())

    def revisions(before: int, size: int) -> list[int]:
        page = catalog.audit_page("default", before=before, size=size, wanted=lambda entry: entry.revision != 4)
        return [entry.revision for entry in page]

    assert [5, 3] == revisions(2**63 - 1, 2)
    assert [2, 1] == revisions(3, 2)
    assert [] == revisions(1, 2)


def test_an_id_is_taken_once(catalog: SqliteCatalog) -> None:
    """A create that fails leaves no audit entry and no revision behind."""
    catalog.create(experiment(), audit())

    with pytest.raises(AlreadyExistsError, match="experiment `exp` already exists"):
        catalog.create(experiment(), audit())
    assert 1 == catalog.snapshot().revision


def test_what_is_not_there_is_named_with_what_is_near(catalog: SqliteCatalog) -> None:
    """A typo on the command line is answered with the right name."""
    catalog.create(experiment("checkout-button"), audit())

    with pytest.raises(ExperimentNotFoundError, match="did you mean `checkout-button`"):
        catalog.get("default", "chekout-button")
    with pytest.raises(ExperimentNotFoundError, match=r"no experiment `x` in namespace `default`$"):
        catalog.get("default", "x")


def test_pages_follow_one_another(catalog: SqliteCatalog) -> None:
    """Tools that list page by page see each experiment once, and only those that are wanted."""
    for identifier in ("c", "a", "b", "d"):
        catalog.create(experiment(identifier), audit(identifier))

    def page(after: str) -> list[Experiment]:
        return catalog.page("default", after=after, size=2, wanted=lambda found: found.id != "b")

    first = page("")
    rest = page(first[-1].id)

    assert ["a", "c"] == [found.id for found in first]
    assert ["d"] == [found.id for found in rest]


def test_a_snapshot_has_no_texts_for_people(catalog: SqliteCatalog) -> None:
    """Every node and every in-process evaluator holds a snapshot; texts would be most of it."""
    catalog.create(experiment(), audit())
    (stored,) = catalog.snapshot().experiments

    assert ("", "", "") == (stored.hypothesis, stored.description, stored.control.description)
    assert "why" == catalog.get("default", "exp").hypothesis


def test_the_secret_outlives_the_process(tmp_path: Path) -> None:
    """Entities in memory are keyed with it: after a restart they must have the same keys."""
    first = SqliteCatalog(tmp_path / "catalog.db")
    first.create(experiment(), audit())
    first.close()
    second = SqliteCatalog(tmp_path / "catalog.db")

    assert first.secret == second.secret
    assert "exp" == second.get("default", "exp").id
    second.close()


def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    """Whoever goes back to an older Klero must not have it write into what it does not know."""
    path = tmp_path / "catalog.db"
    SqliteCatalog(path).close()
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA user_version = {FORMAT + 1}")
    database.close()

    with pytest.raises(StartupError, match=f"has format {FORMAT + 1}"):
        SqliteCatalog(path)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    """Operators see which file is wrong."""
    path = tmp_path / "catalog.db"
    path.write_bytes(b"no database at all, but long enough to be read as one" * 20)

    with pytest.raises(StartupError, match=r"catalog\.db cannot be opened"):
        SqliteCatalog(path)


def test_what_the_journal_knows_has_no_gaps(catalog: SqliteCatalog) -> None:
    """A change that it lacks is not covered by a later one that it has."""
    assert catalog.all_told()
    for identifier in ("a", "b", "c"):
        catalog.create(experiment(identifier), audit(identifier))
    told = []
    for first, last in ((2, 2), (3, 3), (1, 1), (2, 3), (1, 2)):
        catalog.mark_told(first, last)
        told.append(catalog.all_told())
    catalog.mark_untold()

    assert [False, False, False, True, True] == told
    assert not catalog.all_told()


def test_what_changes_no_definition_is_in_the_trail(catalog: SqliteCatalog) -> None:
    """Its revision is counted, so that the trail has no gaps."""
    created = catalog.create(experiment(), audit())

    assert created.revision + 1 == catalog.note(audit("entity"))
    assert [created.revision + 1] == [entry.revision for entry in trail(catalog, "entity")]
    assert created == catalog.get("default", "exp")


def test_the_secret_of_no_catalog_is_named(tmp_path: Path) -> None:
    """A mistyped directory is no empty installation."""
    with pytest.raises(StartupError, match=r"catalog .*nowhere\.db cannot be opened"):
        read_secret(tmp_path / "nowhere.db")
    assert [] == list(tmp_path.iterdir())
