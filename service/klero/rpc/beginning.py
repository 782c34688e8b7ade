"""What a server does beside its first decisions: bring the tally back, then take outcomes and changes.

Decisions need the catalog only. Until the journal is read, Record is held, results say that they are
behind, and changes wait, because they would reach the journal before what it lacks.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from klero.errors import ResultsBehindError, ShuttingDownError
from klero.journal.replay import replay

if TYPE_CHECKING:
    from collections.abc import Mapping

    import grpc

    from klero.catalog.sqlite import SqliteCatalog
    from klero.data_directory import DataDirectory
    from klero.engine import Engine
    from klero.journal.checkpointer import Checkpointer
    from klero.journal.checkpoints import Checkpoints
    from klero.journal.sqlite import SqliteJournal
    from klero.journal.writer import JournalWriter
    from klero.rpc.changes import Changes
    from klero.rpc.methods import Call

_WITHOUT_JOURNAL = frozenset({"GetExperiment", "ListExperiments", "ListAuditEntries", "ListOverrides"})
_BEHIND = frozenset({"GetExperimentResults", "GetExperimentHistory", "GetExperimentStatus"})


@dataclass(frozen=True, slots=True)
class Stores:
    """What is on the disk."""

    directory: DataDirectory
    catalog: SqliteCatalog
    journal: SqliteJournal
    checkpoints: Checkpoints


class Beginning:
    """Reads the journal, then starts who writes it. Belongs to one event loop."""

    def __init__(
        self,
        engine: Engine,
        stores: Stores,
        changes: Changes,
        *,
        writer: JournalWriter,
        checkpointer: Checkpointer,
    ) -> None:
        """Name the collaborators; both threads are not started yet."""
        self._engine = engine
        self._stores = stores
        self._changes = changes
        self._writer = writer
        self._checkpointer = checkpointer
        self._end = stores.journal.end()
        self._cancelled = threading.Event()
        self._over = asyncio.Event()

    async def run(self) -> bool:
        """Replay, tell the journal what it lacks, and let everyone in; returns whether it came so far.

        Raises:
            StartupError: The journal is damaged.
        """
        if not await asyncio.to_thread(self._replay):
            return False
        await self._changes.catch_up(begin=self._start_threads)
        self._over.set()
        return True

    async def stop(self, running: asyncio.Task[None]) -> None:
        """Give up what has not begun, and send those away who wait for it; `running` is the task of `run`."""
        self._cancelled.set()
        self._over.set()
        await asyncio.wait({running})

    def guarded(self, served: Mapping[str, Call]) -> dict[str, Call]:
        """The calls, each as long as it must wait."""
        return {name: call if name in _WITHOUT_JOURNAL else self._guard(name, call) for name, call in served.items()}

    def _guard(self, name: str, call: Call) -> Call:
        async def guarded(request: object, context: grpc.aio.ServicerContext[object, object]) -> object:
            if not self._over.is_set():
                if name in _BEHIND:
                    raise ResultsBehindError(min_position=self._end, as_of=self._engine.position)
                await self._over.wait()
                if self._cancelled.is_set():
                    raise ShuttingDownError
            return await call(request, context)

        return guarded

    def _replay(self) -> bool:
        self._stores.checkpoints.remove_unfinished()
        return replay(
            self._engine,
            self._stores.journal,
            self._stores.checkpoints,
            folded=self._checkpointer.folded,
            cancelled=self._cancelled.is_set,
        )

    def _start_threads(self) -> None:
        self._writer.start()
        self._checkpointer.start()
