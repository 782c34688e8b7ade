"""Tallies as they were, in the catalog's file: what the history of an iteration is judged from.

No part of the catalog's revisions: nothing decides by them, and losing some would lose points of a
picture. A version of Klero that does not know the table leaves it alone.
"""

from __future__ import annotations

import math
import sqlite3
import threading
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from klero.errors import CatalogUnavailableError, StartupError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

MOST = 255
"""Looks that are kept of an iteration: with the present one, an answer has 256."""

_TABLE = """
CREATE TABLE IF NOT EXISTS look (
    namespace TEXT NOT NULL,
    experiment_id TEXT NOT NULL,
    iteration INTEGER NOT NULL,
    looked_at_ms INTEGER NOT NULL,
    enrolled INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (namespace, experiment_id, iteration, looked_at_ms)
) STRICT
"""
_OF_ITERATION = "WHERE namespace = ? AND experiment_id = ? AND iteration = ?"


class Iteration(NamedTuple):
    """Names one iteration of an experiment."""

    namespace: str
    experiment_id: str
    iteration: int


@dataclass(frozen=True, slots=True)
class Look:
    """A tally and when it was read."""

    looked_at_ms: int
    """Unix milliseconds."""

    enrolled: int
    """Entities in all arms."""

    tally: bytes
    """Serialized `klero.storage.v1.IterationTally`."""


class History:
    """Looks at iterations, in a table of the catalog at `path`. Usable from any thread."""

    def __init__(self, path: Path) -> None:
        """Open the file and make the table if it is missing.

        Raises:
            StartupError: It cannot be opened.
        """
        try:
            # A connection of its own: what is written here is no part of a change under way.
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.execute(_TABLE)
        except sqlite3.Error as error:
            raise StartupError(why=f"catalog {path} cannot be opened: {error}") from error
        self._using = threading.Lock()

    def close(self) -> None:
        """Close the file."""
        with self._using:
            self._database.close()

    def add(self, looks: Iterable[tuple[Iteration, Look]]) -> None:
        """Keep looks, all or none of them; of an iteration with too many the least missed one goes.

        Raises:
            CatalogUnavailableError: The disk refuses.
        """
        with self._connected() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                for iteration, look in looks:
                    database.execute(
                        "INSERT OR REPLACE INTO look VALUES (?, ?, ?, ?, ?, ?)",
                        (*iteration, look.looked_at_ms, look.enrolled, zlib.compress(look.tally)),
                    )
                    _thin(database, iteration)
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")

    def looks(self, iteration: Iteration) -> list[Look]:
        """Looks that were kept, oldest first.

        Raises:
            CatalogUnavailableError: The disk refuses.
        """
        return self._read(iteration, "ORDER BY looked_at_ms")

    def last(self, iteration: Iteration) -> Look | None:
        """Newest look. None: there was none.

        Raises:
            CatalogUnavailableError: The disk refuses.
        """
        return next(iter(self._read(iteration, "ORDER BY looked_at_ms DESC LIMIT 1")), None)

    def _read(self, iteration: Iteration, order: str) -> list[Look]:
        with self._connected() as database:
            rows = database.execute(
                f"SELECT looked_at_ms, enrolled, body FROM look {_OF_ITERATION} {order}",  # noqa: S608  # our own words
                iteration,
            ).fetchall()
        return [Look(looked_at_ms, enrolled, zlib.decompress(body)) for looked_at_ms, enrolled, body in rows]

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with self._using:
            try:
                yield self._database
            except sqlite3.Error as error:
                raise CatalogUnavailableError from error


def _thin(database: sqlite3.Connection, iteration: Iteration) -> None:
    points = database.execute(
        f"SELECT looked_at_ms, enrolled FROM look {_OF_ITERATION} ORDER BY looked_at_ms",  # noqa: S608  # our own words
        iteration,
    ).fetchall()
    if len(points) > MOST:
        looked_at_ms, _ = points[least_missed(points)]
        database.execute(f"DELETE FROM look {_OF_ITERATION} AND looked_at_ms = ?", (*iteration, looked_at_ms))  # noqa: S608  # our own words


def least_missed(points: Sequence[tuple[int, int]]) -> int:
    """Index of the point whose neighbours are closest to each other; never the first or the last one.

    Distances are added up over three scales of equal length, because a picture may have any of them:
    time, entities, and the logarithm of time.

    Args:
        points: Time in milliseconds and enrolled entities, oldest first, at least three.
    """
    (began_ms, _), (ended_ms, enrolled) = points[0], points[-1]
    elapsed_ms = max(ended_ms - began_ms, 1)
    places = [
        (at_ms - began_ms) / elapsed_ms
        + entities / max(enrolled, 1)
        + math.log1p((at_ms - began_ms) / 1000) / math.log1p(elapsed_ms / 1000)
        for at_ms, entities in points
    ]
    return min(range(1, len(points) - 1), key=lambda index: places[index + 1] - places[index - 1])
