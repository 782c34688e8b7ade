"""Whether the journal is whole: no frame damaged, no position missing, time never back."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from klero.journal.frames import PROBES, StoredFrame
from klero.journal.lost import Lost, without
from klero.storage.v1.journal_pb2 import JournalFrame

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from klero.journal.frames import Unreadable

KNOWN_FORMATS = (1, 2)
"""`JournalFrame.format` of frames that this version reads."""

_MISSING = "missing"
_CHECKSUM = "checksum does not match"


@dataclass(frozen=True, slots=True)
class Fault:
    """A whole frame that says what cannot be."""

    position: int
    """Of the frame."""

    why: str
    """What is wrong with it."""


@dataclass(frozen=True, slots=True)
class JournalReport:
    """What a look at every frame found."""

    frames: int
    """Whole frames."""

    first: int
    """Position of the first of them. 0: none."""

    last: int
    """Position of the last of them. 0: none."""

    body_bytes: int
    """Length of their bodies."""

    exposures: int
    """Rows of exposures in them."""

    outcomes: int
    """Rows of outcomes in them."""

    formats: tuple[int, ...]
    """Every `JournalFrame.format` found, rising."""

    lost: tuple[Lost, ...]
    """Positions without a whole frame that nobody has accepted."""

    accepted: tuple[Lost, ...]
    """Positions that were lost and accepted with `--accept-loss`."""

    faults: tuple[Fault, ...]
    """Whole frames that cannot be folded."""

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.lost and not self.faults


def checked(
    found: Iterable[StoredFrame | Unreadable], *, accepted: Sequence[Lost], after: int = 0, known_until: int = 0
) -> Iterator[StoredFrame | Lost]:
    """Pass whole frames on, and between them the positions that are lost.

    Only a frame whose checksum fits moves on: in a damaged one the position may be wrong as well.

    Args:
        found: What is behind `after`.
        accepted: Lost positions to say nothing of, in order.
        after: Position behind which they begin.
        known_until: A position that is known to have been used, at the least.
    """
    last, damaged, open_end = after, 0, False
    reasons: dict[str, None] = {}
    for item in found:
        why = _reason(item)
        if why:
            reasons[why] = None
            open_end = open_end or (not isinstance(item, StoredFrame) and item.open_end)
            near = max(damaged, last)
            damaged = item.position if near < item.position <= near + PROBES else max(near, last + 1)
        elif isinstance(item, StoredFrame) and item.position > last:
            if item.position > last + 1:
                yield from without(_stretch(last + 1, item.position - 1, reasons), accepted)
            yield item
            last, open_end = item.position, False
            reasons.clear()
    end = max(damaged, known_until)
    if open_end:
        yield from without(_stretch(last + 1, None, reasons), accepted)
    elif end > last:
        yield from without(_stretch(last + 1, end, reasons), accepted)


def report(
    found: Iterable[StoredFrame | Unreadable], *, accepted: Sequence[Lost], known_until: int = 0
) -> JournalReport:
    """Look at every frame; arguments as for `checked`."""
    frames = first = last = body_bytes = exposures = outcomes = time_ms = 0
    formats: set[int] = set()
    lost: list[Lost] = []
    faults: list[Fault] = []
    for item in checked(found, accepted=accepted, known_until=known_until):
        if isinstance(item, Lost):
            lost.append(item)
            continue
        frames, first, last = frames + 1, first or item.position, item.position
        body_bytes, exposures, outcomes = (
            body_bytes + len(item.body),
            exposures + item.exposures,
            outcomes + item.outcomes,
        )
        try:
            frame = JournalFrame.FromString(item.body)
        except DecodeError:
            faults.append(Fault(item.position, "it cannot be decoded"))
            continue
        formats.add(frame.format)
        faults += [Fault(item.position, why) for why in _faults(item, frame, after_ms=time_ms)]
        time_ms = max(time_ms, frame.time_ms)
    return JournalReport(
        frames=frames,
        first=first,
        last=last,
        body_bytes=body_bytes,
        exposures=exposures,
        outcomes=outcomes,
        formats=tuple(sorted(formats)),
        lost=tuple(lost),
        accepted=tuple(accepted),
        faults=tuple(faults),
    )


def _reason(item: StoredFrame | Unreadable) -> str:
    """Why the frame cannot be used; empty if it can."""
    if not isinstance(item, StoredFrame):
        return item.why
    return "" if zlib.crc32(item.body) == item.crc else _CHECKSUM


def _stretch(first: int, last: int | None, reasons: Iterable[str]) -> Lost:
    return Lost(first, last, "; ".join(reasons) or _MISSING)


def _faults(stored: StoredFrame, frame: JournalFrame, *, after_ms: int) -> Iterator[str]:
    if frame.format not in KNOWN_FORMATS:
        yield f"its format is {frame.format}, this version reads {KNOWN_FORMATS[0]} to {KNOWN_FORMATS[-1]}"
    if frame.time_ms != stored.time_ms:
        yield f"its time is {frame.time_ms} in the frame and {stored.time_ms} beside it"
    if frame.time_ms < after_ms:
        yield f"its time {frame.time_ms} lies before {after_ms} of a frame before it"
