"""A server that records one batch after the other while strace looks on, and is killed at the end."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from klero.journal.checking import checked
from klero.journal.frames import StoredFrame
from klero.journal.sqlite import SqliteJournal
from klero.storage.v1.journal_pb2 import JournalFrame
from tests.durability.system_calls import DiskCall, read_calls, traced
from tests.rpc.calls import TIMEOUT_S, connected, external
from tests.rpc.sender import batch
from tests.server_process import running_server

if TYPE_CHECKING:
    from pathlib import Path

    from klero.v1.decision_service_pb2 import RecordRequest

BATCHES = 60

# The log is brought into the file every few commits, so that a short run has that too.
_OFTEN_MERGED = """
from klero.journal.sqlite import SqliteJournal
opened = SqliteJournal.__init__
def open_journal(journal, *arguments, **options):
    opened(journal, *arguments, **options)
    for pragma in {pragmas}:
        journal._database.execute(f"PRAGMA {{pragma}}")
SqliteJournal.__init__ = open_journal
"""
DURABLE = _OFTEN_MERGED.format(pragmas=["wal_autocheckpoint = 20"])
"""Python that a server runs first."""
NEVER_SYNCED = _OFTEN_MERGED.format(pragmas=["wal_autocheckpoint = 20", "synchronous = OFF"])
"""As `DURABLE`, but the disk is never asked to keep what it has."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A batch that was answered."""

    request: RecordRequest

    sent_s: float
    """Unix time before it was sent."""

    answered_s: float
    """Unix time when the answer was there."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What the client was told and what the disk was asked."""

    data_dir: Path
    """Of the server."""

    before: Path
    """Copy of it from before the first batch."""

    acknowledged: list[Acknowledged]
    """In their order."""

    calls: list[DiskCall]
    """On files of the data directory, in their order."""


def trace(directory: Path, *, before: str) -> Trace:
    """Record `BATCHES` batches in a new data directory in `directory`; `before` is Python that the server runs."""
    data_dir, copy, output = directory / "data", directory / "before", directory / "trace"
    acknowledged = []
    with running_server(data_dir, before=before) as server, connected(server.address) as client:
        client.start(external("default"))
        with traced(server.process.pid, output):
            shutil.copytree(data_dir, copy)
            for _ in range(BATCHES):
                request, sent_s = batch(), time.time()
                client.decisions.Record(request, timeout=TIMEOUT_S)
                acknowledged.append(Acknowledged(request, sent_s, time.time()))
            server.process.kill()
    calls = [call for call in read_calls(output) if str(data_dir) in call.path]
    return Trace(data_dir, copy, acknowledged, calls)


def stored_batches(path: Path) -> set[bytes]:
    """Request ids in the journal at `path`, up to the first frame that is not whole."""
    found = set()
    with SqliteJournal(path) as journal:
        for frame in checked(journal.frames(), accepted=[]):
            if not isinstance(frame, StoredFrame):
                break
            found |= {entry.batch.request_id for entry in JournalFrame.FromString(frame.body).entries}
    return found
