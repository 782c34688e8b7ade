"""Answers to requests with an id, so that a repeat gets the first answer and changes nothing.

The answer is stored in the transaction of the change: either both are there, or neither.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from klero.errors import RequestIdReusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

KEPT_MS = 24 * 60 * 60 * 1000
"""How long an answer is kept, milliseconds."""


class RepeatedRequestError(Exception):
    """The request was answered before; never leaves the server."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """A request with an id."""

    namespace: str
    request_id: str
    fingerprint: bytes
    """Differs for requests that ask for something else."""

    now_ms: int
    answer: Callable[[Any], bytes]
    """The encoded response, from what is stored in the end: a message, or None where nothing is left."""

    def answer_in(self, database: sqlite3.Connection) -> bytes | None:
        """The answer that it got before; None if there was none.

        Raises:
            RequestIdReusedError: It was another request.
        """
        row = database.execute(
            "SELECT fingerprint, answer FROM request WHERE namespace = ? AND id = ? AND made_ms > ?",
            (self.namespace, self.request_id, self.now_ms - KEPT_MS),
        ).fetchone()
        if row is None:
            return None
        if row[0] != self.fingerprint:
            raise RequestIdReusedError(request_id=self.request_id)
        return bytes(row[1])

    def store_in(self, database: sqlite3.Connection, stored: Message | None) -> None:
        """Keep the answer, and drop those that are too old.

        Raises:
            RepeatedRequestError: There is one already.
        """
        database.execute("DELETE FROM request WHERE made_ms <= ?", (self.now_ms - KEPT_MS,))
        try:
            database.execute(
                "INSERT INTO request VALUES (?, ?, ?, ?, ?)",
                (self.namespace, self.request_id, self.now_ms, self.fingerprint, self.answer(stored)),
            )
        except sqlite3.IntegrityError as error:
            raise RepeatedRequestError from error
