"""The Rust core: bytes in, bytes out. On the server only `klero.engine` imports it."""

from typing import final

__all__ = ["Core", "Frame", "InvalidDefinitionError", "StatusError", "admit", "allocation"]

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

    def iterations(self) -> list[tuple[str, str, int, bool]]:
        """Every iteration in the journal: namespace, experiment, iteration, whether it was stopped."""
