"""Frames that SQLite finds no way to, read from the pages of the file themselves.

A damaged page in the upper part of the tree hides whole ones below it. Rows lie in leaves that name
their cells, and a long row goes on in a chain of pages (https://sqlite.org/fileformat2.html); the
checksum tells whether what was put together is a frame.
"""

from __future__ import annotations

import mmap
import zlib
from typing import TYPE_CHECKING

from klero.journal.frames import StoredFrame
from klero.journal.sqlite import PAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_LEAF = 0x0D
_LEAF_HEADER_BYTES = 8
# Bytes of the integers of a record by serial type; 8 and 9 are the constants 0 and 1.
_INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
_CONSTANTS = {8: 0, 9: 1}
_FIRST_BLOB = 12
_INTEGERS = 4
_LONGEST_VARINT = 9
# The most of a row that its leaf holds, and the least if it goes on elsewhere.
_MOST_LOCAL = PAGE_BYTES - 35
_LEAST_LOCAL = (PAGE_BYTES - 12) * 32 // 255 - 23
_CHAINED_BYTES = PAGE_BYTES - 4


class _NoFrameError(ValueError):
    """The bytes are no frame."""


def salvage(path: Path, *, wanted: Callable[[int], bool]) -> Iterator[StoredFrame]:
    """Find whole frames at `wanted` positions in the file at `path`, in order; its log must be merged.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found: dict[int, int] = {}
        for cell in _cells(data):
            try:
                position = _varint(data, _varint(data, cell)[1])[0]
                if wanted(position) and position not in found:
                    _frame(data, cell)
                    found[position] = cell
            except (_NoFrameError, IndexError):
                continue
        for _, cell in sorted(found.items()):
            yield _frame(data, cell)


def _cells(data: mmap.mmap) -> Iterator[int]:
    """Where the rows of all leaves begin."""
    for page in range(0, len(data) - PAGE_BYTES + 1, PAGE_BYTES):
        if data[page] != _LEAF:
            continue
        count = min(int.from_bytes(data[page + 3 : page + 5]), (PAGE_BYTES - _LEAF_HEADER_BYTES) // 2)
        for pointer in range(page + _LEAF_HEADER_BYTES, page + _LEAF_HEADER_BYTES + 2 * count, 2):
            yield page + int.from_bytes(data[pointer : pointer + 2])


def _frame(data: mmap.mmap, cell: int) -> StoredFrame:
    length, at = _varint(data, cell)
    position, at = _varint(data, at)
    record = _payload(data, at, length)
    header_bytes, at = _varint(record, 0)
    types: list[int] = []
    while at < header_bytes:
        serial, at = _varint(record, at)
        types.append(serial)
    # The position is the row's own number, so that its column is empty.
    if len(types) != _INTEGERS + 2 or types[0] != 0 or types[-1] < _FIRST_BLOB or types[-1] % 2:
        raise _NoFrameError
    numbers: list[int] = []
    for serial in types[1:-1]:
        width = _INTEGER_BYTES.get(serial, 0)
        if not width and serial not in _CONSTANTS:
            raise _NoFrameError
        numbers.append(_CONSTANTS.get(serial, int.from_bytes(record[at : at + width], signed=True)))
        at += width
    body = bytes(record[at : at + (types[-1] - _FIRST_BLOB) // 2])
    time_ms, exposures, outcomes, crc = numbers
    if zlib.crc32(body) != crc:
        raise _NoFrameError
    return StoredFrame(position, time_ms, exposures, outcomes, crc, body)


def _payload(data: mmap.mmap, at: int, length: int) -> bytes:
    """A row's bytes: those in its leaf, and those of the pages that it goes on in."""
    if length > len(data):
        raise _NoFrameError
    if length <= _MOST_LOCAL:
        return data[at : at + length]
    local = _LEAST_LOCAL + (length - _LEAST_LOCAL) % _CHAINED_BYTES
    if local > _MOST_LOCAL:
        local = _LEAST_LOCAL
    parts, missing = [data[at : at + local]], length - local
    following = int.from_bytes(data[at + local : at + local + 4])
    while missing > 0:
        page = (following - 1) * PAGE_BYTES
        if not 0 < page <= len(data) - PAGE_BYTES:
            raise _NoFrameError
        following = int.from_bytes(data[page : page + 4])
        parts.append(data[page + 4 : page + 4 + min(missing, _CHAINED_BYTES)])
        missing -= _CHAINED_BYTES
    return b"".join(parts)


def _varint(data: mmap.mmap | bytes, at: int) -> tuple[int, int]:
    """A number of 1 to 9 bytes, and where it ends."""
    value = 0
    for index in range(_LONGEST_VARINT):
        byte = data[at + index]
        if index == _LONGEST_VARINT - 1:
            return value << 8 | byte, at + _LONGEST_VARINT
        value = value << 7 | byte & 0x7F
        if byte < 0x80:  # noqa: PLR2004  # the bit that says that more follows
            return value, at + index + 1
    raise _NoFrameError
