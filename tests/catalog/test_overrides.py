"""Overrides in the catalog's file."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from klero.catalog import overrides
from klero.catalog.sqlite import SqliteCatalog
from klero.errors import InvalidFieldError
from klero.overrides import Whom
from klero.v1.events_pb2 import AuditEntry
from klero.v1.experiment_pb2 import Experiment, ExperimentStatus, Override, Variant

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW_MS = 1_800_000_000_000


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[SqliteCatalog]:
    """A catalog with the drafts `exp` and `other`."""
    with closing(SqliteCatalog(tmp_path / "catalog.db")) as catalog:
        for identifier in ("exp", "other"):
            definition = Experiment(
                id=identifier, namespace="default", control=Variant(id="a"), variants=[Variant(id="b"), Variant(id="c")]
            )
            catalog.create(definition, audit())
        yield catalog


def audit(now_ms: int = NOW_MS) -> AuditEntry:
    """The entry of a change at that time."""
    entry = AuditEntry(namespace="default", action="Test", resource_id="exp")
    entry.occurred_at.FromMilliseconds(now_ms)
    return entry


def put(
    catalog: SqliteCatalog,
    entity_id: str,
    variant_id: str = "b",
    *,
    experiment_id: str = "exp",
    expires_ms: int | None = None,
) -> Override:
    """Store one; returns it as stored."""
    override = Override(
        namespace="default", experiment_id=experiment_id, entity_id=entity_id, variant_id=variant_id, reason="test"
    )
    if expires_ms is not None:
        override.expires_at.FromMilliseconds(expires_ms)
    stored = catalog.overrides.replace(whom(entity_id, experiment_id), override, audit())
    assert stored is not None
    return stored


def whom(entity_id: str, experiment_id: str = "exp") -> Whom:
    """Name of an override."""
    return Whom("default", experiment_id, entity_id)


def listed(catalog: SqliteCatalog, *, now_ms: int = NOW_MS) -> list[tuple[str, str, str]]:
    """Experiment, entity and variant of all that is in force."""
    found = catalog.overrides.page("default", experiment_id="", after=None, size=100, now_ms=now_ms)
    return [(each.experiment_id, each.entity_id, each.variant_id) for each in found]


def test_one_of_the_same_entity_takes_the_place_of_the_earlier(catalog: SqliteCatalog) -> None:
    """Who forces another variant does not want both."""
    first, second = put(catalog, "u"), put(catalog, "u", "c")
    put(catalog, "")

    assert first.etag != second.etag
    assert second == catalog.overrides.get(whom("u"), now_ms=NOW_MS)
    assert [("exp", "", "b"), ("exp", "u", "c")] == listed(catalog)


def test_pages_follow_one_another_with_everyones_first(catalog: SqliteCatalog) -> None:
    """Tools that list page by page see each once, whatever an id is made of."""
    ids = ["", "a", "a/b", "nul\0byte", "ü", "用户"]
    for entity_id in reversed(ids):
        put(catalog, entity_id, experiment_id="other")
    put(catalog, "z")
    found: list[Override] = []
    after: Whom | None = None
    while page := catalog.overrides.page("default", experiment_id="", after=after, size=2, now_ms=NOW_MS):
        found += page
        after = whom(page[-1].entity_id, page[-1].experiment_id)
    one = catalog.overrides.page("default", experiment_id="other", after=None, size=100, now_ms=NOW_MS)

    assert [("exp", "z"), *(("other", each) for each in ids)] == [
        (each.experiment_id, each.entity_id) for each in found
    ]
    assert found[1:] == one
    assert [] == catalog.overrides.page("another", experiment_id="", after=None, size=100, now_ms=NOW_MS)


def test_what_expires_is_neither_shown_nor_kept(catalog: SqliteCatalog) -> None:
    """Forgotten tests must not fill the catalog and every snapshot."""
    put(catalog, "short", expires_ms=NOW_MS + 1)
    put(catalog, "long", expires_ms=NOW_MS + 2)

    assert catalog.overrides.get(whom("short"), now_ms=NOW_MS) is not None
    assert catalog.overrides.get(whom("short"), now_ms=NOW_MS + 1) is None
    assert [("exp", "long", "b")] == listed(catalog, now_ms=NOW_MS + 1)
    assert ["long", "short"] == [each.entity_id for each in catalog.snapshot().overrides]
    catalog.note(audit(NOW_MS + 1))
    assert ["long"] == [each.entity_id for each in catalog.snapshot().overrides]


def test_a_snapshot_has_what_decides_and_nothing_for_people(catalog: SqliteCatalog) -> None:
    """Every node holds it."""
    stored = put(catalog, "u", expires_ms=NOW_MS + 1)
    (found,) = catalog.snapshot().overrides
    stored.ClearField("reason")

    assert stored == found


def test_an_override_ends_with_what_it_acts_on(catalog: SqliteCatalog) -> None:
    """A variant that is gone can be given to nobody, and a new experiment of the same id begins without force."""
    for entity_id, variant_id in (("", "b"), ("u", "c"), ("v", "a")):
        put(catalog, entity_id, variant_id)
        put(catalog, entity_id, variant_id, experiment_id="other")
    changed = catalog.get("default", "exp")
    del changed.variants[1]
    catalog.replace(changed, audit())
    assert [("exp", "", "b"), ("exp", "v", "a")] == listed(catalog)[:2]

    archived = catalog.get("default", "exp")
    archived.status = ExperimentStatus.EXPERIMENT_STATUS_ARCHIVED
    catalog.replace(archived, audit())
    assert {"other"} == {experiment_id for experiment_id, _, _ in listed(catalog)}

    catalog.delete(catalog.get("default", "other"), audit())
    assert [] == listed(catalog)


def test_there_is_a_most(catalog: SqliteCatalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever forces a variant on a whole population by its ids makes every snapshot huge."""
    monkeypatch.setattr(overrides, "MOST", 2)
    for entity_id in ("u", "v", "v"):
        put(catalog, entity_id)
    before = catalog.snapshot()

    with pytest.raises(InvalidFieldError, match=r"`exp` has 2 overrides, and may have no more"):
        put(catalog, "w")
    assert before == catalog.snapshot()
    put(catalog, "w", experiment_id="other")


def test_a_removal_is_in_the_trail(catalog: SqliteCatalog) -> None:
    """Its revision is counted, so that the trail has no gaps."""
    put(catalog, "u")
    entry = audit()

    assert catalog.overrides.replace(whom("u"), None, entry) is None
    assert [] == listed(catalog)
    assert entry.revision == catalog.snapshot().revision == 4
