"""The one road of a change: catalog, then journal, then snapshot.

The catalog is written first, by compare-and-swap and with the audit entry. The journal gets what
the fold must know before any decision rests on it. What is in the catalog and not in the journal,
because the process died in between, is appended at the next start; the catalog remembers up to
which revision nothing is lacking, so that the snapshot need not wait for that.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from klero import lifecycle
from klero.audit import field_changes
from klero.catalog.history import Iteration
from klero.errors import CatalogContendedError, KleroError
from klero.v1.events_pb2 import AuditEntry, ResourceType

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from klero.catalog.sqlite import SqliteCatalog
    from klero.engine import Engine
    from klero.rpc.decisions import Waiting
    from klero.storage.v1.journal_pb2 import Control
    from klero.v1.experiment_pb2 import Experiment, Snapshot

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

log = logging.getLogger(__name__)

_ATTEMPTS = 5
# Without tokens nobody has a name.
ANONYMOUS = "anonymous"
# The server acting by itself.
CONTROLLER = "controller"
# What comes in can still change results.
_COUNTING = {lifecycle.RUNNING, lifecycle.PAUSED, lifecycle.DRAINING}


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
        self._counting: dict[Iteration, int] = {}

    @property
    def draining(self) -> list[Experiment]:
        """Experiments in force that wait for their last window to close."""
        return self._draining

    @property
    def counting(self) -> Mapping[Iteration, int]:
        """Iterations that run or drain, each with its start, Unix milliseconds; another object after a change."""
        return self._counting

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

    async def delete(
        self, namespace: str, experiment_id: str, check: Callable[[Experiment], None], cause: Cause
    ) -> None:
        """Remove a definition that `check` does not refuse.

        Raises:
            CatalogContendedError: Others were faster each time.
        """
        await _to_the_end(self._delete(namespace, experiment_id, check, cause))

    async def audit_page(
        self, namespace: str, *, before: int, size: int, wanted: Callable[[AuditEntry], bool]
    ) -> list[AuditEntry]:
        """Up to `size` audit entries below revision `before` that are `wanted`, newest first."""
        return await self._on_disk(lambda: self._catalog.audit_page(namespace, before=before, size=size, wanted=wanted))

    async def forget(self, namespace: str, entity_id: str, cause: Cause) -> int:
        """Have nothing known of an entity any more; returns the journal position from which on that holds."""
        return await _to_the_end(self._forget(namespace, entity_id, cause))

    def all_told(self) -> bool:
        """Before serving: whether the journal lacks nothing, so that the catalog may be put in force unread."""
        return self._catalog.all_told()

    def load(self) -> None:
        """Before serving: put the catalog in force."""
        self._put_in_force(self._catalog.snapshot())

    async def catch_up(self, *, begin: Callable[[], None]) -> None:
        """Once the journal is read: tell it what it lacks, and put the catalog in force.

        Args:
            begin: Starts the writer; called when all that the journal lacks is queued.
        """
        snapshot = await self._on_disk(self._catalog.snapshot)
        tickets = [self._engine.control(control) for control in self._lacking(snapshot)]
        # Tasks, so that they wait before the writer can answer.
        answers = [asyncio.create_task(self._waiting.answer(ticket)) for ticket in tickets]
        begin()
        try:
            await asyncio.gather(*answers)
            await self._on_disk(self._catalog.mark_told, 1, snapshot.revision)
        except KleroError:
            log.exception("the journal could not be told what it lacks; the next start tries again")
        self._put_in_force(snapshot)

    def close(self) -> None:
        """Finish what is under way and close the catalog."""
        self._disk.shutdown(wait=True)
        self._catalog.close()

    def _lacking(self, snapshot: Snapshot) -> list[Control]:
        known = {(state.namespace, state.experiment_id, state.iteration): state for state in self._engine.iterations()}
        lacking: list[Control] = []
        for experiment in snapshot.experiments:
            state = known.get((experiment.namespace, experiment.id, experiment.iteration))
            told = 0 if state is None else 1 + int(state.stopped)
            all_of_it = lifecycle.controls(experiment)
            lacking += all_of_it[told:]
            if experiment.closed_early and told == len(all_of_it) and not self._is_closed(experiment):
                lacking.append(all_of_it[-1])
        return lacking

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

    async def _delete(
        self, namespace: str, experiment_id: str, check: Callable[[Experiment], None], cause: Cause
    ) -> None:
        async with self._changing:
            for _ in range(_ATTEMPTS):
                before = await self.get(namespace, experiment_id)
                check(before)
                entry = self._entry(namespace, ResourceType.RESOURCE_TYPE_EXPERIMENT, experiment_id, cause)
                try:
                    revision = await self._on_disk(self._catalog.delete, before, entry)
                except CatalogContendedError:
                    continue
                await self._on_disk(self._catalog.mark_told, revision, revision)
                self._put_in_force(await self._on_disk(self._catalog.snapshot))
                return
        raise CatalogContendedError(attempts=_ATTEMPTS)

    async def _publish(self, after: Experiment, *, before: Experiment | None) -> None:
        told = lifecycle.controls(before) if before is not None else []
        for control in lifecycle.controls(after):
            if control not in told:
                await self._waiting.answer(self._engine.control(control))
        await self._on_disk(self._catalog.mark_told, after.revision, after.revision)
        self._put_in_force(await self._on_disk(self._catalog.snapshot))

    def _put_in_force(self, snapshot: Snapshot) -> None:
        self._engine.load(snapshot)
        self._draining = [each for each in snapshot.experiments if each.status == lifecycle.DRAINING]
        self._counting = {
            Iteration(each.namespace, each.id, each.iteration): each.started_at.ToMilliseconds()
            for each in snapshot.experiments
            if each.status in _COUNTING
        }

    def _is_closed(self, experiment: Experiment) -> bool:
        """Whether the journal knows that no window of the latest iteration is open."""
        tally = self._engine.tally(experiment.namespace, experiment.id, experiment.iteration)
        return tally is not None and tally.closed

    async def _forget(self, namespace: str, entity_id: str, cause: Cause) -> int:
        # The trail outlives the entity, so that it has a name of it only that nobody can read,
        # and that nobody can find by trying ids.
        secret = self._catalog.secret
        named = hmac.new(secret, f"{namespace}/{entity_id}".encode(), hashlib.sha256).hexdigest()
        entry = self._entry(namespace, ResourceType.RESOURCE_TYPE_ENTITY, named, cause)
        async with self._changing:
            revision = await self._on_disk(self._catalog.note, entry)
            await self._waiting.answer(self._engine.forget(namespace, entity_id, self._clock()))
            await self._on_disk(self._catalog.mark_told, revision, revision)
            return self._engine.position

    def _audit(self, after: Experiment, before: Experiment | None, cause: Cause) -> AuditEntry:
        entry = self._entry(after.namespace, ResourceType.RESOURCE_TYPE_EXPERIMENT, after.id, cause)
        entry.changes.extend(field_changes(before, after))
        return entry

    def _entry(
        self, namespace: str, resource_type: ResourceType.ValueType, resource_id: str, cause: Cause
    ) -> AuditEntry:
        entry = AuditEntry(
            namespace=namespace,
            actor=cause.actor,
            action=cause.action,
            resource_type=resource_type,
            resource_id=resource_id,
            reason=cause.reason,
        )
        entry.occurred_at.FromMilliseconds(self._clock())
        return entry

    async def _on_disk(
        self, call: Callable[_Arguments, _Result], *args: _Arguments.args, **kwargs: _Arguments.kwargs
    ) -> _Result:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._disk, lambda: call(*args, **kwargs))


async def _to_the_end(change: Coroutine[Any, Any, _Result]) -> _Result:
    """Await a change that goes on if its caller leaves: the catalog may have it, the journal not yet."""
    return await asyncio.shield(asyncio.ensure_future(change))
