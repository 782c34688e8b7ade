"""An engine that remembers what it was asked, without the core."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from klero.engine import Restored
from tests.journal.made import frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from klero.engine import Engine
    from klero.journal.frames import StoredFrame


@dataclass
class FakeEngine:
    """Its queue is a list of frames; None there stands for a second without anything."""

    queue: list[StoredFrame | None] = field(default_factory=list)
    checkpoint_parts: int = 2
    restored: int = 0
    unusable: tuple[str, ...] = ()
    """What `restore` answers."""
    fault: str | None = None
    bad_at: int = 0
    """Position of a frame that cannot be folded."""
    position: int = 0
    held: list[bool] = field(default_factory=list)
    ticks: list[int] = field(default_factory=list)
    replayed: list[int] = field(default_factory=list)
    committed: list[int] = field(default_factory=list)
    given_up: int = 0
    parts: list[list[bytes]] = field(default_factory=list)
    """What `restore` was given."""
    asked: list[int] = field(default_factory=list)
    """Parts of which a checkpoint was made."""
    made: threading.Event = field(default_factory=threading.Event)
    """Set with each checkpoint of the last part."""

    @property
    def engine(self) -> Engine:
        """Itself, for those who ask for an engine."""
        return cast("Engine", self)

    def hold(self, *, held: bool) -> None:
        """As Engine."""
        self.held.append(held)

    def tick(self, now_ms: int) -> bool:
        """As Engine."""
        self.ticks.append(now_ms)
        return False

    def take_frame(self, *, idle: Callable[[], None]) -> StoredFrame | None:
        """As Engine."""
        while self.queue:
            taken = self.queue.pop(0)
            if taken is not None:
                return taken
            idle()
        return None

    def commit(self, taken: StoredFrame, position: int) -> list[tuple[int, bytes]]:
        """As Engine; the ticket is the sequence of the frame."""
        self.committed.append(position)
        self.position = position
        if position == self.bad_at:
            self.fault = "it cannot be"
        return [(taken.position, b"stored")]

    def fail(self, taken: StoredFrame) -> list[int]:
        """As Engine."""
        self.given_up = taken.position
        return [taken.position]

    def restore(self, parts: list[list[bytes]]) -> Restored:
        """As Engine."""
        self.parts = parts
        self.position = self.restored
        return Restored(self.restored, self.unusable)

    def replay(self, *, position: int, crc: int, body: bytes) -> None:
        """As Engine."""
        assert (crc, body) == (frame(position).crc, frame(position).body)
        if position == self.bad_at:
            message = "it cannot be"
            raise ValueError(message)
        self.replayed.append(position)
        self.position = position

    def checkpoint(self, part: int) -> tuple[int, bytes]:
        """As Engine."""
        self.asked.append(part)
        if part == self.checkpoint_parts - 1:
            self.made.set()
        return self.position, b"part %d" % part
