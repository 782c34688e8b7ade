"""A server in a process of its own, with a data directory that goes when it stops."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def running_server() -> Iterator[str]:
    """Start `klero serve` on a free port; gives the address."""
    with tempfile.TemporaryDirectory(prefix="klero-bench-") as directory:
        command = [sys.executable, "-m", "klero.cli", "serve", "--data-dir", directory, "--address", "127.0.0.1:0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            ready = server.stdout.readline()
            try:
                yield ready.split()[-1]
            finally:
                server.terminate()
                server.wait()
