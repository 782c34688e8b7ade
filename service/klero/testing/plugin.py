"""Fixtures for pytest, there as soon as Klero is installed; nothing is loaded before a test asks for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from klero.testing.fake import FakeClient
    from klero.testing.server import EmbeddedServer


@pytest.fixture
def klero_client() -> Iterator[FakeClient]:
    """A client without a server, new for each test: `fix` says what it answers, `outcomes` what was recorded."""
    from klero.testing.fake import FakeClient  # noqa: PLC0415  # protobuf, for those who need it

    with FakeClient() as client:
        yield client


@pytest.fixture(scope="session")
def klero_server() -> Iterator[EmbeddedServer]:
    """A real server, one for all tests of a session: give experiments ids of their own."""
    from klero.testing.server import running_server  # noqa: PLC0415  # as above

    with running_server() as server:
        yield server
