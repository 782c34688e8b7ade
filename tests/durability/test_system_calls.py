"""An answer means that the disk has said yes, and a disk that forgets all else loses nothing by it."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from tests.durability.lossy_disk import power_cut
from tests.durability.system_calls import SYNCS, WRITE
from tests.durability.traced_server import BATCHES, DURABLE, NEVER_SYNCED, Trace, stored_batches, trace
from tests.rpc.calls import connected
from tests.rpc.sender import assert_counted_once
from tests.server_process import running_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.durability.traced_server import Acknowledged

LOG = "journal.db-wal"
FILE = "journal.db"
SEED = 20260


@pytest.fixture(scope="module")
def durable(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """Of a server as it is."""
    return trace(tmp_path_factory.mktemp("durable"), before=DURABLE)


@pytest.fixture(scope="module")
def never_synced(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """Of one that must fail what follows."""
    return trace(tmp_path_factory.mktemp("never-synced"), before=NEVER_SYNCED)


def unsynced(trace: Trace) -> Iterator[Acknowledged]:
    """Batches whose answer came before a sync of what was written for them had returned."""
    writes = [call for call in trace.calls if call.name == WRITE and call.path.endswith(LOG)]
    syncs = [call for call in trace.calls if call.name in SYNCS and call.path.endswith(LOG)]
    for each in trace.acknowledged:
        written = [call.ended_s for call in writes if each.sent_s <= call.began_s and call.ended_s <= each.answered_s]
        if not written or not any(max(written) <= sync.began_s and sync.ended_s <= each.answered_s for sync in syncs):
            yield each


def lost(trace: Trace, directory: Path, *, share: float) -> int:
    """Acknowledged batches that are gone after a power cut, summed over one at each acknowledgement.

    Args:
        trace: Of a server.
        directory: For what is left each time.
        share: Probability that a write survives that was not synced.
    """
    random, gone = Random(SEED), 0
    for number, last in enumerate(trace.acknowledged, 1):
        left = power_cut(trace, directory / str(number), at_s=last.answered_s, survives=lambda: random.random() < share)
        stored = stored_batches(left / FILE)
        gone += sum(UUID(each.request.request_id).bytes not in stored for each in trace.acknowledged[:number])
    return gone


def test_every_answer_follows_a_sync(durable: Trace) -> None:
    """What the disk only has in its cache is gone with the power."""
    assert BATCHES == len(durable.acknowledged)
    assert [] == list(unsynced(durable))


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_power_cut_loses_nothing_that_was_answered(durable: Trace, tmp_path: Path, share: float) -> None:
    """Whatever becomes of writes that were not synced, also while the log is merged into the file."""
    assert [call for call in durable.calls if call.name == WRITE and call.path.endswith(FILE)], "nothing was merged"
    assert 0 == lost(durable, tmp_path, share=share)


def test_a_server_goes_on_after_a_power_cut(durable: Trace, tmp_path: Path) -> None:
    """What is left is a data directory like any other."""
    at_s = durable.acknowledged[-1].answered_s
    left = power_cut(durable, tmp_path / "left", at_s=at_s, survives=lambda: False)
    with running_server(left) as server, connected(server.address) as client:
        assert_counted_once(client, BATCHES)
        assert server.stop() == 0, server.log()


def test_a_server_that_never_syncs_is_found_out(never_synced: Trace, tmp_path: Path) -> None:
    """The checks above must be able to fail."""
    assert BATCHES == len(list(unsynced(never_synced)))
    assert lost(never_synced, tmp_path, share=0.0) > 0
