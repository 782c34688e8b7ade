"""What a process asks of the disk, as strace sees it."""

from __future__ import annotations

import re
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SYNCS = frozenset({"fsync", "fdatasync"})
WRITE = "pwrite64"
TRUNCATE = "ftruncate"
# Other ways to change files; a question mark stands before those that not every machine has.
_OTHERS = ("pwritev", "fallocate", "?rename", "?renameat", "?renameat2", "?unlink", "?unlinkat", "?link", "?linkat")
_TRACED = ",".join((WRITE, TRUNCATE, *sorted(SYNCS), *_OTHERS))
# Longer than any write, so that none is cut off.
_ALL_BYTES = 1 << 25
_END_S = 20.0

_LINE = re.compile(r"(\d+) +(\d+\.\d+) (.*)")
_CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+).*<([\d.]+)>", re.DOTALL)
_UNFINISHED = " <unfinished ...>"
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>(.*)")
# `FD<PATH>, REST`; strings are hexadecimal digits.
_OF_FILE = re.compile(r"\d+<([^>]*)>(?:, )?(.*)")
_WRITTEN = re.compile(r'"([^"]*)", \d+, (\d+)')


@dataclass(frozen=True, slots=True)
class DiskCall:
    """A call that has returned."""

    name: str
    """Of the system call."""

    path: str
    """Of the file; all arguments for calls that take no descriptor."""

    began_s: float
    """Unix time."""

    ended_s: float
    """Unix time."""

    data: bytes
    """What was written."""

    offset: int
    """Where it was written, or the length that the file was cut to."""


@contextmanager
def traced(pid: int, output: Path) -> Iterator[None]:
    """Have strace write what the process asks of the disk to `output`, until it has been killed.

    Skips the test where strace is missing or may not trace.
    """
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is missing - Debian: apt-get install strace")
    options = ["-f", "-ttt", "-T", "-y", "-xx", "-s", str(_ALL_BYTES), "-e", f"trace={_TRACED}"]
    with subprocess.Popen(
        [strace, *options, "-o", str(output), "-p", str(pid)], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            said = process.stderr.readline().strip()
            if not said.endswith(("attached", "threads")):
                pytest.skip(f"processes cannot be traced here: {said}")
            yield
            process.wait(_END_S)
        finally:
            process.kill()


def read_calls(output: Path) -> Iterator[DiskCall]:
    """Calls that succeeded, in the order in which they began."""
    begun: dict[str, tuple[float, str]] = {}
    found = []
    for line in output.read_text(encoding="ascii").splitlines():
        parts = _LINE.fullmatch(line)
        if parts is None:
            continue
        thread, at_s, text = parts[1], float(parts[2]), parts[3]
        if text.endswith(_UNFINISHED):
            begun[thread] = (at_s, text.removesuffix(_UNFINISHED))
            continue
        if (rest := _RESUMED.fullmatch(text)) and thread in begun:
            at_s, first = begun.pop(thread)
            text = first + rest[1]
        if (call := _CALL.fullmatch(text)) and int(call[3]) >= 0:
            found.append(_disk_call(call[1], call[2], at_s, at_s + float(call[4])))
    yield from sorted(found, key=lambda each: each.began_s)


def _disk_call(name: str, arguments: str, began_s: float, ended_s: float) -> DiskCall:
    of_file = _OF_FILE.fullmatch(arguments)
    path, rest = (_text(of_file[1]), of_file[2]) if of_file else (_text(arguments), "")
    data, offset = b"", 0
    if name == WRITE and (written := _WRITTEN.fullmatch(rest)):
        data, offset = _bytes(written[1]), int(written[2])
    elif name == TRUNCATE:
        offset = int(rest)
    return DiskCall(name, path, began_s, ended_s, data, offset)


def _bytes(shown: str) -> bytes:
    return bytes.fromhex(shown.replace(r"\x", ""))


def _text(shown: str) -> str:
    return re.sub(r"\\x([0-9a-f]{2})", lambda digits: chr(int(digits[1], 16)), shown)
