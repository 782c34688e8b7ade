"""A server for the command line, and the command line itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import pytest

from klero.cli import main
from tests.server_process import running_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Done:
    """What a command printed and how it ended."""

    code: int
    output: str
    errors: str


class Klero(Protocol):
    """Runs the command line with these arguments."""

    def __call__(self, *arguments: str) -> Done:
        """Run it."""
        ...


@pytest.fixture(scope="session")
def shared_data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data directory of the shared server."""
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="session")
def address(shared_data_dir: Path) -> Iterator[str]:
    """Address of a server that all tests of the command line share."""
    with running_server(shared_data_dir) as server:
        yield server.address
        assert server.stop() == 0, server.log()


@pytest.fixture
def klero(address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Klero:
    """The command line, calling that server."""
    monkeypatch.setenv("KLERO_ADDRESS", address)
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: str) -> Done:
        code = main(arguments)
        printed = capsys.readouterr()
        return Done(code, printed.out, printed.err)

    return run
