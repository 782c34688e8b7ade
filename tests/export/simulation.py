"""A simulated experiment in a data directory: late, early, repeated and conflicting rows, seeded.

The journal is written through the engine, with frame times of the simulation, and the engine that
wrote it says what was counted.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Self

from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp

from klero import engine as core
from klero import lifecycle
from klero.catalog.sqlite import SqliteCatalog
from klero.data_directory import DataDirectory
from klero.engine import Engine
from klero.journal.frames import StoredFrame
from klero.journal.sqlite import SqliteJournal
from klero.storage.v1.journal_pb2 import Control, Epoch, Paused, Resumed
from klero.v1.decision_pb2 import DecisionReason, Exposure, Outcome
from klero.v1.decision_service_pb2 import RecordRequest, RecordResponse
from klero.v1.experiment_pb2 import Experiment, MetricGoal, MetricType, Snapshot
from tests.export.recompute import Iteration
from tests.rpc.calls import uuid7

if TYPE_CHECKING:
    from pathlib import Path


SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
START_MS = 1_800_000_000_000
EPOCHS_MS = (0, 2 * HOUR, 4 * HOUR)
PAUSE_MS = (150 * MINUTE, 153 * MINUTE)
STOP_MS = 6 * HOUR
END_MS = 7 * HOUR + 30 * MINUTE
ENTITIES = 300
OUTCOMES = 10
"""Of an entity, about."""

DEFINITION = {
    "id": "simulated",
    "type": "EXPERIMENT_TYPE_AB_TEST",
    "assignmentSource": "ASSIGNMENT_SOURCE_EXTERNAL",
    "entityType": "user",
    "control": {"id": "a"},
    "variants": [{"id": "b"}],
    "metrics": [
        {"name": "signup", "type": "METRIC_TYPE_CONVERSION", "primary": True, "window": "1800s"},
        {"name": "spend", "window": "7200s", "cap": 80, "lowerBound": -20, "upperBound": 60, "covariates": ["tenure"]},
        {"name": "spend_ever", "event": "spend", "lowerBound": -1000, "upperBound": 1000},
        {"name": "latency", "window": "1800s", "aggregation": "AGGREGATION_MEAN", "covariates": ["tenure", "age"]},
        {"name": "peak", "window": "7200s", "aggregation": "AGGREGATION_MAX"},
        {
            "name": "grade",
            "window": "7200s",
            "aggregation": "AGGREGATION_LAST",
            "missing": "MISSING_POLICY_FAIL",
            "lowerBound": -500,
            "upperBound": 500,
        },
        {"name": "clicks", "event": "click", "window": "3600s", "aggregation": "AGGREGATION_COUNT"},
        {
            "name": "spend_per_click",
            "type": "METRIC_TYPE_RATIO",
            "event": "spend",
            "denominatorEvent": "click",
            "window": "1800s",
            "covariates": ["tenure"],
        },
        {
            "name": "clicks_if_any",
            "event": "click",
            "aggregation": "AGGREGATION_COUNT",
            "missing": "MISSING_POLICY_EXCLUDE",
        },
    ],
    "analysisPlan": {"dimensions": ["country"]},
}
EVENTS = ("signup", "spend", "latency", "peak", "grade", "click")


class Arrival(NamedTuple):
    """Something that reaches the server."""

    at_ms: int
    """When, since the start."""
    number: int
    """Tells those of the same time apart."""
    item: Exposure | Outcome


@dataclass(slots=True)
class Written:
    """What there is once the simulation is over."""

    engine: Engine
    iteration: Iteration


@dataclass
class _World:
    """Entities and what they do: everything that arrives, in order."""

    random: random.Random
    arrivals: list[Arrival] = field(default_factory=list)

    @classmethod
    def of(cls, seed: int) -> Self:
        world = cls(random.Random(seed))
        for number in range(ENTITIES):
            world.live(f"entity-{number}")
        world.arrivals.sort(key=lambda arrival: arrival[:2])
        return world

    def arrive(self, at_ms: float, item: Exposure | Outcome, occurred_ms: int) -> None:
        item.occurred_at.FromMilliseconds(START_MS + occurred_ms)
        self.arrivals.append(Arrival(max(0, int(at_ms)), len(self.arrivals), item))

    def live(self, entity_id: str) -> None:
        exposed = self.random.randrange(STOP_MS + 10 * MINUTE)
        delay = self.random.choice((0, 0, self.span(2 * SECOND), self.span(8 * MINUTE), self.span(HOUR), -MINUTE))
        self.arrive(exposed + delay, self.exposure(entity_id, exposed), exposed)
        while self.random.random() < 0.2:
            again = exposed + self.span(HOUR)
            self.arrive(again + self.span(MINUTE), self.exposure(entity_id, again), again)
        for number in range(self.random.randrange(2 * OUTCOMES)):
            self.happen(f"{entity_id}-{number}", entity_id, exposed)

    def exposure(self, entity_id: str, at_ms: int) -> Exposure:
        ruled = self.random.random() < 0.05
        exposure = Exposure(
            experiment_id="simulated",
            entity_id=entity_id,
            variant_id=self.random.choice("ab"),
            epoch=sum(begin <= at_ms for begin in EPOCHS_MS),
            reason=DecisionReason.DECISION_REASON_RULE if ruled else DecisionReason.DECISION_REASON_SPLIT,
        )
        if self.random.random() < 0.85:
            exposure.attributes["country"].string_value = self.random.choice(("de", "fr", "a'b\"c"))
        for name in ("tenure", "age"):
            if self.random.random() < 0.85:
                exposure.attributes[name].double_value = self.random.gauss(50, 20)
        return exposure

    def happen(self, event_id: str, entity_id: str, exposed: int) -> None:
        # Also at the very limits of windows.
        usual = exposed + int(self.random.triangular(-5 * MINUTE, 150 * MINUTE, 0))
        at = self.random.choice((*[usual] * 9, exposed, exposed + HOUR // 2, exposed + 2 * HOUR))
        outcome = Outcome(entity_id=entity_id, event=self.random.choice(EVENTS), value=self.value())
        delay = self.random.choice((0, self.span(SECOND), self.span(20 * MINUTE), self.span(3 * HOUR), -MINUTE))
        arrival = exposed + 2 * HOUR if self.random.random() < 0.05 else at + delay
        kind = self.random.random()
        if kind < 0.1:
            outcome.entity_id, outcome.entities["user"] = "somebody-else", entity_id
        elif kind < 0.2:
            outcome.experiment_id, outcome.variant_id = "simulated", self.random.choice("ab")
        elif kind < 0.5:
            outcome.event_id = event_id
            if at % 2:
                # One id under two names is still one entity.
                outcome.entities["user"] = entity_id
            if self.random.random() < 0.5:
                again = Outcome()
                again.CopyFrom(outcome)
                self.arrive(arrival + self.span(HOUR), again, at)
            if self.random.random() < 0.5 and outcome.event != "peak":
                self.correct(outcome, arrival, at)
        self.arrive(arrival, outcome, at)

    def correct(self, wrong: Outcome, arrival: int, at: int) -> None:
        """Send other values in the place of one that is already sent."""
        for number in range(self.random.randrange(1, 3)):
            right = Outcome()
            right.CopyFrom(wrong)
            right.event_id, right.supersedes = f"{wrong.event_id}-{number}", wrong.event_id
            right.value = self.random.choice((self.value(), 99.5))
            arrival += self.span(self.random.choice((MINUTE, 20 * MINUTE)))
            at += self.random.choice((0, 0, self.span(5 * MINUTE)))
            self.arrive(arrival, right, at)
            wrong = right

    def value(self) -> float:
        return self.random.choice((0.0, 1.0, round(self.random.gauss(20, 30), 2), self.random.gauss(20, 30)))

    def span(self, longest_ms: int) -> int:
        return self.random.randrange(1, longest_ms)


class Server:
    """Writes what the engine takes, frame by frame."""

    def __init__(self, data_dir: Path) -> None:
        """Make a catalog and a journal in an empty directory."""
        data = DataDirectory(data_dir)
        catalog = SqliteCatalog(data.catalog)
        self.engine = Engine(secret=catalog.secret, incarnation=bytes(15) + b"\1")
        catalog.close()
        self.journal = SqliteJournal(data.journal)
        self.waits = False

    def write(self) -> None:
        """Store and fold what waits, if anything does."""
        if not self.waits:
            return
        self.waits = False
        frame = self.engine.take_frame()
        assert frame is not None
        position = self.engine.position + 1
        stored = StoredFrame(position, frame.time_ms, frame.exposures, frame.outcomes, frame.crc, frame.body)
        self.journal.append(stored)
        for _, answer in self.engine.commit(frame, position):
            assert isinstance(answer, bytes), answer
            assert [] == list(RecordResponse.FromString(answer).rejected)

    def record(self, request: RecordRequest, at_ms: int) -> None:
        """Queue a batch."""
        assert isinstance(self.engine.handle("Record", request.SerializeToString(), START_MS + at_ms), int)
        self.waits = True

    def control(self, control: Control) -> None:
        """In a frame of its own, so that times tell which rows came before."""
        self.write()
        self.engine.control(control)
        self.waits = True
        self.write()

    def forget(self, entity_id: str, at_ms: int) -> None:
        """Queue that an entity is forgotten."""
        self.engine.forget("default", entity_id, START_MS + at_ms)
        self.waits = True

    def tick(self, at_ms: int) -> None:
        """Say that time went on, if a window closes."""
        if self.engine.tick(START_MS + at_ms):
            self.waits = True
            self.write()


def simulate(data_dir: Path, seed: int) -> Written:
    """Write a journal and a catalog into an empty directory."""
    server, world = Server(data_dir), _World.of(seed)
    started = started_experiment()
    ended = lifecycle.stop(started, ship_variant_id="", now=_time(STOP_MS))
    opening, epoch, closing = lifecycle.lacking(ended, None)
    started.allocation.epoch = len(EPOCHS_MS)
    server.engine.load(Snapshot(experiments=[started]))
    server.control(opening)
    server.control(epoch)
    changes = [*_changes(), (STOP_MS, closing)]
    sent: list[RecordRequest] = []
    for batch in _batches(world):
        now = batch[-1].at_ms
        while changes and changes[0][0] <= now:
            server.control(changes.pop(0)[1])
        if now >= END_MS:
            break
        request = RecordRequest(
            request_id=uuid7(START_MS + now, len(sent)),
            exposures=[found.item for found in batch if isinstance(found.item, Exposure)],
            outcomes=[found.item for found in batch if isinstance(found.item, Outcome)],
        )
        sent.append(request)
        server.record(request, now)
        chance = world.random.random()
        if chance < 0.1:
            server.record(world.random.choice(sent[-50:]), now)
        elif chance < 0.13:
            server.forget(f"entity-{world.random.randrange(ENTITIES)}", now)
        if chance > 0.2:
            server.write()
        server.tick(now + 1)
    # The files end where the journal does, so that they say what has settled.
    late = Exposure(experiment_id="simulated", entity_id="latecomer", variant_id="a", epoch=1)
    server.record(RecordRequest(exposures=[late]), END_MS)
    server.write()
    server.journal.close()
    pause = (START_MS + PAUSE_MS[0], START_MS + PAUSE_MS[1])
    return Written(server.engine, Iteration("simulated", 1, opening.started, ended_ms=closing.time_ms, pauses=(pause,)))


def started_experiment() -> Experiment:
    """The definition, running."""
    definition = json_format.ParseDict(DEFINITION, Experiment())
    for metric in definition.metrics:
        metric.type = metric.type or MetricType.METRIC_TYPE_CONTINUOUS
        metric.goal = MetricGoal.METRIC_GOAL_INCREASE
    admitted, _ = core.admit(definition)
    return lifecycle.start(lifecycle.draft(admitted, now=_time(0)), allocation=core.allocation(admitted), now=_time(0))


def _changes() -> list[tuple[int, Control]]:
    """What changes before the stop, and when."""
    changes = []
    for number, at_ms in enumerate(EPOCHS_MS[1:], start=2):
        changes.append((at_ms, Control(epoch=Epoch(number=number, weights={"a": 100 - 20 * number, "b": 20 * number}))))
    changes.append((PAUSE_MS[0], Control(paused=Paused())))
    changes.append((PAUSE_MS[1], Control(resumed=Resumed())))
    for at_ms, control in changes:
        control.namespace, control.experiment_id, control.iteration = "default", "simulated", 1
        control.time_ms = START_MS + at_ms
    return sorted(changes, key=lambda change: change[0])


def _batches(world: _World) -> list[list[Arrival]]:
    """Neighbours travel together, and arrive with the last of them."""
    batches, at = [], 0
    while at < len(world.arrivals):
        size = world.random.choice((1, 1, 2, 4, 8, 16))
        batches.append(world.arrivals[at : at + size])
        at += size
    return batches


def _time(at_ms: int) -> Timestamp:
    time = Timestamp()
    time.FromMilliseconds(START_MS + at_ms)
    return time
