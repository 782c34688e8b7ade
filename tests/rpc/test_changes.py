"""The road of a change, when not everything goes as it should."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import threading
from typing import TYPE_CHECKING

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from klero import engine as core
from klero import lifecycle
from klero.catalog.sqlite import SqliteCatalog
from klero.engine import Engine
from klero.errors import EncodedError, JournalUnavailableError
from klero.rpc.changes import Cause, Changes
from klero.rpc.decisions import Waiting
from klero.v1.decision_pb2 import DecisionReason, ExposureMode
from klero.v1.decision_service_pb2 import AssignRequest, AssignResponse
from klero.v1.events_pb2 import AuditEntry, ResourceType
from klero.v1.experiment_pb2 import ExperimentStatus
from tests.rpc.calls import ab_test

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from klero._core import Frame
    from klero.storage.v1.journal_pb2 import Control
    from klero.v1.experiment_pb2 import Experiment

NOW = Timestamp(seconds=1_800_000_000)
CAUSE = Cause("StartExperiment", "")


class CountingEngine(Engine):
    """Says what waits to be written, so that all that one step queues is taken at once."""

    queued = 0

    def control(self, control: Control) -> int:
        """Count it."""
        self.queued += 1
        return super().control(control)

    def forget(self, namespace: str, entity_id: str, now_ms: int) -> int:
        """Count it."""
        self.queued += 1
        return super().forget(namespace, entity_id, now_ms)


class Node:
    """Engine, catalog and changes without a writer: a frame becomes durable when the test says so."""

    def __init__(self, path: Path) -> None:
        """Begin with the catalog at `path`."""
        self.catalog = SqliteCatalog(path)
        self.engine = CountingEngine(secret=self.catalog.secret, incarnation=bytes(15) + b"\1")
        self.waiting = Waiting(asyncio.get_running_loop())
        self.changes = Changes(self.catalog, self.engine, self.waiting, clock=NOW.ToMilliseconds)

    async def create(self) -> None:
        """Store a draft."""
        definition, _ = core.admit(ab_test("default"))
        await self.changes.create(lifecycle.draft(definition, now=NOW), Cause("CreateExperiment", ""))

    async def start(self) -> Experiment:
        """Begin an iteration."""
        return await self.changes.change("default", "exp", _started, CAUSE)

    async def until_stored(self) -> None:
        """Wait until the catalog has the start."""
        running = ExperimentStatus.EXPERIMENT_STATUS_RUNNING
        await _until(lambda: self.catalog.get("default", "exp").status == running)

    async def until_in_force(self) -> None:
        """Wait until decisions are those of the started experiment."""
        await _until(lambda: self.reason() == DecisionReason.DECISION_REASON_SPLIT)

    async def take(self) -> Frame:
        """What waits to be written, once something does."""
        await _until(lambda: self.engine.queued > 0)
        self.engine.queued = 0
        frame = await asyncio.to_thread(self.engine.take_frame)
        assert frame is not None
        return frame

    async def write(self) -> None:
        """Make what waits durable, fold it, wake who waits."""
        frame = await self.take()
        self.waiting.deliver(self.engine.commit(frame, self.engine.position + 1))

    def stopped(self, iteration: int) -> bool | None:
        """Whether the journal has the end of an iteration; None if it has no start of it."""
        state = self.engine.iteration("default", "exp", iteration)
        return None if state is None else state.stopped

    def reason(self) -> DecisionReason.ValueType:
        """Of the decision that an agent gets now."""
        request = AssignRequest(
            experiment_id="exp", entity_id="u", exposure=ExposureMode.EXPOSURE_MODE_NONE
        ).SerializeToString()
        answer = self.engine.handle("Assign", request, NOW.ToMilliseconds())
        assert isinstance(answer, bytes)
        return AssignResponse.FromString(answer).decision.reason


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110  # nobody tells: what is looked at knows nothing of tests
            await asyncio.sleep(0.001)


def _started(stored: Experiment) -> Experiment:
    return lifecycle.start(stored, allocation=core.allocation(stored), now=NOW)


def _stopped(stored: Experiment) -> Experiment:
    return lifecycle.stop(stored, ship_variant_id="", now=NOW)


def _archived(stored: Experiment) -> Experiment:
    return lifecycle.archive(stored, now=NOW)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    """A node with a draft."""
    node = Node(tmp_path / "catalog.db")
    await node.create()
    yield node
    node.changes.close()


async def test_nothing_is_decided_before_the_journal_knows_the_plan(node: Node) -> None:
    """An exposure in the journal before its plan would be counted nowhere."""
    starting = asyncio.create_task(node.start())
    await node.until_stored()
    await asyncio.sleep(0.02)
    assert node.reason() == DecisionReason.DECISION_REASON_NOT_STARTED
    assert node.stopped(1) is None
    assert node.changes.revision < node.catalog.get("default", "exp").revision

    await node.write()
    started = await starting

    assert started.revision == node.changes.revision
    assert node.reason() == DecisionReason.DECISION_REASON_SPLIT
    assert node.stopped(1) is False


async def test_a_change_is_finished_though_its_caller_leaves(node: Node) -> None:
    """A caller whose deadline passes while the disk is slow must not leave an experiment half started."""
    starting = asyncio.create_task(node.start())
    await node.until_stored()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting

    await node.write()

    await node.until_in_force()
    assert node.stopped(1) is False


async def test_the_journal_learns_at_the_next_start_what_it_missed(node: Node, tmp_path: Path) -> None:
    """A crash between catalog and journal leaves a running experiment that must be measured."""
    starting = asyncio.create_task(node.start())
    await node.until_stored()
    frame = await node.take()
    node.waiting.deliver([(ticket, JournalUnavailableError()) for ticket in node.engine.fail(frame)])
    with pytest.raises(JournalUnavailableError):
        await starting

    again = Node(tmp_path / "catalog.db")
    assert not again.changes.all_told()
    began: list[bool] = []
    catching_up = asyncio.create_task(again.changes.catch_up(begin=lambda: began.append(True)))
    await _until(lambda: began == [True])
    await again.write()
    await catching_up

    assert again.stopped(1) is False
    assert again.reason() == DecisionReason.DECISION_REASON_SPLIT
    assert again.changes.all_told()
    again.engine.close_queue()
    assert again.engine.take_frame() is None
    again.changes.close()


async def test_a_change_that_the_journal_missed_is_not_covered_by_a_later_one(node: Node) -> None:
    """The snapshot of the next start must wait for the journal until it has been told."""
    assert node.changes.all_told()
    starting = asyncio.create_task(node.start())
    await node.until_stored()
    frame = await node.take()
    node.waiting.deliver([(ticket, JournalUnavailableError()) for ticket in node.engine.fail(frame)])
    with pytest.raises(JournalUnavailableError):
        await starting
    definition, _ = core.admit(ab_test("default", "other"))
    await node.changes.create(lifecycle.draft(definition, now=NOW), Cause("CreateExperiment", ""))

    assert not node.changes.all_told()


async def test_a_change_waits_for_the_journal_to_know_the_one_before(node: Node) -> None:
    """A second iteration, or the archive, would otherwise hide for ever that the first one has ended."""
    starting = asyncio.create_task(node.start())
    await node.until_stored()
    await node.write()
    await starting
    stopping = asyncio.create_task(node.changes.change("default", "exp", _stopped, CAUSE))
    frame = await node.take()
    node.waiting.deliver([(ticket, JournalUnavailableError()) for ticket in node.engine.fail(frame)])
    with pytest.raises(JournalUnavailableError):
        await stopping

    for step in (_started, _archived):
        with pytest.raises(EncodedError, match="journal"):
            await node.changes.change("default", "exp", step, CAUSE)
    stored = node.catalog.get("default", "exp")
    assert (ExperimentStatus.EXPERIMENT_STATUS_STOPPED, 1) == (stored.status, stored.iteration)


async def test_the_trail_of_a_forgotten_entity_does_not_name_it(node: Node) -> None:
    """An id that must go would otherwise stay for ever in what is never deleted."""
    forgetting = asyncio.create_task(node.changes.forget("default", "jané", Cause("ForgetEntity", "asked to")))
    digest = hmac.new(node.catalog.secret, "default/jané".encode(), hashlib.sha256).hexdigest()

    def entries() -> list[AuditEntry]:
        return node.catalog.audit_page("default", before=2**63 - 1, size=9, wanted=lambda of: of.resource_id == digest)

    await _until(lambda: bool(entries()))
    await node.write()

    assert await forgetting == node.engine.position
    (entry,) = entries()
    assert (ResourceType.RESOURCE_TYPE_ENTITY, "ForgetEntity", "asked to") == (
        entry.resource_type,
        entry.action,
        entry.reason,
    )
    assert node.changes.all_told()


async def test_a_step_keeps_no_call_waiting(node: Node) -> None:
    """Counting who moves takes longer than an agent waits for a decision."""
    threads: list[int] = []

    def step(stored: Experiment) -> Experiment:
        threads.append(threading.get_ident())
        return stored

    await node.changes.change("default", "exp", step, CAUSE)

    assert [] != threads
    assert threading.get_ident() not in threads
