"""A server in a process of its own: started, stopped and killed, and looked at from outside."""

from __future__ import annotations

import select
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

READY_S = 30.0
STOPPED_S = 20.0
FREE_PORT = "127.0.0.1:0"

_SERVE = """
import sys
from pathlib import Path
from klero.rpc.server import serve
from klero.settings import Settings
serve(Settings(Path(sys.argv[1]), sys.argv[2]), ready=lambda address: print(address, flush=True))
"""


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A server that was ready to answer."""

    address: str
    """Where it listens, `HOST:PORT`."""

    process: subprocess.Popen[str]

    errors: IO[str]
    """File of what it logs."""

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop; returns the exit code once it has.

        Raises:
            subprocess.TimeoutExpired: It does not stop.
        """
        self.process.send_signal(number)
        return self.process.wait(STOPPED_S)

    def log(self) -> str:
        """What it logged so far."""
        self.errors.seek(0)
        return self.errors.read()

    def children(self) -> dict[int, str]:
        """Command line of each child process, by process id."""
        return children(self.process.pid)

    def analysis_process(self) -> int:
        """Process id of the child that judges; waits until it is there.

        Raises:
            TimeoutError: There is none.
        """
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            for pid, command in self.children().items():
                if "spawn_main" in command:
                    return pid
            time.sleep(0.02)
        message = "no analysis process"
        raise TimeoutError(message)


@contextmanager
def running_server(
    data_dir: Path, *, address: str = FREE_PORT, before: str = "", code: str = _SERVE
) -> Iterator[ServerProcess]:
    """Start a server and wait until it is ready; kills it at the end if it still runs.

    Args:
        data_dir: Its data directory.
        address: Where to listen.
        before: Python that the process runs first.
        code: Python that serves.

    Raises:
        RuntimeError: It ended before it was ready; has what it logged.
    """
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as errors,
        subprocess.Popen(
            [sys.executable, "-c", before + code, str(data_dir), address],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        try:
            yield ServerProcess(_wait_until_ready(process, errors), process, errors)
        finally:
            process.kill()


def start_failure(data_dir: Path, address: str) -> tuple[int, str]:
    """Start a server that cannot start; returns its exit code and what it said."""
    done = subprocess.run(
        [sys.executable, "-c", _SERVE, str(data_dir), address],
        capture_output=True,
        text=True,
        timeout=READY_S,
        check=False,
    )
    return done.returncode, done.stderr


def children(pid: int) -> dict[int, str]:
    """Command line of each child of `pid` that is not a zombie, by process id."""
    found = {}
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit() and _parent(directory) == pid:
            found[int(directory.name)] = _read(directory / "cmdline").replace("\0", " ")
    return found


def wait_until_gone(pids: set[int], *, timeout_s: float) -> set[int]:
    """Wait until none of the processes lives; returns those that still do after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while (alive := {pid for pid in pids if _parent(Path("/proc") / str(pid)) is not None}) and (
        time.monotonic() < deadline
    ):
        time.sleep(0.02)
    return alive


def _parent(directory: Path) -> int | None:
    """Parent of the process at /proc/PID; None if it is gone or only waits to be collected."""
    # The name, in brackets, may hold anything; behind it come state and parent.
    fields = _read(directory / "stat").rpartition(")")[2].split()
    return None if not fields or fields[0] == "Z" else int(fields[1])


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _wait_until_ready(process: subprocess.Popen[str], errors: IO[str]) -> str:
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], READY_S)
    line = process.stdout.readline() if readable else ""
    if not line:
        errors.seek(0)
        message = f"the server did not start: {errors.read()}"
        raise RuntimeError(message)
    return line.strip()
