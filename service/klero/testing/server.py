"""A real server for the length of a test: a free port, a temporary directory, and what it stored as lists."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from klero.catalog.sqlite import read_secret
from klero.client.remote import Remote
from klero.client.sync import Client
from klero.data_directory import DataDirectory
from klero.definition import parse
from klero.engine import Exporter, ExposureRow, OutcomeRow, forgotten
from klero.errors import StartupError
from klero.journal.frames import StoredFrame
from klero.journal.sqlite import SqliteJournal
from klero.v1.experiment_service_pb2 import CreateExperimentRequest, StartExperimentRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_STOP_S = 20.0


class EmbeddedServer:
    """A running server and its data."""

    def __init__(self, address: str, data_dir: Path) -> None:
        """Name what runs."""
        self.address = address
        """`HOST:PORT`."""
        self.data_dir = data_dir
        """Where everything durable is."""

    def client(self) -> Client:
        """A client of this server, which the caller closes; it waits longer than one that serves people."""
        return Client(self.address, timeout_s=10.0, linger_s=0.01)

    def start(self, definition: str | Mapping[str, object]) -> str:
        """Store an experiment and let entities in; returns its id.

        Args:
            definition: YAML, JSON, or the same as a mapping.

        Raises:
            InvalidFieldError: It cannot be read.
            WireError: The server refuses it.
        """
        text = definition if isinstance(definition, str) else json.dumps(definition)
        experiment = parse(text, source_name="definition")
        with Remote(self.address) as remote:
            remote.experiments("CreateExperiment", CreateExperimentRequest(experiment=experiment))
            remote.experiments("StartExperiment", StartExperimentRequest(id=experiment.id))
        return experiment.id

    def outcomes(self) -> list[OutcomeRow]:
        """Every outcome stored, in the order of the journal; `flush` of a client before it sees the last ones."""
        return [row for _, outcomes in self._rows() for row in outcomes]

    def exposures(self) -> list[ExposureRow]:
        """Every exposure stored, in the order of the journal."""
        return [row for exposures, _ in self._rows() for row in exposures]

    def _rows(self) -> Iterator[tuple[list[ExposureRow], list[OutcomeRow]]]:
        directory = DataDirectory(self.data_dir)
        with SqliteJournal(directory.journal, read_only=True) as journal:
            frames = [frame for frame in journal.frames() if isinstance(frame, StoredFrame)]
        gone = [found for frame in frames for found in forgotten(frame.position, frame.body)]
        exporter = Exporter(secret=read_secret(directory.catalog), forgotten=gone)
        for frame in frames:
            yield exporter.apply(position=frame.position, crc=frame.crc, body=frame.body)


@contextmanager
def running_server() -> Iterator[EmbeddedServer]:
    """Start a server with nothing in it, and stop it at the end.

    Raises:
        StartupError: It does not start; has what it said.
    """
    with tempfile.TemporaryDirectory(prefix="klero-test-") as name, tempfile.TemporaryFile("w+") as errors:
        command = [sys.executable, "-m", "klero.cli", "serve", "--data-dir", name, "--address", "127.0.0.1:0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process:  # noqa: S603  # this package's own program
            try:
                ready = process.stdout.readline() if process.stdout is not None else ""
                if not ready:
                    errors.seek(0)
                    raise StartupError(why=f"the server did not start: {errors.read()}")
                yield EmbeddedServer(ready.split()[-1], Path(name))
            finally:
                process.terminate()
                try:
                    process.wait(_STOP_S)
                except subprocess.TimeoutExpired:
                    process.kill()
