"""Answers to requests with an id."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from klero.catalog.requests import KEPT_MS, Remembered, RepeatedRequestError
from klero.catalog.sqlite import SqliteCatalog
from klero.errors import CatalogContendedError, RequestIdReusedError
from klero.overrides import Whom
from klero.v1.events_pb2 import AuditEntry
from klero.v1.experiment_pb2 import Experiment, Override, Variant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the catalog lies."""
    return tmp_path / "catalog.db"


@pytest.fixture
def catalog(path: Path) -> Iterator[SqliteCatalog]:
    """A catalog with a draft."""
    with closing(SqliteCatalog(path)) as catalog:
        catalog.create(definition(), audit())
        yield catalog


def definition(identifier: str = "exp") -> Experiment:
    """A definition that the catalog need not understand."""
    return Experiment(id=identifier, namespace="default", control=Variant(id="a"), variants=[Variant(id="b")])


def audit() -> AuditEntry:
    """The entry of some change."""
    return AuditEntry(namespace="default", action="Test", resource_id="exp")


def request(
    request_id: str = "id", *, namespace: str = "default", fingerprint: bytes = b"one", now_ms: int = NOW_MS
) -> Remembered:
    """A request whose answer is the etag of what is stored, or `gone`."""

    def answer(stored: Experiment | Override | None) -> bytes:
        return b"gone" if stored is None else stored.etag.encode()

    return Remembered(namespace=namespace, request_id=request_id, fingerprint=fingerprint, now_ms=now_ms, answer=answer)


def stored_ids(path: Path) -> list[str]:
    """Ids of all answers on the disk."""
    with closing(sqlite3.connect(path)) as database:
        return [name for (name,) in database.execute("SELECT id FROM request ORDER BY id")]


def test_an_answer_is_that_of_the_change_it_was_stored_with(catalog: SqliteCatalog) -> None:
    """The repeat reads what the first caller read, whatever changed since."""
    created = catalog.create(definition("new"), audit(), remember=request())
    catalog.replace(created, audit())

    assert created.etag.encode() == catalog.remembered(request())


def test_an_answer_is_kept_for_24_hours(catalog: SqliteCatalog) -> None:
    """Clients repeat within a day; later the id is free again."""
    catalog.remember(request(), definition())

    assert KEPT_MS == DAY_MS
    assert b"" == catalog.remembered(request(now_ms=NOW_MS + DAY_MS - 1))
    assert catalog.remembered(request(now_ms=NOW_MS + DAY_MS)) is None
    # A clock that was put back still finds it.
    assert b"" == catalog.remembered(request(now_ms=NOW_MS - DAY_MS))
    with pytest.raises(RepeatedRequestError):
        catalog.remember(request(now_ms=NOW_MS + DAY_MS - 1), definition())
    catalog.remember(request(now_ms=NOW_MS + DAY_MS, fingerprint=b"two"), definition())
    assert b"" == catalog.remembered(request(now_ms=NOW_MS + DAY_MS, fingerprint=b"two"))


def test_an_id_of_another_request_is_refused(catalog: SqliteCatalog) -> None:
    """To answer would hide that the second change was never made."""
    catalog.remember(request(), definition())

    with pytest.raises(RequestIdReusedError, match="request id `id` was used for another request"):
        catalog.remembered(request(fingerprint=b"two"))


def test_namespaces_share_no_ids(catalog: SqliteCatalog) -> None:
    """Two teams cannot read each other's answers, nor stand in each other's way."""
    catalog.remember(request(), definition())

    assert catalog.remembered(request(namespace="other", fingerprint=b"two")) is None
    catalog.remember(request(namespace="other", fingerprint=b"two"), Experiment(etag="other"))
    assert (b"", b"other") == (
        catalog.remembered(request()),
        catalog.remembered(request(namespace="other", fingerprint=b"two")),
    )


def test_what_is_too_old_goes_with_the_next_answer(catalog: SqliteCatalog, path: Path) -> None:
    """A file that grows with each request would fill the disk."""
    for number in range(3):
        catalog.remember(request(f"{number}", namespace=f"n{number}", now_ms=NOW_MS + number), definition())
    assert ["0", "1", "2"] == stored_ids(path)
    catalog.remember(request("new", now_ms=NOW_MS + DAY_MS + 1), definition())

    assert ["2", "new"] == stored_ids(path)


CHANGES: dict[str, Callable[[SqliteCatalog, Experiment, Remembered], object]] = {
    "create": lambda catalog, _, remember: catalog.create(definition("new"), audit(), remember=remember),
    "replace": lambda catalog, stored, remember: catalog.replace(stored, audit(), ended=stored, remember=remember),
    "delete": lambda catalog, stored, remember: catalog.delete(stored, audit(), remember=remember),
    "override": lambda catalog, _, remember: catalog.overrides.replace(
        Whom("default", "exp", "u"), Override(variant_id="b"), audit(), remember=remember
    ),
    "none": lambda catalog, stored, remember: catalog.remember(remember, stored),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_repeat_that_comes_at_once_changes_nothing(catalog: SqliteCatalog, path: Path, change: str) -> None:
    """Both find no answer yet, and the slower one must not make the change a second time."""
    stored = catalog.get("default", "exp")
    catalog.remember(request(), definition())
    before = dump(path)

    with pytest.raises(RepeatedRequestError):
        CHANGES[change](catalog, stored, request())
    assert before == dump(path)
    # The connection is in no transaction: the next change is stored.
    CHANGES[change](catalog, stored, request("other"))
    assert before != dump(path)


def test_a_change_that_fails_leaves_no_answer(catalog: SqliteCatalog) -> None:
    """Its repeat must try again, not be told that all went well."""
    stale = catalog.get("default", "exp")
    catalog.replace(stale, audit())

    with pytest.raises(CatalogContendedError):
        catalog.replace(stale, audit(), remember=request())
    assert catalog.remembered(request()) is None


def test_answers_outlive_the_process(catalog: SqliteCatalog, path: Path) -> None:
    """A client whose connection broke with the server repeats after the restart."""
    catalog.remember(request(), definition())

    with closing(SqliteCatalog(path)) as again:
        assert b"" == again.remembered(request())


def dump(path: Path) -> list[str]:
    """All that is on the disk."""
    with closing(sqlite3.connect(path)) as database:
        return list(database.iterdump())
