"""A clock that jumps, because someone set it or a machine slept."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from klero.journal.checking import checked
from klero.journal.frames import StoredFrame
from klero.journal.sqlite import SqliteJournal
from klero.v1.decision_pb2 import DecisionReason
from tests.durability.recording import assert_each_counts_once, record, start
from tests.rpc.calls import connected
from tests.server_process import running_server

if TYPE_CHECKING:
    from pathlib import Path

HOUR_NS = 3_600_000_000_000
HOUR_MS = 3_600_000
# The server's clock is wrong by as many nanoseconds as a file beside its directory says.
_WRONG_CLOCK = """
import sys, time
from pathlib import Path
right, offset = time.time_ns, Path(sys.argv[1]).with_name("offset")
time.time_ns = lambda: right() + int(offset.read_text())
"""


def test_a_clock_that_jumps_ahead_and_back(tmp_path: Path) -> None:
    """Time of the journal never goes back, and everything is counted once, also after a restart."""
    offset, sent = tmp_path / "offset", []
    offset.write_text("0")
    with running_server(tmp_path / "data", before=_WRONG_CLOCK) as server, connected(server.address) as client:
        inside = start(client)
        for number, jump in enumerate((0, HOUR_NS, 0, -HOUR_NS)):
            offset.write_text(str(jump))
            sent += record(client, 10)
            assert client.assign(inside, f"u-{number}").reason == DecisionReason.DECISION_REASON_SPLIT
        server.process.kill()
    with running_server(tmp_path / "data", before=_WRONG_CLOCK) as server, connected(server.address) as client:
        sent += record(client, 10)
        assert_each_counts_once(client, sent)
        assert server.stop() == 0, server.log()

    with SqliteJournal(tmp_path / "data" / "journal.db") as journal:
        frames = [frame for frame in checked(journal.frames(), accepted=[]) if isinstance(frame, StoredFrame)]
    assert all(one.time_ms <= next_one.time_ms for one, next_one in pairwise(frames))
    assert frames[-1].time_ms - frames[0].time_ms >= HOUR_MS
