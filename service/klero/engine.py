"""The Rust core as the server sees it: the only importer of `klero._core` there.

Nothing is decided here: messages become bytes, bytes become messages, and what the core refuses
becomes an error of `klero.errors`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from klero import _core
from klero.errors import EncodedError, FieldViolation, InvalidFieldError
from klero.storage.v1.tally_pb2 import Breakdown, IterationTally, JournalTally
from klero.v1.experiment_pb2 import Allocation, Experiment
from klero.v1.experiment_service_pb2 import Warning as DefinitionWarning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from klero._core import Frame
    from klero.errors import KleroError
    from klero.storage.v1.journal_pb2 import Control
    from klero.v1.experiment_pb2 import Snapshot

PROFILE = _core.PROFILE
"""How the core was built: `release`, or `debug`, which is slower."""

# Longest wait for something to write; then the writer looks whether the queue was closed.
_TAKE_TIMEOUT_MS = 1000
_REASSIGNED_ENTITIES = 100_000


@dataclass(frozen=True, slots=True)
class IterationState:
    """What the journal has been told of an iteration that it knows."""

    stopped: bool
    """Whether its end is there."""

    closed: bool
    """Whether it stopped and every window has closed."""

    paused: bool
    """Whether a pause has begun and not ended."""

    epoch: int
    """The highest epoch. 0: none."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What could be used of checkpoints."""

    position: int
    """Behind which frames are to be replayed. 0: nothing could be used."""

    unusable: tuple[str, ...]
    """What could not be used, each with its part and why."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """That nothing may be known any more of an entity, up to a position of the journal."""

    namespace: str
    key: int
    """Keyed hash of the entity's id."""

    position: int


class ExposureRow(NamedTuple):
    """An exposure as the journal has it."""

    namespace: str
    experiment_id: str
    iteration: int
    epoch: int
    variant_id: str
    entity_type: str
    entity_id: str
    occurred_at_ms: int
    """Unix milliseconds."""
    reason: str
    """Of the decision: `split`, `external`."""
    status: str
    """`first` enrolled the entity, `again` repeats, `conflicting` has another variant than the first;
    `not_randomized`, `after_stop` and `unknown` count in no arm."""
    attributes: str
    """JSON of those that the plan reads."""


class OutcomeRow(NamedTuple):
    """An outcome as the journal has it."""

    namespace: str
    entity_id: str
    entities: str
    """JSON of ids by entity type. Empty: none are named."""
    event: str
    value: float
    occurred_at_ms: int
    """Unix milliseconds."""
    event_id: str
    """Empty: none."""
    supersedes: str
    """Empty: nothing."""
    experiment_id: str
    """Empty: it names no experiment."""
    variant_id: str
    iteration: int
    """0: it names no experiment."""
    matched: bool
    """Whether an exposure of the entity was known when it came."""


def admit(definition: Experiment) -> tuple[Experiment, list[DefinitionWarning]]:
    """Check a definition and bring it into the one form that is stored.

    Raises:
        InvalidFieldError: Fields break their rules; names all of them.
    """
    try:
        canonical, warnings = _core.admit(definition.SerializeToString())
    except _core.InvalidDefinitionError as error:
        raise _invalid(error) from error
    return Experiment.FromString(canonical), [DefinitionWarning.FromString(warning) for warning in warnings]


def allocation(definition: Experiment) -> Allocation:
    """Weights and traffic with which an iteration of a checked definition begins."""
    return Allocation.FromString(_core.allocation(definition.SerializeToString()))


def reassigned(before: Experiment, after: Experiment) -> float:
    """Percent of the entities enrolled under `before` that would get another variant under `after`.

    Both are checked definitions, taken as running with their ramps over. Counted over 100,000 made-up entities;
    with `n` of them enrolled the standard error is at most 50 / sqrt(n): 0.16 at full traffic, 1.6 at 1 percent.
    0 if nobody is enrolled under `before`. Takes about as long as 200,000 decisions.

    Raises:
        InvalidFieldError: One of the two cannot be served; names all fields that break their rules.
    """
    try:
        percent = _core.reassigned(before.SerializeToString(), after.SerializeToString(), _REASSIGNED_ENTITIES)
    except _core.InvalidDefinitionError as error:
        raise _invalid(error) from error
    return 0.0 if percent is None else percent


def keeps_variants(definition: Experiment) -> bool:
    """Whether entities of a checked definition keep their first variant when weights change."""
    return _core.keeps_variants(definition.SerializeToString())


def forgotten(position: int, body: bytes) -> list[Forgotten]:
    """Entities that the frame at `position` says to forget.

    Raises:
        ValueError: The bytes are no frame that this version reads.
    """
    return [Forgotten(namespace, key, position) for namespace, key in _core.forgotten(body)]


def _invalid(error: _core.InvalidDefinitionError) -> InvalidFieldError:
    return InvalidFieldError(tuple(FieldViolation(field, description) for field, description in error.args[0]))


def refused(error: _core.StatusError) -> EncodedError:
    """The refusal of the core as an error."""
    code, message, details = error.args
    return EncodedError(code=code, message=message, details=details)


class Engine:
    """Snapshot, queue and tally of this process."""

    def __init__(self, *, secret: bytes, incarnation: bytes) -> None:
        """Begin empty.

        Args:
            secret: Keys the hashes of entities in memory, 16 bytes; the same as long as the data lives.
            incarnation: Names this process in the frames it makes, 16 bytes; never used before.
        """
        self._core = _core.Core(secret, incarnation)

    def load(self, snapshot: Snapshot) -> None:
        """Compile `snapshot` and put it in force.

        Raises:
            InvalidFieldError: A definition cannot be served; the one in force stays.
        """
        try:
            self._core.load(snapshot.SerializeToString())
        except _core.InvalidDefinitionError as error:
            raise _invalid(error) from error

    def recall(self) -> None:
        """Say that all of the journal is folded.

        Until then nobody knows which variant an entity had first, and experiments that look it up enrol nobody.
        """
        self._core.recall()

    def handle(self, method: str, request: bytes, now_ms: int) -> bytes | int:
        """Answer a hot call: the response, or the ticket whose answer the journal writer delivers.

        Raises:
            EncodedError: The core refuses the call.
        """
        try:
            return self._core.handle(method, request, now_ms)
        except _core.StatusError as error:
            raise refused(error) from error

    def control(self, control: Control) -> int:
        """Queue a change of what is measured; returns the ticket of its frame.

        Raises:
            EncodedError: The journal takes no more writes.
        """
        try:
            return self._core.control(control.SerializeToString())
        except _core.StatusError as error:
            raise refused(error) from error

    def forget(self, namespace: str, entity_id: str, now_ms: int) -> int:
        """Queue that nothing may be known of an entity any more; returns the ticket of its frame.

        Raises:
            EncodedError: The journal takes no more writes.
        """
        try:
            return self._core.forget(namespace, entity_id, now_ms)
        except _core.StatusError as error:
            raise refused(error) from error

    def hold(self, *, held: bool) -> None:
        """Refuse Record as long as `held`, with a hint to send it again; decisions go on."""
        self._core.hold(held)

    def take_frame(self, *, idle: Callable[[], None] | None = None) -> Frame | None:
        """Wait for something to write and take all of it; None once the queue is closed and empty.

        `idle` is called whenever nothing has come for a second.
        """
        while True:
            frame, closed = self._core.take(_TAKE_TIMEOUT_MS)
            if frame is not None or closed:
                return frame
            if idle is not None:
                idle()

    def tick(self, now_ms: int) -> bool:
        """Queue a frame without entries if a window closes by `now_ms`; whether it did."""
        return self._core.tick(now_ms)

    def commit(self, frame: Frame, position: int) -> list[tuple[int, bytes | KleroError]]:
        """Fold a frame that is durable at `position`; returns its tickets with their answers.

        An answer is an error where the fold refused the batch, because its request id was forgotten meanwhile,
        and for all that waits if the frame cannot be folded: `fault` says why, and the journal takes no more.
        """
        return [
            (ticket, answer if isinstance(answer, bytes) else refused(answer))
            for ticket, answer in self._core.commit(frame, position)
        ]

    def fail(self, frame: Frame) -> list[int]:
        """Give up a frame and the whole queue; returns the tickets that wait for nothing."""
        return self._core.fail(frame)

    def replay(self, *, position: int, crc: int, body: bytes) -> None:
        """Fold a frame read from the journal.

        Raises:
            ValueError: It is damaged, or of a format that this version does not know.
        """
        self._core.replay(position, crc, body)

    @property
    def checkpoint_parts(self) -> int:
        """Parts that a checkpoint consists of."""
        return _core.CHECKPOINT_PARTS

    def checkpoint(self, part: int) -> tuple[int, bytes]:
        """Position and encoded state of one part of the tally; parts count from 0."""
        return self._core.checkpoint(part)

    def restore(self, parts: list[list[bytes]]) -> Restored:
        """Take over states that `checkpoint` gave, before the first frame.

        Args:
            parts: What there is of each part, newest first; damaged and missing ones are passed over.
        """
        position, unusable = self._core.restore(parts)
        return Restored(position, tuple(f"part {part}: {why}" for part, why in unusable))

    def close_queue(self) -> None:
        """Refuse whatever else comes; what waits is still written."""
        self._core.close()

    @property
    def position(self) -> int:
        """Journal position up to which everything is folded. 0: nothing."""
        return self._core.position

    @property
    def time_ms(self) -> int:
        """Time of the frame at `position`, Unix milliseconds. 0: nothing."""
        return self._core.time_ms

    @property
    def fault(self) -> str | None:
        """Why a frame could not be folded; None if all could."""
        return self._core.fault

    @property
    def dropped_exposures(self) -> int:
        """Exposures that found the queue full since the start."""
        return self._core.dropped_exposures

    def tally(self, namespace: str, experiment_id: str, iteration: int) -> IterationTally | None:
        """What was counted of an iteration; None if the journal does not know it."""
        tally = self._core.tally(namespace, experiment_id, iteration)
        return None if tally is None else IterationTally.FromString(tally)

    def breakdown(self, namespace: str, experiment_id: str, iteration: int, dimension: str) -> Breakdown | None:
        """What was counted of an iteration by an attribute; None if the journal does not know either of them."""
        breakdown = self._core.breakdown(namespace, experiment_id, iteration, dimension)
        return None if breakdown is None else Breakdown.FromString(breakdown)

    def journal_tally(self) -> JournalTally:
        """What was counted of the whole journal."""
        return JournalTally.FromString(self._core.journal_tally())

    @property
    def rejected_items(self) -> int:
        """Items of Record that were refused since the start."""
        return self._core.rejected_items

    def iteration(self, namespace: str, experiment_id: str, iteration: int) -> IterationState | None:
        """What the journal has been told of an iteration; None if it does not know it."""
        state = self._core.iteration(namespace, experiment_id, iteration)
        return None if state is None else IterationState(*state)


class Exporter:
    """Gives the rows of frames, without repeats and without forgotten entities."""

    def __init__(self, *, secret: bytes, forgotten: Iterable[Forgotten]) -> None:
        """Begin before the first frame.

        Args:
            secret: That of the installation, 16 bytes.
            forgotten: All that the journal says to forget.
        """
        self._exporter = _core.Exporter(secret, [(found.namespace, found.key, found.position) for found in forgotten])

    def apply(self, *, position: int, crc: int, body: bytes) -> tuple[list[ExposureRow], list[OutcomeRow]]:
        """Fold the next frame; returns its rows.

        Raises:
            ValueError: It is damaged, or of a format that this version does not know.
        """
        exposures, outcomes = self._exporter.apply(position, crc, body)
        return [ExposureRow(*row) for row in exposures], [OutcomeRow(*row) for row in outcomes]
