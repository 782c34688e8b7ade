"""Definitions as they were at the end of an iteration."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from klero.catalog.sqlite import SqliteCatalog
from klero.errors import CatalogContendedError
from klero.v1.events_pb2 import AuditEntry
from klero.v1.experiment_pb2 import Experiment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[SqliteCatalog]:
    """A catalog with an experiment whose second iteration has ended."""
    with closing(SqliteCatalog(tmp_path / "catalog.db")) as catalog:
        catalog.create(Experiment(id="exp", namespace="default", name="at the end", iteration=2), audit())
        yield catalog


def audit() -> AuditEntry:
    """The entry of some change."""
    return AuditEntry(namespace="default", resource_id="exp")


def change(catalog: SqliteCatalog, name: str, *, ended: bool = True, iteration: int = 2) -> Experiment:
    """Rename it, and keep what it was if the iteration was over."""
    stored = catalog.get("default", "exp")
    wanted = Experiment()
    wanted.CopyFrom(stored)
    wanted.name, wanted.iteration = name, iteration
    return catalog.replace(wanted, audit(), ended=stored if ended else None)


def test_the_first_definition_after_the_end_stays(catalog: SqliteCatalog) -> None:
    """It judges the results; later changes are for the next iteration."""
    end = catalog.get("default", "exp")
    for name in ("changed", "changed again"):
        change(catalog, name)

    assert end == catalog.ended("default", "exp", 2)


def test_what_was_not_changed_since_is_not_kept_twice(catalog: SqliteCatalog) -> None:
    """Nothing is there of an iteration that goes on, of another one, or of another experiment."""
    change(catalog, "changed while it runs", ended=False)
    assert catalog.ended("default", "exp", 2) is None

    change(catalog, "changed")
    assert [None, None, None] == [
        catalog.ended(*key) for key in (("default", "exp", 1), ("default", "other", 2), ("other", "exp", 2))
    ]


def test_each_iteration_has_its_own_end(catalog: SqliteCatalog) -> None:
    """Old results stay what they were."""
    change(catalog, "third", iteration=3)
    change(catalog, "fourth", iteration=4)

    found = [catalog.ended("default", "exp", number) for number in (2, 3, 4)]
    assert ["at the end", "third", None] == [each and each.name for each in found]


def test_a_change_that_fails_keeps_nothing(catalog: SqliteCatalog) -> None:
    """Somebody else was faster: what they found is the end."""
    stale = catalog.get("default", "exp")
    change(catalog, "changed while it runs", ended=False)

    with pytest.raises(CatalogContendedError):
        catalog.replace(stale, audit(), ended=stale)
    assert catalog.ended("default", "exp", 2) is None
