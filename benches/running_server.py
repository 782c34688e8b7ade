"""A server in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def serving(directory: Path, *, stop: signal.Signals = signal.SIGTERM, before: str = "") -> Iterator[str]:
    """Start `klero serve` on a free port and the data in `directory`; gives the address.

    Args:
        directory: Its data directory.
        stop: What ends it.
        before: Python that the process runs first.
    """
    code = f"{before}\nimport sys; from klero.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "serve", "--data-dir", str(directory), "--address", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        ready = server.stdout.readline()
        try:
            yield ready.split()[-1]
        finally:
            server.send_signal(stop)
            server.wait()


@contextmanager
def running_server() -> Iterator[str]:
    """As `serving`, with a data directory that goes when it stops."""
    with tempfile.TemporaryDirectory(prefix="klero-bench-") as name, serving(Path(name)) as address:
        yield address
