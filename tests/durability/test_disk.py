"""Disks that fill up and disks that break, under a server that goes on deciding."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import grpc

from klero.v1.decision_pb2 import DecisionReason
from tests.durability.file_systems import break_down, disk_image, grow, memory_file_system
from tests.durability.recording import assert_each_counts_once, record, record_until_refused, start
from tests.rpc.calls import connected
from tests.server_process import FREE_PORT, running_server, start_failure

if TYPE_CHECKING:
    from pathlib import Path

SPLIT = DecisionReason.DECISION_REASON_SPLIT
# The server looks once a second how much is free.
LOOKED_S = 2.5


def test_a_disk_that_is_nearly_full_only_has_to_be_cleared(tmp_path: Path) -> None:
    """Record is refused before the disk refuses, and taken again without a restart."""
    disk = tmp_path / "disk"
    with (
        memory_file_system(disk, mib=8),
        running_server(disk / "data") as server,
        connected(server.address) as client,
    ):
        inside = start(client)
        sent = record(client, 10)
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(6 << 20))
        time.sleep(LOOKED_S)
        refused, why = record_until_refused(client)
        assert (grpc.StatusCode.UNAVAILABLE, 1, True) == (why.code, len(refused), why.may_retry)
        assert client.assign(inside, "u").reason == SPLIT
        ballast.unlink()
        time.sleep(LOOKED_S)
        assert_each_counts_once(client, sent + refused)
        assert server.stop() == 0, server.log()
        assert "Record is refused" in server.log()


def test_a_disk_that_is_full_stops_the_journal_until_there_is_room(tmp_path: Path) -> None:
    """Also when it fills faster than anyone looks: who was told of success loses nothing."""
    disk = tmp_path / "disk"
    with memory_file_system(disk, mib=8):
        with running_server(disk / "data") as server, connected(server.address) as client:
            inside = start(client)
            sent = record(client, 10)
            (disk / "ballast").write_bytes(bytes(5 << 20))
            more, why = record_until_refused(client)
            sent += more
            assert why.may_retry
            assert client.assign(inside, "u").reason == SPLIT
            server.stop()
        grow(disk, mib=32)
        with running_server(disk / "data") as server, connected(server.address) as client:
            assert_each_counts_once(client, sent)
            assert server.stop() == 0, server.log()


def test_a_disk_that_breaks_is_read_again_when_it_is_repaired(tmp_path: Path) -> None:
    """The file system turns read-only under the server, as Linux does after an error of the disk."""
    disk, image = tmp_path / "disk", tmp_path / "image"
    with disk_image(disk, image):
        with running_server(disk / "data") as server, connected(server.address) as client:
            inside = start(client)
            sent = record(client, 10)
            break_down(disk)
            more, why = record_until_refused(client)
            sent += more
            assert (grpc.StatusCode.UNAVAILABLE, "JOURNAL_UNAVAILABLE") == (why.code, why.reason)
            assert client.assign(inside, "u").reason == SPLIT
            server.stop()
            assert "the journal stops: the disk refused frame" in server.log()
        code, said = start_failure(disk / "data", FREE_PORT)
        assert code != 0
        assert f"data directory {disk / 'data'} cannot be used: Read-only file system" in said
    with disk_image(disk, image), running_server(disk / "data") as server, connected(server.address) as client:
        assert_each_counts_once(client, sent)
        assert server.stop() == 0, server.log()
