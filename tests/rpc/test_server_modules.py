"""What the serving process imports."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from klero.v1.decision_pb2 import Outcome
from tests.rpc.calls import ab_test, connected
from tests.server_process import running_server

if TYPE_CHECKING:
    from pathlib import Path

_PRINT_MODULES_AT_EXIT = """
import atexit, json, sys
atexit.register(lambda: print(json.dumps(sorted(sys.modules)), flush=True))
"""


def test_the_server_imports_no_statistics(tmp_path: Path) -> None:
    """Whoever waits for a decision must not wait for numpy: what is heavy runs in a process of its own."""
    with (
        running_server(tmp_path / "data", before=_PRINT_MODULES_AT_EXIT) as server,
        connected(server.address) as client,
    ):
        running = client.start(ab_test("default"))
        client.assign(running, "u")
        client.record("default", Outcome(entity_id="u", event="cost"))
        assert client.results(running).progress.enrolled == 1
        assert server.stop() == 0
        assert server.process.stdout is not None
        modules = json.loads(server.process.stdout.read())

    heavy = {name.split(".")[0] for name in modules} & {"numpy", "scipy", "rich", "click", "yaml"}
    assert set() == heavy
    assert "klero.rpc.server" in modules
