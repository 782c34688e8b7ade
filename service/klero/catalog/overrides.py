"""Overrides in the catalog's file. Everything here is part of the catalog's transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klero.errors import FieldViolation, InvalidFieldError
from klero.v1.experiment_pb2 import ExperimentStatus, Override

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from klero.catalog.requests import Remembered
    from klero.overrides import Whom
    from klero.v1.events_pb2 import AuditEntry
    from klero.v1.experiment_pb2 import Experiment

SCHEMA = """
CREATE TABLE override (
    namespace TEXT NOT NULL,
    experiment_id TEXT NOT NULL,
    entity_id TEXT NOT NULL,
    variant_id TEXT NOT NULL,
    expires_ms INTEGER,
    body BLOB NOT NULL,
    PRIMARY KEY (namespace, experiment_id, entity_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX override_expires ON override (expires_ms) WHERE expires_ms IS NOT NULL;
"""
MOST = 10_000
"""Overrides of one experiment."""

_UNEXPIRED = "(expires_ms IS NULL OR expires_ms > ?)"
_KEY = "namespace = ? AND experiment_id = ? AND entity_id = ?"


class Overrides:
    """One override at most for an entity of an experiment, and one for everyone; those have no entity id."""

    def __init__(
        self,
        database: sqlite3.Connection,
        *,
        reading: Callable[[], AbstractContextManager[None]],
        transaction: Callable[[], AbstractContextManager[None]],
        count: Callable[[AuditEntry], str],
    ) -> None:
        """Name what the catalog lends.

        Args:
            database: Its connection.
            reading: Surrounds what reads.
            transaction: Surrounds what writes.
            count: Writes the audit entry of the next revision; returns the etag of what is stored with it.
        """
        self._database = database
        self._reading = reading
        self._transaction = transaction
        self._count = count

    def get(self, whom: Whom, *, now_ms: int) -> Override | None:
        """The override in force at `now_ms`; None if there is none."""
        with self._reading():
            row = self._database.execute(
                f"SELECT body FROM override WHERE {_KEY} AND {_UNEXPIRED}",  # noqa: S608  # constants
                (*whom, now_ms),
            ).fetchone()
        return None if row is None else Override.FromString(row[0])

    def page(self, namespace: str, *, experiment_id: str, after: Whom | None, size: int, now_ms: int) -> list[Override]:
        """Up to `size` overrides in force at `now_ms`, by experiment, then entity; everyone's first.

        Args:
            namespace: Of the experiments.
            experiment_id: Empty: of all of them.
            after: Behind which the page begins. None: at the beginning.
            size: Most to return.
            now_ms: Unix milliseconds.
        """
        behind = ("", "") if after is None else (after.experiment_id, after.entity_id)
        with self._reading():
            rows = self._database.execute(
                "SELECT body FROM override WHERE namespace = ? AND (? = '' OR experiment_id = ?)"  # noqa: S608  # constants
                f" AND (experiment_id, entity_id) > (?, ?) AND {_UNEXPIRED} ORDER BY experiment_id, entity_id LIMIT ?",
                (namespace, experiment_id, experiment_id, *behind, now_ms, size),
            ).fetchall()
        return [Override.FromString(body) for (body,) in rows]

    def replace(
        self, whom: Whom, override: Override | None, audit: AuditEntry, *, remember: Remembered | None = None
    ) -> Override | None:
        """Store `override` in place of an earlier one, and return it with its etag; None only removes that.

        Raises:
            InvalidFieldError: The experiment has as many as it may have.
            RepeatedRequestError: The request was answered before.
        """
        with self._transaction():
            etag = self._count(audit)
            self._database.execute(f"DELETE FROM override WHERE {_KEY}", whom)  # noqa: S608  # constants
            stored = None if override is None else self._add(whom, override, etag)
            if remember is not None:
                remember.store_in(self._database, stored)
            return stored

    def _add(self, whom: Whom, override: Override, etag: str) -> Override:
        (count,) = self._database.execute(
            "SELECT count(*) FROM override WHERE namespace = ? AND experiment_id = ?", whom[:2]
        ).fetchone()
        if count >= MOST:
            why = f"experiment `{whom.experiment_id}` has {MOST:,} overrides, and may have no more: remove one first"
            raise InvalidFieldError((FieldViolation("override.entityId", why),))
        stored = Override()
        stored.CopyFrom(override)
        stored.etag = etag
        expires_ms = override.expires_at.ToMilliseconds() if override.HasField("expires_at") else None
        self._database.execute(
            "INSERT INTO override VALUES (?, ?, ?, ?, ?, ?)",
            (*whom, override.variant_id, expires_ms, stored.SerializeToString()),
        )
        return stored

    def all(self) -> list[Override]:
        """Those of all namespaces as decisions need them: without why and by whom."""
        rows = self._database.execute("SELECT body FROM override ORDER BY namespace, experiment_id, entity_id")
        found = [Override.FromString(body) for (body,) in rows]
        for override in found:
            override.ClearField("reason")
            override.ClearField("created_by")
        return found

    def purge(self, now_ms: int) -> None:
        """Within a transaction: remove what has expired by `now_ms`."""
        self._database.execute("DELETE FROM override WHERE expires_ms <= ?", (now_ms,))

    def end(self, experiment: Experiment, *, deleted: bool = False) -> None:
        """Within a transaction: remove overrides of an experiment that is gone or archived, and of gone variants."""
        key = (experiment.namespace, experiment.id)
        if deleted or experiment.status == ExperimentStatus.EXPERIMENT_STATUS_ARCHIVED:
            self._database.execute("DELETE FROM override WHERE namespace = ? AND experiment_id = ?", key)
            return
        variants = {variant.id for variant in (experiment.control, *experiment.variants)}
        forced = self._database.execute(
            "SELECT DISTINCT variant_id FROM override WHERE namespace = ? AND experiment_id = ?", key
        ).fetchall()
        for (variant_id,) in forced:
            if variant_id not in variants:
                self._database.execute(
                    "DELETE FROM override WHERE namespace = ? AND experiment_id = ? AND variant_id = ?",
                    (*key, variant_id),
                )
