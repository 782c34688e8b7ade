"""A disk that loses what it was not asked to keep, made from a trace.

What was written and then synced is there. Of what was written since, some has reached the disk and
some has not, in any order: a disk promises nothing of it.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tests.durability.system_calls import SYNCS, TRUNCATE, WRITE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.durability.system_calls import DiskCall
    from tests.durability.traced_server import Trace

# SQLite makes the index of its log anew after a crash, and never syncs it.
_INDEX = "-shm"


def power_cut(trace: Trace, target: Path, *, at_s: float, survives: Callable[[], bool]) -> Path:
    """Make `target` the data directory as it is after a power cut; returns it.

    Args:
        trace: What was there and what was done to it.
        target: Made.
        at_s: Unix time of the cut.
        survives: Whether the next write reached the disk, of those that were not synced.

    Raises:
        ValueError: The trace has a call that this disk does not know.
    """
    shutil.copytree(trace.before, target, ignore=shutil.ignore_patterns(f"*{_INDEX}"))
    waiting: dict[Path, list[DiskCall]] = {}
    for call in trace.calls:
        if call.ended_s > at_s or call.path.endswith(_INDEX):
            continue
        path = target / Path(call.path).relative_to(trace.data_dir)
        if call.name in SYNCS:
            earlier = waiting.pop(path, [])
            _apply(path, (each for each in earlier if each.ended_s <= call.began_s))
            waiting[path] = [each for each in earlier if each.ended_s > call.began_s]
        elif call.name in {WRITE, TRUNCATE}:
            waiting.setdefault(path, []).append(call)
        else:
            message = f"{call.name} of {call.path}"
            raise ValueError(message)
    for path, calls in waiting.items():
        _apply(path, (each for each in calls if survives()))
    return target


def _apply(path: Path, calls: Iterable[DiskCall]) -> None:
    path.touch()
    with path.open("r+b") as file:
        for call in calls:
            if call.name == TRUNCATE:
                file.truncate(call.offset)
            else:
                file.seek(call.offset)
                file.write(call.data)
