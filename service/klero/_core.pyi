"""The Rust core: bytes in, bytes out. On the server only `klero.engine` imports it."""

from typing import TypeAlias, final

__all__ = [
    "CHECKPOINT_PARTS",
    "PROFILE",
    "Core",
    "Evaluator",
    "Exporter",
    "Frame",
    "InvalidDefinitionError",
    "StatusError",
    "admit",
    "allocation",
    "forgotten",
    "keeps_variants",
    "reassigned",
]

CHECKPOINT_PARTS: int
"""Parts that a checkpoint consists of; part 0 has what belongs to no entity."""

PROFILE: str
"""How this was built: `release`, or `debug`, which is slower."""

_ExposureRow: TypeAlias = tuple[str, str, int, int, str, str, str, int, str, str, str]
_OutcomeRow: TypeAlias = tuple[str, str, str, str, float, int, str, str, str, str, int, bool]

class StatusError(Exception):
    """A refused call: `args` are status code (int), message (str) and encoded google.rpc.Status (bytes)."""

class InvalidDefinitionError(Exception):
    """Fields that break their rules: `args[0]` is a list of (JSON path, description)."""

def admit(definition: bytes) -> tuple[bytes, list[bytes]]:
    """Check an encoded `Experiment`; returns it in canonical form, and encoded `Warning`s.

    Raises:
        InvalidDefinitionError: Fields break their rules.
        ValueError: The bytes are no Experiment.
    """

def allocation(definition: bytes) -> bytes:
    """Encoded `Allocation` with which an iteration of a checked definition begins.

    Raises:
        ValueError: The bytes are no Experiment.
    """

def reassigned(before: bytes, after: bytes, entities: int) -> float | None:
    """Percent of the entities enrolled under one encoded `Experiment` that get another variant under another one.

    Counted over the ids `0` to `entities - 1`, with both running and their ramps over. None: nobody is enrolled.

    Raises:
        InvalidDefinitionError: Fields of either break their rules.
        ValueError: The bytes are no Experiment.
    """

def keeps_variants(definition: bytes) -> bool:
    """Whether entities of a checked definition keep their first variant when weights change.

    Raises:
        ValueError: The bytes are no Experiment.
    """

@final
class Frame:
    """One group commit on its way to the disk."""

    @property
    def body(self) -> bytes:
        """Encoded `JournalFrame`."""

    @property
    def crc(self) -> int:
        """CRC-32 of `body`."""

    @property
    def time_ms(self) -> int:
        """Unix milliseconds; never below that of the frame before."""

    @property
    def exposures(self) -> int:
        """Rows of exposures in it."""

    @property
    def outcomes(self) -> int:
        """Rows of outcomes in it."""

@final
class Core:
    """Snapshot, queue and tally of one process; safe to call from any thread."""

    def __new__(cls, secret: bytes, incarnation: bytes) -> Core:
        """Begin empty; both arguments have 16 bytes.

        Raises:
            ValueError: They have another length.
        """

    def load(self, snapshot: bytes) -> None:
        """Compile an encoded `Snapshot` and put it in force.

        Raises:
            InvalidDefinitionError: A definition cannot be served; the one in force stays.
        """

    def recall(self) -> None:
        """The tally has all of the journal: from now on first variants of entities are known."""

    def handle(self, method: str, request: bytes, now_ms: int) -> bytes | int:
        """Answer a call of DecisionService: the encoded response, or a ticket that `commit` answers.

        Raises:
            StatusError: The call is refused.
        """

    def control(self, control: bytes) -> int:
        """Queue an encoded `Control`; returns its ticket.

        Raises:
            StatusError: The journal takes no more writes.
        """

    def take(self, timeout_ms: int) -> tuple[Frame | None, bool]:
        """Take everything that waits to be written, or None if nothing came in time; whether that was all.

        The second value is true once the queue is closed and empty.
        """

    def commit(self, frame: Frame, position: int) -> list[tuple[int, bytes | StatusError]]:
        """Fold a frame that is durable at `position`; returns its tickets and their encoded answers.

        A StatusError is the answer for a batch whose request id was forgotten while it waited, and for all
        that waits if the frame cannot be folded: `fault` says why, and later writes are refused.
        """

    def fail(self, frame: Frame) -> list[int]:
        """Give up `frame` and the whole queue; returns every ticket that waits. Later writes are refused."""

    def replay(self, position: int, crc: int, body: bytes) -> None:
        """Fold a frame read from the journal.

        Raises:
            ValueError: It is damaged, or of a format that this version does not know.
        """

    def tick(self, now_ms: int) -> bool:
        """Queue a frame without entries if time has gone on so far that a window closes; whether it did."""

    def forget(self, namespace: str, entity_id: str, now_ms: int) -> int:
        """Queue that nothing may be known of an entity any more; returns the ticket.

        Raises:
            StatusError: The journal takes no more writes.
        """

    def hold(self, held: bool) -> None:
        """Refuse Record as long as `held`, because the disk is nearly full; decisions go on."""

    def checkpoint(self, part: int) -> tuple[int, bytes]:
        """Position and encoded state of one part of the tally, to be stored as it is.

        Raises:
            ValueError: There is no such part.
        """

    def restore(self, parts: list[list[bytes]]) -> tuple[int, list[tuple[int, str]]]:
        """Take over what `checkpoint` gave; to be called before the first frame.

        Args:
            parts: What there is of each part, newest first; damaged and missing ones are passed over.

        Returns:
            The position behind which frames are to be replayed, 0 if nothing could be used; and of what could not
            be used, the part and why.
        """

    def close(self) -> None:
        """Refuse whatever else comes; what waits can still be taken."""

    @property
    def position(self) -> int:
        """Journal position up to which everything is folded. 0: nothing."""

    @property
    def time_ms(self) -> int:
        """Time of the frame at `position`, Unix milliseconds. 0: nothing."""

    @property
    def fault(self) -> str | None:
        """Why a frame could not be folded; None if all could."""

    @property
    def dropped_exposures(self) -> int:
        """Exposures that found the queue full."""

    def tally(self, namespace: str, experiment_id: str, iteration: int) -> bytes | None:
        """Encoded `IterationTally`; None if the journal does not know the iteration."""

    def breakdown(self, namespace: str, experiment_id: str, iteration: int, dimension: str) -> bytes | None:
        """Encoded `Breakdown` by an attribute; None if the journal does not know the iteration or the attribute."""

    def journal_tally(self) -> bytes:
        """Encoded `JournalTally`."""

    @property
    def rejected_items(self) -> int:
        """Items of Record that were refused since the start."""

    def iteration(self, namespace: str, experiment_id: str, iteration: int) -> tuple[bool, bool, bool, int] | None:
        """What the journal says of an iteration: stopped, closed, paused, highest epoch. None: not started."""

def forgotten(body: bytes) -> list[tuple[str, int]]:
    """Entities that the frame says to forget: namespace and key.

    Raises:
        ValueError: The bytes are no frame that this version reads.
    """

@final
class Evaluator:
    """A snapshot that decides in the caller's process; nothing is exposed by it."""

    def __new__(cls, snapshot: bytes) -> Evaluator:
        """Compile an encoded `Snapshot`.

        Raises:
            StatusError: Definitions break their rules; names all of them.
            ValueError: The bytes are no Snapshot.
        """

    def choose(self, namespace: str, experiment_id: str, entity_ids: list[str], now_ms: int) -> tuple[bytes, bytes]:
        """Decide for every id at `now_ms`, Unix milliseconds.

        Returns:
            Positions of variants, native `uint32` (0 is the control), and values of `DecisionReason`, bytes.

        Raises:
            StatusError: There is no such experiment.
            TypeError: An id is no string.
        """

    def choose_packed(
        self, namespace: str, experiment_id: str, offsets: memoryview, text: memoryview, now_ms: int
    ) -> tuple[bytes, bytes]:
        """The same for ids one behind the other in `text`; `offsets` are `int32` or `int64`, one more than ids.

        Raises:
            StatusError: There is no such experiment.
            ValueError: The offsets do not fit the text, or that is not UTF-8.
        """

@final
class Exporter:
    """Folds frames by itself and gives their rows, without repeats and without forgotten entities."""

    def __new__(cls, secret: bytes, forgotten: list[tuple[str, int, int]]) -> Exporter:
        """Begin before the first frame.

        Args:
            secret: That of the installation, 16 bytes.
            forgotten: Namespace, key and position of everything that `forgotten` found in the journal; rows up to
                that position are left out.
        """

    def apply(self, position: int, crc: int, body: bytes) -> tuple[list[_ExposureRow], list[_OutcomeRow]]:
        """Fold the next frame; returns its exposures and its outcomes.

        An exposure: namespace, experiment_id, iteration, epoch, variant_id, entity_type, entity_id, occurred_at_ms,
        reason, status, attributes (JSON of those that the plan reads). The status `first` enrolled the entity; `again`
        repeats; `conflicting` has another variant than the first; `not_randomized`, `after_stop` and `unknown` count
        in no arm.

        An outcome: namespace, entity_id, entities (JSON by type, empty if there are none), event, value,
        occurred_at_ms, event_id, supersedes, experiment_id, variant_id, iteration (0 if no experiment is named),
        matched (whether an exposure of the entity was known).

        Raises:
            ValueError: It is damaged, or of a format that this version does not know.
        """
