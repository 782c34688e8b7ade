"""Checkpoints on the disk: a file for each part of the tally at some position, never changed.

`PART-POSITION.ckpt` appears whole or not at all. The two newest of each part are kept, so that one
that the disk damages has another behind it. Of part 0, on which the others rest, the newest one that
is not ahead of any of them is kept as well: rotations that were cut short make part 0 alone.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

KEPT = 2
"""Files of each part."""

_NAME = re.compile(r"(\d+)-(\d+)\.ckpt")
_UNFINISHED = ".unfinished"


class Checkpoints:
    """The files in the directory at `path`, which is made with the first of them."""

    def __init__(self, path: Path) -> None:
        """Name the directory."""
        self._path = path

    def write(self, part: int, position: int, state: bytes) -> None:
        """Make `state` of a part durable and remove what is too old; nothing if it is there already.

        Raises:
            OSError: The disk refused; what was there stays.
        """
        name = f"{part}-{position}.ckpt"
        if (self._path / name).exists():
            return
        self._path.mkdir(mode=0o700, exist_ok=True)
        unfinished = self._path / f"{name}{_UNFINISHED}"
        try:
            with unfinished.open("wb") as file:
                file.write(state)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self._path / name)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise
        self._sync()
        for old in self._superfluous(part):
            (self._path / f"{part}-{old}.ckpt").unlink()

    def read(self, parts: int) -> list[list[bytes]]:
        """What there is of each of `parts`, newest first; files that cannot be read are left out."""
        positions = self._positions()
        found: list[list[bytes]] = []
        for part in range(parts):
            found.append([])
            for position in positions.get(part, []):
                try:
                    found[part].append((self._path / f"{part}-{position}.ckpt").read_bytes())
                except OSError:
                    continue
        return found

    def last_position(self) -> int:
        """Highest position that a file was made at. 0: there is none."""
        return max((position for positions in self._positions().values() for position in positions), default=0)

    def remove_unfinished(self) -> None:
        """Remove what a crash left half written.

        Raises:
            OSError: The disk refused.
        """
        for file in self._path.glob(f"*{_UNFINISHED}"):
            file.unlink()

    def _superfluous(self, part: int) -> list[int]:
        """Positions of the part that nothing needs any more."""
        positions = self._positions()
        own = positions.get(part, [])
        kept = set(own[:KEPT])
        if part == 0:
            newest = [others[0] for other, others in positions.items() if other != 0]
            kept.update([position for position in own if position <= min(newest, default=0)][:1])
        return [position for position in own if position not in kept]

    def _positions(self) -> dict[int, list[int]]:
        """Positions by part, newest first."""
        found: dict[int, list[int]] = {}
        if self._path.is_dir():
            for file in self._path.iterdir():
                if name := _NAME.fullmatch(file.name):
                    found.setdefault(int(name[1]), []).append(int(name[2]))
        return {part: sorted(positions, reverse=True) for part, positions in found.items()}

    def _sync(self) -> None:
        directory = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
