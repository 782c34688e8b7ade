"""The catalog in one SQLite file: every change and its audit entry in one transaction.

Calls block on the disk, so the server makes them from a thread of their own. Each statement that
changes something names the revision it rests on: whoever read an older one changes nothing.
"""

from __future__ import annotations

import difflib
import secrets
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from klero.catalog import overrides
from klero.errors import (
    AlreadyExistsError,
    CatalogContendedError,
    CatalogUnavailableError,
    ExperimentNotFoundError,
    StartupError,
)
from klero.v1.events_pb2 import AuditEntry
from klero.v1.experiment_pb2 import Experiment, ExperimentStatus, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from google.protobuf.message import Message

    from klero.catalog.requests import Remembered

FORMAT = 3
SECRET_BYTES = 16

# What each format adds to the one before.
_MIGRATIONS = {
    1: """
CREATE TABLE head (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    generation INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    secret BLOB NOT NULL
) STRICT;
CREATE TABLE experiment (
    namespace TEXT NOT NULL,
    id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (namespace, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE audit (
    revision INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    body BLOB NOT NULL
) STRICT;
""",
    # Up to which revision the journal knows all that it must.
    2: "ALTER TABLE head ADD COLUMN told INTEGER NOT NULL DEFAULT 0",
    # Definitions at the end of iterations that others came after, and answers to requests with an id.
    3: """
CREATE TABLE ended (
    namespace TEXT NOT NULL,
    id TEXT NOT NULL,
    iteration INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (namespace, id, iteration)
) STRICT, WITHOUT ROWID;
CREATE TABLE request (
    namespace TEXT NOT NULL,
    id TEXT NOT NULL,
    made_ms INTEGER NOT NULL,
    fingerprint BLOB NOT NULL,
    answer BLOB NOT NULL,
    PRIMARY KEY (namespace, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX request_made ON request (made_ms);
"""
    + overrides.SCHEMA,
}


def read_secret(path: Path) -> bytes:
    """Key of the hashes of entities, from the catalog of another process or of none.

    Raises:
        StartupError: It cannot be opened.
    """
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as database:
            (secret,) = database.execute("SELECT secret FROM head").fetchone()
    except sqlite3.Error as error:
        raise StartupError(why=f"catalog {path} cannot be opened: {error}") from error
    return bytes(secret)


class SqliteCatalog:
    """Definitions and audit entries in the file at `path`, made if it is missing."""

    def __init__(self, path: Path) -> None:
        """Open or make the file.

        Raises:
            StartupError: It cannot be opened, or a newer version of Klero wrote it.
        """
        try:
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._prepare(path)
            self.generation, self.secret = self._database.execute("SELECT generation, secret FROM head").fetchone()
        except (sqlite3.Error, CatalogUnavailableError) as error:
            raise StartupError(why=f"catalog {path} cannot be opened: {error.__cause__ or error}") from error
        self.overrides = overrides.Overrides(
            self._database, reading=self._reading, transaction=self._transaction, count=self._count_etag
        )

    def _prepare(self, path: Path) -> None:
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version > FORMAT:
            raise StartupError(why=f"catalog {path} has format {version}, this version reads up to {FORMAT}")
        if version == FORMAT:
            return
        with self._transaction():
            for added in range(version + 1, FORMAT + 1):
                for statement in filter(str.strip, _MIGRATIONS[added].split(";")):
                    self._database.execute(statement)
                if added == 1:
                    self._database.execute("INSERT INTO head VALUES (1, 1, 0, ?)", (secrets.token_bytes(SECRET_BYTES),))
            self._database.execute(f"PRAGMA user_version = {FORMAT}")

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def snapshot(self) -> Snapshot:
        """All that decides: every experiment but archived ones, without the texts for people."""
        with self._reading():
            (revision,) = self._database.execute("SELECT revision FROM head").fetchone()
            rows = self._database.execute("SELECT body FROM experiment ORDER BY namespace, id").fetchall()
            forced = self.overrides.all()
        snapshot = Snapshot(generation=self.generation, revision=revision, overrides=forced)
        for (body,) in rows:
            experiment = Experiment.FromString(body)
            if experiment.status == ExperimentStatus.EXPERIMENT_STATUS_ARCHIVED:
                continue
            experiment.ClearField("hypothesis")
            experiment.ClearField("description")
            for variant in (experiment.control, *experiment.variants):
                variant.ClearField("description")
            snapshot.experiments.append(experiment)
        return snapshot

    def get(self, namespace: str, experiment_id: str) -> Experiment:
        """Read the stored definition.

        Raises:
            ExperimentNotFoundError: There is none.
        """
        with self._reading():
            row = self._database.execute(
                "SELECT body FROM experiment WHERE namespace = ? AND id = ?", (namespace, experiment_id)
            ).fetchone()
            ids = [] if row else self._database.execute("SELECT id FROM experiment WHERE namespace = ?", (namespace,))
            near = difflib.get_close_matches(experiment_id, [known for (known,) in ids], n=1)
        if row is None:
            raise ExperimentNotFoundError(
                namespace=namespace, experiment_id=experiment_id, did_you_mean=near[0] if near else ""
            )
        return Experiment.FromString(row[0])

    def ended(self, namespace: str, experiment_id: str, iteration: int) -> Experiment | None:
        """The definition at the end of an iteration; None unless it was changed since."""
        with self._reading():
            row = self._database.execute(
                "SELECT body FROM ended WHERE namespace = ? AND id = ? AND iteration = ?",
                (namespace, experiment_id, iteration),
            ).fetchone()
        return None if row is None else Experiment.FromString(row[0])

    def remembered(self, request: Remembered) -> bytes | None:
        """The answer to an earlier request with the same id; None if there was none.

        Raises:
            RequestIdReusedError: It was another request.
        """
        with self._reading():
            return request.answer_in(self._database)

    def remember(self, request: Remembered, stored: Message) -> None:
        """Keep the answer to a request that changes nothing.

        Raises:
            RepeatedRequestError: It was answered before.
        """
        with self._transaction():
            self._remember(request, stored)

    def page(self, namespace: str, *, after: str, size: int, wanted: Callable[[Experiment], bool]) -> list[Experiment]:
        """Return up to `size` definitions with ids above `after` that are `wanted`, by id."""
        found: list[Experiment] = []
        with self._reading():
            for (body,) in self._database.execute(
                "SELECT body FROM experiment WHERE namespace = ? AND id > ? ORDER BY id", (namespace, after)
            ):
                experiment = Experiment.FromString(body)
                if wanted(experiment):
                    found.append(experiment)
                if len(found) == size:
                    break
        return found

    def create(self, experiment: Experiment, audit: AuditEntry, *, remember: Remembered | None = None) -> Experiment:
        """Store a new definition and return it with etag and revision.

        Args:
            experiment: The definition.
            audit: Who did it and why.
            remember: The request that asked for it, if it has an id.

        Raises:
            AlreadyExistsError: The id is taken.
            RepeatedRequestError: The request was answered before.
        """
        with self._transaction():
            stored = self._stamp(experiment, audit)
            try:
                self._database.execute(
                    "INSERT INTO experiment VALUES (?, ?, ?, ?)",
                    (stored.namespace, stored.id, stored.revision, stored.SerializeToString()),
                )
            except sqlite3.IntegrityError as error:
                raise AlreadyExistsError(
                    namespace=experiment.namespace, resource_type="experiment", id=experiment.id
                ) from error
            self._remember(remember, stored)
        return stored

    def replace(
        self,
        experiment: Experiment,
        audit: AuditEntry,
        *,
        ended: Experiment | None = None,
        remember: Remembered | None = None,
    ) -> Experiment:
        """Store a changed definition in place of the revision it was made from; return it stamped.

        Args:
            experiment: The changed definition.
            audit: Who did it and why.
            ended: The definition before, if its iteration was over: the first one is kept.
            remember: The request that asked for it, if it has an id.

        Raises:
            CatalogContendedError: The stored one has another revision by now.
            RepeatedRequestError: The request was answered before.
        """
        with self._transaction():
            stored = self._stamp(experiment, audit)
            changed = self._database.execute(
                "UPDATE experiment SET revision = ?, body = ? WHERE namespace = ? AND id = ? AND revision = ?",
                (stored.revision, stored.SerializeToString(), stored.namespace, stored.id, experiment.revision),
            ).rowcount
            if changed != 1:
                raise CatalogContendedError(attempts=1)
            self.overrides.end(stored)
            if ended is not None:
                self._database.execute(
                    "INSERT OR IGNORE INTO ended VALUES (?, ?, ?, ?)",
                    (ended.namespace, ended.id, ended.iteration, ended.SerializeToString()),
                )
            self._remember(remember, stored)
        return stored

    def delete(self, experiment: Experiment, audit: AuditEntry, *, remember: Remembered | None = None) -> int:
        """Remove the stored definition of this revision; returns the revision of the change.

        Raises:
            CatalogContendedError: The stored one has another revision by now.
            RepeatedRequestError: The request was answered before.
        """
        with self._transaction():
            revision = self._count(audit)
            removed = self._database.execute(
                "DELETE FROM experiment WHERE namespace = ? AND id = ? AND revision = ?",
                (experiment.namespace, experiment.id, experiment.revision),
            ).rowcount
            if removed != 1:
                raise CatalogContendedError(attempts=1)
            self.overrides.end(experiment, deleted=True)
            self._remember(remember, None)
        return revision

    def note(self, audit: AuditEntry) -> int:
        """Write the audit entry of something that changes no definition; returns its revision."""
        with self._transaction():
            return self._count(audit)

    def mark_told(self, first: int, last: int) -> None:
        """Remember that the journal knows all that it must of the changes from `first` to `last`.

        Ineffective while it lacks an earlier one.
        """
        with self._transaction():
            self._database.execute("UPDATE head SET told = ? WHERE told >= ? - 1 AND told < ?", (last, first, last))

    def mark_untold(self) -> None:
        """Remember that the journal may lack something of any change."""
        with self._transaction():
            self._database.execute("UPDATE head SET told = 0")

    def all_told(self) -> bool:
        """Whether the journal knows all that it must of every change."""
        with self._reading():
            (told,) = self._database.execute("SELECT told >= revision FROM head").fetchone()
        return bool(told)

    def audit_page(
        self, namespace: str, *, before: int, size: int, wanted: Callable[[AuditEntry], bool]
    ) -> list[AuditEntry]:
        """Return up to `size` audit entries with revisions below `before`, newest first, that are `wanted`."""
        found: list[AuditEntry] = []
        with self._reading():
            for (body,) in self._database.execute(
                "SELECT body FROM audit WHERE namespace = ? AND revision < ? ORDER BY revision DESC",
                (namespace, before),
            ):
                entry = AuditEntry.FromString(body)
                if wanted(entry):
                    found.append(entry)
                if len(found) == size:
                    break
        return found

    def _remember(self, request: Remembered | None, stored: Message | None) -> None:
        if request is not None:
            request.store_in(self._database, stored)

    def _stamp(self, experiment: Experiment, audit: AuditEntry) -> Experiment:
        """Write the change's audit entry and mark the definition with its revision."""
        revision = self._count(audit)
        stored = Experiment()
        stored.CopyFrom(experiment)
        stored.revision = revision
        stored.etag = self._etag(revision)
        return stored

    def _count_etag(self, audit: AuditEntry) -> str:
        return self._etag(self._count(audit))

    def _etag(self, revision: int) -> str:
        return f"{self.generation}-{revision}"

    def _count(self, audit: AuditEntry) -> int:
        """Write the audit entry of the next revision; returns that. Overrides that have expired by then go."""
        self.overrides.purge(audit.occurred_at.ToMilliseconds())
        (revision,) = self._database.execute("UPDATE head SET revision = revision + 1 RETURNING revision").fetchone()
        audit.revision, audit.generation = revision, self.generation
        self._database.execute(
            "INSERT INTO audit VALUES (?, ?, ?, ?)",
            (revision, audit.namespace, audit.resource_id, audit.SerializeToString()),
        )
        return int(revision)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._reading():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise CatalogUnavailableError from error
