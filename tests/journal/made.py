"""Journals made for tests, and ways to damage them."""

from __future__ import annotations

import sqlite3
import zlib
from contextlib import closing
from typing import TYPE_CHECKING

from klero.journal.frames import StoredFrame
from klero.journal.sqlite import PAGE_BYTES, SqliteJournal
from klero.storage.v1.journal_pb2 import JournalFrame

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

START_MS = 1_800_000_000_000


def frame(position: int, *, padding: int = 0, time_ms: int | None = None, frame_format: int = 2) -> StoredFrame:
    """A whole frame without entries; `padding` makes its body longer."""
    time_ms = START_MS + position if time_ms is None else time_ms
    body = JournalFrame(
        format=frame_format, incarnation=bytes(16 + padding), sequence=position, time_ms=time_ms
    ).SerializeToString()
    return StoredFrame(position=position, time_ms=time_ms, exposures=1, outcomes=2, crc=zlib.crc32(body), body=body)


def journal_of(path: Path, frames: Iterable[StoredFrame]) -> Path:
    """A closed journal with these frames."""
    with SqliteJournal(path) as journal:
        for stored in frames:
            journal.append(stored)
    return path


def execute(path: Path, statement: str, *values: object) -> None:
    """Change the file behind Klero's back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(statement, values)


def spoil_page(path: Path, number: int, content: bytes = b"\xff") -> None:
    """Overwrite a page of the file; pages count from 1."""
    with path.open("r+b") as file:
        file.seek((number - 1) * PAGE_BYTES)
        file.write((content * PAGE_BYTES)[:PAGE_BYTES])


def page_with(path: Path, content: bytes) -> int:
    """Number of the page that holds `content`."""
    return path.read_bytes().index(content) // PAGE_BYTES + 1
