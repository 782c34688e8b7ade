"""For tests of programs that use Klero.

`FakeClient` and `FakeAsyncClient` answer what the test fixes and keep what is recorded, without any server;
`running_server` is a real one for the length of a `with`. The pytest plugin gives both as fixtures,
`klero_client` and `klero_server`. All are loaded when they are first named: pytest loads the plugin always.
"""

from typing import TYPE_CHECKING

from klero.lazy import lazy

if TYPE_CHECKING:
    from klero.testing.fake import FakeAsyncClient, FakeClient, Fixed, fixed
    from klero.testing.server import EmbeddedServer, running_server

__all__ = ["EmbeddedServer", "FakeAsyncClient", "FakeClient", "Fixed", "fixed", "running_server"]

_HOMES = {
    "EmbeddedServer": "klero.testing.server",
    "FakeAsyncClient": "klero.testing.fake",
    "FakeClient": "klero.testing.fake",
    "Fixed": "klero.testing.fake",
    "fixed": "klero.testing.fake",
    "running_server": "klero.testing.server",
}

__getattr__, __dir__ = lazy(__name__, _HOMES)
