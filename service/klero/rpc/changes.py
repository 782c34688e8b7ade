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
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from klero import lifecycle
from klero.audit import field_changes
from klero.catalog.history import Iteration
from klero.catalog.requests import RepeatedRequestError
from klero.errors import CatalogContendedError, KleroError
from klero.overrides import effect
from klero.v1.events_pb2 import AuditEntry, ResourceType

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping

    from klero.catalog.requests import Remembered
    from klero.catalog.sqlite import SqliteCatalog
    from klero.engine import Engine
    from klero.overrides import Whom
    from klero.rpc.decisions import Waiting
    from klero.storage.v1.journal_pb2 import Control
    from klero.v1.experiment_pb2 import Experiment, Override, Snapshot

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

log = logging.getLogger(__name__)

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

    remember: Remembered | None = None
    """The request, if its answer must be kept for a repeat."""


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
        self._revision = 0
        self._timed: list[Experiment] = []
        self._counting: dict[Iteration, int] = {}

    @property
    def revision(self) -> int:
        """Catalog revision that decides; a change of a later one is stored and not in force yet."""
        return self._revision

    @property
    def timed(self) -> list[Experiment]:
        """Experiments in force whose status can change without anybody's call."""
        return self._timed

    @property
    def counting(self) -> Mapping[Iteration, int]:
        """Iterations that run or drain, each with its start, Unix milliseconds; another object after a change."""
        return self._counting

    async def get(self, namespace: str, experiment_id: str) -> Experiment:
        """The stored definition."""
        return await self._on_disk(self._catalog.get, namespace, experiment_id)

    async def judged(self, namespace: str, experiment_id: str, iteration: int) -> Experiment:
        """The definition that judges an iteration; 0 is the latest.

        While an iteration is under way that is the stored one, afterwards the one at its end: a
        later change is for the next iteration.
        """
        stored = await self.get(namespace, experiment_id)
        latest = iteration in {0, stored.iteration}
        if latest and stored.status in lifecycle.MEASURING:
            return stored
        asked = stored.iteration if latest else iteration
        return await self._on_disk(self._catalog.ended, namespace, experiment_id, asked) or stored

    async def page(
        self, namespace: str, *, after: str, size: int, wanted: Callable[[Experiment], bool]
    ) -> list[Experiment]:
        """Up to `size` definitions with ids above `after` that are `wanted`."""
        return await self._on_disk(lambda: self._catalog.page(namespace, after=after, size=size, wanted=wanted))

    async def remembered(self, request: Remembered) -> bytes | None:
        """The answer to an earlier request with the same id, once its change is in force; None if there was none.

        Raises:
            RequestIdReusedError: It was another request.
        """
        async with self._changing:
            return await self._on_disk(self._catalog.remembered, request)

    async def create(self, experiment: Experiment, cause: Cause) -> Experiment:
        """Store a new definition and put it in force."""
        return await _to_the_end(self._create(experiment, cause))

    async def change(
        self, namespace: str, experiment_id: str, step: Callable[[Experiment], Experiment], cause: Cause
    ) -> Experiment:
        """Read a definition, apply the pure `step`, store the result and put it in force.

        Nothing is stored if `step` gives back what it was given.

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

    async def override(self, whom: Whom) -> tuple[Experiment, Override | None]:
        """The stored definition, and the override in force."""
        experiment = await self.get(whom.namespace, whom.experiment_id)
        return experiment, await self._on_disk(self._catalog.overrides.get, whom, now_ms=self._clock())

    async def overrides_page(
        self, namespace: str, *, experiment_id: str, after: Whom | None, size: int
    ) -> list[Override]:
        """Up to `size` overrides in force behind `after`, of one experiment or, with an empty id, of all."""
        return await self._on_disk(
            lambda: self._catalog.overrides.page(
                namespace, experiment_id=experiment_id, after=after, size=size, now_ms=self._clock()
            )
        )

    async def force(
        self,
        whom: Whom,
        step: Callable[[Experiment, Override | None], Override | None],
        cause: Cause,
    ) -> Override | None:
        """Read an override, apply the pure `step`, store what it gives and put it in force; None removes it."""
        return await _to_the_end(self._force(whom, step, cause))

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
        snapshot = self._catalog.snapshot()
        self._engine.load(snapshot)
        self._watch(snapshot)

    async def catch_up(self, *, begin: Callable[[], None]) -> None:
        """Once the journal is read: tell it what it lacks, and put the catalog in force.

        Args:
            begin: Starts the writer; called when all that the journal lacks is queued.
        """
        snapshot = await self._on_disk(self._catalog.snapshot)
        lacking = [control for experiment in snapshot.experiments for control in self._lacking(experiment)]
        tickets = [self._engine.control(control) for control in lacking]
        # Waited for before the writer can answer.
        answers = [self._waiting.answer(ticket) for ticket in tickets]
        begin()
        try:
            await asyncio.gather(*answers)
            await self._on_disk(self._catalog.mark_told, 1, snapshot.revision)
        except KleroError:
            log.exception("the journal could not be told what it lacks; the next start tries again")
        await asyncio.to_thread(self._engine.recall)
        await self._put_in_force(snapshot)

    def close(self) -> None:
        """Finish what is under way and close the catalog."""
        self._disk.shutdown(wait=True)
        self._catalog.close()

    def _lacking(self, experiment: Experiment) -> list[Control]:
        known = self._engine.iteration(experiment.namespace, experiment.id, experiment.iteration)
        return lifecycle.lacking(experiment, known)

    @asynccontextmanager
    async def _alone(self, cause: Cause) -> AsyncIterator[None]:
        """One change at a time, and none that another request with the same id has made meanwhile.

        Raises:
            RepeatedRequestError: It has.
        """
        async with self._changing:
            remember = cause.remember
            if remember is not None and await self._on_disk(self._catalog.remembered, remember) is not None:
                raise RepeatedRequestError
            yield

    async def _create(self, experiment: Experiment, cause: Cause) -> Experiment:
        async with self._alone(cause):
            entry = self._audit(experiment, None, cause)
            stored = await self._on_disk(self._catalog.create, experiment, entry, remember=cause.remember)
            await self._publish(stored)
        return stored

    async def _change(
        self, namespace: str, experiment_id: str, step: Callable[[Experiment], Experiment], cause: Cause
    ) -> Experiment:
        async with self._alone(cause):
            for _ in range(_ATTEMPTS):
                before = await self.get(namespace, experiment_id)
                # Who would move is counted by deciding many times, for which no call should wait.
                after = await asyncio.to_thread(step, before)
                if after is before:
                    if cause.remember is not None:
                        await self._on_disk(self._catalog.remember, cause.remember, before)
                    return before
                # What is stored next may hide what was lacking: an end, once another iteration has begun.
                await self._tell(before)
                ended = before if before.iteration and before.status in lifecycle.ENDED else None
                try:
                    stored = await self._on_disk(
                        self._catalog.replace,
                        after,
                        self._audit(after, before, cause),
                        ended=ended,
                        remember=cause.remember,
                    )
                except CatalogContendedError:
                    continue
                await self._publish(stored)
                return stored
        raise CatalogContendedError(attempts=_ATTEMPTS)

    async def _delete(
        self, namespace: str, experiment_id: str, check: Callable[[Experiment], None], cause: Cause
    ) -> None:
        async with self._alone(cause):
            for _ in range(_ATTEMPTS):
                before = await self.get(namespace, experiment_id)
                check(before)
                entry = self._entry(namespace, ResourceType.RESOURCE_TYPE_EXPERIMENT, experiment_id, cause)
                try:
                    revision = await self._on_disk(self._catalog.delete, before, entry, remember=cause.remember)
                except CatalogContendedError:
                    continue
                await self._publish_untold(revision)
                return
        raise CatalogContendedError(attempts=_ATTEMPTS)

    async def _force(
        self, whom: Whom, step: Callable[[Experiment, Override | None], Override | None], cause: Cause
    ) -> Override | None:
        async with self._alone(cause):
            experiment, before = await self.override(whom)
            after = step(experiment, before)
            entry = self._entry(whom.namespace, ResourceType.RESOURCE_TYPE_OVERRIDE, whom.resource_id, cause)
            entry.changes.extend(field_changes(effect(before), effect(after)))
            stored = await self._on_disk(self._catalog.overrides.replace, whom, after, entry, remember=cause.remember)
            await self._publish_untold(entry.revision)
            return stored

    async def _publish_untold(self, revision: int) -> None:
        """Put a change in force of which the journal need not know."""
        await self._on_disk(self._catalog.mark_told, revision, revision)
        await self._put_in_force(await self._on_disk(self._catalog.snapshot))

    async def _tell(self, experiment: Experiment) -> None:
        tickets = [self._engine.control(control) for control in self._lacking(experiment)]
        await asyncio.gather(*(self._waiting.answer(ticket) for ticket in tickets))

    async def _publish(self, after: Experiment) -> None:
        await self._tell(after)
        await self._on_disk(self._catalog.mark_told, after.revision, after.revision)
        await self._put_in_force(await self._on_disk(self._catalog.snapshot))

    async def _put_in_force(self, snapshot: Snapshot) -> None:
        # The first variants of many entities take a while to gather.
        await asyncio.to_thread(self._engine.load, snapshot)
        self._watch(snapshot)

    def _watch(self, snapshot: Snapshot) -> None:
        self._revision = snapshot.revision
        self._timed = [each for each in snapshot.experiments if lifecycle.is_timed(each)]
        self._counting = {
            Iteration(each.namespace, each.id, each.iteration): each.started_at.ToMilliseconds()
            for each in snapshot.experiments
            if each.status in lifecycle.MEASURING
        }

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
