"""Reads the blocks of a README that can be run, and runs them.

- A block ```` ```console ````: lines that begin with `$ ` are commands, the lines up to the next one are
  its output. `...` alone on a line stands for any number of lines. ` &` at the end leaves a command
  running until the last block is done; only its first lines are compared.
- `<!-- file: NAME -->` before any other block: it is written to NAME before anything runs after it.
- `<!-- readme: skip REASON -->` before a console block: not run.
- `<!-- readme: exit N -->` before a console block: its commands end with N instead of 0.
"""

from __future__ import annotations

import difflib
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

BACKGROUND_TIMEOUT_S = 30
COMMAND_TIMEOUT_S = 120
ANY_LINES = "..."

_BLOCK = re.compile(
    r"(?:^<!-- (?P<note>(?:file|readme): [^\n]*?) -->\n\s*)?^```(?P<language>\w+)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)

# What differs from run to run; in this order, the first that fits takes it.
MASKS = [
    ("<uuid>", r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"),
    ("<time>", r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z| ?UTC|[+-]\d\d:\d\d)?"),
    ("<date>", r"\b\d{4}-\d\d-\d\d\b"),
    ("<time>", r"\b\d\d:\d\d:\d\d(\.\d+)?\b"),
    ("<address>", r"\b(127\.0\.0\.1|localhost|\[::1\]):\d+\b"),
    (r"\1<etag>", r"\b(etag\W+)\w+"),
    (r"\1<position>", r"\b((?:position|asOf|as of)\W+)[\d,]*\d"),
    ("<duration>", r"\b\d+(\.\d+)? ?(ns|µs|ms|seconds?|minutes?|s|min)\b"),
    ("<size> bytes", r"\b\d[\d,]* bytes\b"),
    (r"<rate>\2", r"\b(\d[\d,]*(?:\.\d+)?)( ?(?:rows|outcomes|calls)/s)"),
]


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A block that becomes a file."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command and what it prints."""

    line: str
    expected: tuple[str, ...]
    exit_code: int = 0

    @property
    def in_background(self) -> bool:
        """Whether it goes on while later ones run."""
        return self.line.endswith(" &")


class ReadmeError(Exception):
    """The README, or what it promises, is wrong."""


def parse(text: str) -> Iterator[WrittenFile | Command]:
    """Files and commands in the order of the page; other blocks are for reading only."""
    for block in _BLOCK.finditer(text):
        kind, _, value = (block["note"] or "").partition(": ")
        if block["language"] == "console":
            word, _, argument = value.partition(" ")
            if kind == "readme" and word not in {"skip", "exit"}:
                message = f"`<!-- {block['note']} -->`: only `skip REASON` and `exit N` are known"
                raise ReadmeError(message)
            if word == "skip" and not argument:
                message = "`<!-- readme: skip -->` lacks its reason"
                raise ReadmeError(message)
            if word != "skip":
                yield from _commands(block["body"], int(argument or 0))
        elif kind == "file":
            yield WrittenFile(value, block["body"])


def _commands(body: str, exit_code: int) -> Iterator[Command]:
    line: str | None = None
    expected: list[str] = []
    for row in body.splitlines():
        if row.startswith("$ "):
            if line is not None:
                yield Command(line, tuple(expected), exit_code)
            line, expected = row.removeprefix("$ "), []
        elif line is None:
            message = f"a console block begins with output: `{row}`"
            raise ReadmeError(message)
        else:
            expected.append(row)
    if line is not None:
        yield Command(line, tuple(expected), exit_code)


def mask(line: str) -> str:
    """The line with all that differs from run to run replaced."""
    for replacement, pattern in MASKS:
        line = re.sub(pattern, replacement, line)
    # Columns move with what was masked.
    return re.sub(r"[ ─━]{2,}", "  ", line.rstrip())


def difference(expected: tuple[str, ...], found: list[str]) -> str:
    """Unified diff of masked lines; empty if `found` is what was expected."""
    pattern = "".join(r"(?:.*\n)*" if row == ANY_LINES else re.escape(mask(row)) + r"\n" for row in _trimmed(expected))
    masked = [mask(row) for row in _trimmed(found)]
    if re.fullmatch(pattern, "".join(f"{row}\n" for row in masked)):
        return ""
    rows = [mask(row) for row in _trimmed(expected)]
    return "\n".join(difflib.unified_diff(rows, masked, "README.md", "found", lineterm=""))


def _trimmed(rows: list[str] | tuple[str, ...]) -> list[str]:
    """Without empty lines at either end: they are layout, in the README and on the terminal."""
    return "\n".join(rows).strip("\n").splitlines()


class Runner:
    """Runs what a README shows, in one directory; a context manager that leaves no process behind."""

    def __init__(self, directory: Path) -> None:
        """Work in `directory`, with the programs of this Python first in the path."""
        self._directory = directory
        self._background: list[tuple[Command, subprocess.Popen[str]]] = []
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        # The defaults of the page must hold, so nothing of Klero's own comes from outside.
        outside = {name: value for name, value in os.environ.items() if not name.startswith("KLERO_")}
        self._environment = outside | {"PATH": programs, "NO_COLOR": "1", "COLUMNS": "80", "LC_ALL": "C.UTF-8"}

    def __enter__(self) -> Self:
        """Nothing runs yet."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """Kill what still runs; `finish` is the orderly end."""
        for _, process in self._background:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def run(self, step: WrittenFile | Command) -> None:
        """Do one step.

        Raises:
            ReadmeError: Output or exit code are not those of the page.
        """
        if isinstance(step, WrittenFile):
            (self._directory / step.name).write_text(step.text, encoding="utf-8")
        elif step.in_background:
            self._leave_running(step)
        else:
            process = self._start(step.line)
            try:
                output, _ = process.communicate(timeout=COMMAND_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                output, _ = process.communicate()
                message = f"$ {step.line}\nstill runs after {COMMAND_TIMEOUT_S} s; printed:\n{output}"
                raise ReadmeError(message) from None
            _check(step, output.splitlines(), process.returncode)

    def finish(self) -> None:
        """Stop what runs in the background as a user would, the last one first.

        Raises:
            ReadmeError: It does not end, or not with its exit code.
        """
        while self._background:
            running, process = self._background[-1]
            process.send_signal(signal.SIGTERM)
            try:
                exit_code = process.wait(BACKGROUND_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                message = f"$ {running.line}\nstill runs {BACKGROUND_TIMEOUT_S} s after SIGTERM"
                raise ReadmeError(message) from None
            self._background.pop()
            _check(running, list(running.expected), exit_code)

    def _start(self, line: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", "-c", line],  # noqa: S607 - the shell of whoever reads the README
            cwd=self._directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def _leave_running(self, command: Command) -> None:
        # exec: signals go to the program itself, not to a shell around it.
        process = self._start(f"exec {command.line.removesuffix(' &')}")
        self._background.append((command, process))
        printed: queue.Queue[str] = queue.Queue()
        threading.Thread(target=_pump, args=(process, printed), daemon=True).start()
        found: list[str] = []
        deadline_s = time.monotonic() + BACKGROUND_TIMEOUT_S
        while len(found) < max(1, len(command.expected)):
            try:
                found.append(printed.get(timeout=max(0.0, deadline_s - time.monotonic())))
            except queue.Empty:
                message = f"$ {command.line}\nprinted only {found} in {BACKGROUND_TIMEOUT_S} s"
                raise ReadmeError(message) from None
        if command.expected:
            _check(command, found, command.exit_code)


def _pump(process: subprocess.Popen[str], printed: queue.Queue[str]) -> None:
    """Read to the end, so that the program never blocks on a full pipe."""
    if process.stdout is not None:
        for row in process.stdout:
            printed.put(row.rstrip("\n"))
        process.stdout.close()


def _check(command: Command, found: list[str], exit_code: int) -> None:
    fault = difference(command.expected, found)
    if exit_code != command.exit_code:
        fault += f"\nexit code {exit_code} instead of {command.exit_code}"
    if fault:
        message = f"$ {command.line}\n{fault}"
        raise ReadmeError(message)
