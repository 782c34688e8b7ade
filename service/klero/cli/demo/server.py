"""A server for the length of the demo."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_STOP_S = 20.0


@contextmanager
def running_server(data_dir: Path) -> Iterator[str]:
    """Start `klero serve` on a free port; gives its address, and stops it at the end."""
    command = [sys.executable, "-m", "klero.cli", "serve", "--data-dir", str(data_dir), "--address", "127.0.0.1:0"]
    # A session of its own: Ctrl-C is for the demo, which then stops the server in order.
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as server:
        try:
            ready = server.stdout.readline() if server.stdout is not None else ""
            if not ready:
                message = f"the server did not start: {server.stderr.read() if server.stderr is not None else ''}"
                raise click.ClickException(message)
            yield ready.split()[-1]
        finally:
            server.terminate()
            try:
                server.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                server.kill()
