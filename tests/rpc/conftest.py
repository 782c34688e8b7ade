"""One server for all tests that leave it running, and a namespace of its own for each of them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from tests.rpc.calls import Client, connected
from tests.server_process import ServerProcess, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data directory of the shared server."""
    return tmp_path_factory.mktemp("shared") / "data"


@pytest.fixture(scope="session")
def server(data_dir: Path) -> Iterator[ServerProcess]:
    """The shared server."""
    with running_server(data_dir) as server:
        yield server
        assert server.stop() == 0, server.log()


@pytest.fixture(scope="session")
def client(server: ServerProcess) -> Iterator[Client]:
    """Client of the shared server."""
    with connected(server.address) as client:
        yield client


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test uses."""
    return f"test-{next(_numbers)}"
