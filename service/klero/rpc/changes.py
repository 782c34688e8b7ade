"""The one road of a change: catalog, then journal, then snapshot.

The catalog is written first, by compare-and-swap and with the audit entry. The journal gets what
the fold must know before any decision rests on it. What is in the catalog and not in the journal,
because the process died in between, is appended at the next start.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from klero import lifecycle
from klero.audit import field_changes
from klero.errors import CatalogContendedError
from klero.v1.events_pb2 import AuditEntry, ResourceType

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from klero.catalog.sqlite import SqliteCatalog
    from klero.engine import Engine
    from klero.rpc.decisions import Waiting
    from klero.v1.experiment_pb2 import Experiment, Snapshot

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

_ATTEMPTS = 5
# Without tokens nobody has a name.
ANONYMOUS = "anonymous"
# The server acting by itself.
CONTROLLER = "controller"


@dataclass(frozen=True, slots=True)
class Cause:
    """Who changes something, how and why: for the audit trail."""

    action: str
    """Name of the RPC, or what the controller did."""

    reason: str
    """From the request; may be empty."""

    actor: str = ANONYMOUS


class Changes:
    """Reads and changes definitions, one change at a time."""

    def __init__(self, catalog: SqliteCatalog, engine: Engine, waiting: Waiting, *, clock: Callable[[], int]) -> None:
        """Name the collaborators; `clock` gives Unix milliseconds."""
        self._catalog = catalog
        self._engine = engine
        self._waiting = waiting
        self._clock = clock
        # The catalog blocks on the disk; one thread keeps its calls in order.
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="catalog")
        self._changing = asyncio.Lock()
        self._draining: list[Experiment] = []

    @property
    def draining(self) -> list[Experiment]:
        """Experiments in force that wait for their last window to close."""
        return self._draining

    async def get(self, namespace: str, experiment_id: str) -> Experiment:
        """The stored definition."""
        return await self._on_disk(self._catalog.get, namespace, experiment_id)

    async def page(self, namespace: str, *, after: str, size: int) -> list[Experiment]:
        """Up to `size` definitions with ids above `after`."""
        return await self._on_disk(lambda: self._catalog.page(namespace, after=after, size=size))

    async def create(self, experiment: Experiment, cause: Cause) -> Experiment:
        """Store a new definition and put it in force."""
        return await _to_the_end(self._create(experiment, cause))

    async def change(
        self, namespace: str, experiment_id: str, step: Callable[[Experiment], Experiment], cause: Cause
    ) -> Experiment:
        """Read a definition, apply the pure `step`, store the result and put it in force.

        Raises:
            CatalogContendedError: Others were faster each time.
        """
        return await _to_the_end(self._change(namespace, experiment_id, step, cause))

    def load(self) -> None:
        """Before serving: tell the journal what it lacks, and put the catalog in force."""
        known = {(state.namespace, state.experiment_id, state.iteration): state for state in self._engine.iterations()}
        snapshot = self._catalog.snapshot()
        for experiment in snapshot.experiments:
            state = known.get((experiment.namespace, experiment.id, experiment.iteration))
            told = 0 if state is None else 1 + int(state.stopped)
            controls = lifecycle.controls(experiment)
            for control in controls[told:]:
                self._engine.control(control)
            if experiment.closed_early and told == len(controls) and not self._is_closed(experiment):
                self._engine.control(controls[-1])
        self._put_in_force(snapshot)

    def close(self) -> None:
        """Finish what is under way and close the catalog."""
        self._disk.shutdown(wait=True)
        self._catalog.close()

    async def _create(self, experiment: Experiment, cause: Cause) -> Experiment:
        async with self._changing:
            stored = await self._on_disk(self._catalog.create, experiment, self._audit(experiment, None, cause))
            await self._publish(stored, before=None)
        return stored

    async def _change(
        self, namespace: str, experiment_id: str, step: Callable[[Experiment], Experiment], cause: Cause
    ) -> Experiment:
        async with self._changing:
            for _ in range(_ATTEMPTS):
                before = await self.get(namespace, experiment_id)
                after = step(before)
                try:
                    stored = await self._on_disk(self._catalog.replace, after, self._audit(after, before, cause))
                except CatalogContendedError:
                    continue
                await self._publish(stored, before=before)
                return stored
        raise CatalogContendedError(attempts=_ATTEMPTS)

    async def _publish(self, after: Experiment, *, before: Experiment | None) -> None:
        told = lifecycle.controls(before) if before is not None else []
        for control in lifecycle.controls(after):
            if control not in told:
                await self._waiting.answer(self._engine.control(control))
        self._put_in_force(await self._on_disk(self._catalog.snapshot))

    def _put_in_force(self, snapshot: Snapshot) -> None:
        self._engine.load(snapshot)
        self._draining = [each for each in snapshot.experiments if each.status == lifecycle.DRAINING]

    def _is_closed(self, experiment: Experiment) -> bool:
        """Whether the journal knows that no window of the latest iteration is open."""
        tally = self._engine.tally(experiment.namespace, experiment.id, experiment.iteration)
        return tally is not None and tally.closed

    def _audit(self, after: Experiment, before: Experiment | None, cause: Cause) -> AuditEntry:
        entry = AuditEntry(
            namespace=after.namespace,
            actor=cause.actor,
            action=cause.action,
            resource_type=ResourceType.RESOURCE_TYPE_EXPERIMENT,
            resource_id=after.id,
            reason=cause.reason,
            changes=field_changes(before, after),
        )
        now = Timestamp()
        now.FromMilliseconds(self._clock())
        entry.occurred_at.CopyFrom(now)
        return entry

    async def _on_disk(
        self, call: Callable[_Arguments, _Result], *args: _Arguments.args, **kwargs: _Arguments.kwargs
    ) -> _Result:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._disk, lambda: call(*args, **kwargs))


async def _to_the_end(change: Coroutine[Any, Any, _Result]) -> _Result:
    """Await a change that goes on if its caller leaves: the catalog may have it, the journal not yet."""
    return await asyncio.shield(asyncio.ensure_future(change))
