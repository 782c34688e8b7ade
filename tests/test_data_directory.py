"""Who owns a data directory."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from klero.data_directory import DataDirectory
from klero.errors import StartupError

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import sys, pathlib
from klero.data_directory import DataDirectory
with DataDirectory(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_told_who_has_it(tmp_path: Path) -> None:
    """Two servers on one journal would lose both; the message says whom to stop. A killed owner owns nothing."""
    owner = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with owner:
        assert owner.stdout is not None
        assert b"held\n" == owner.stdout.readline()
        with pytest.raises(StartupError, match=f"in use by pid {owner.pid}$"):
            DataDirectory(tmp_path).__enter__()
        owner.kill()
        owner.wait()
        with DataDirectory(tmp_path):
            assert f"{os.getpid()}\n" == (tmp_path / "LOCK").read_text()


def test_it_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    """It holds every entity id and the secret that keys them."""
    with DataDirectory(tmp_path / "deep" / "er") as directory:
        assert 0o700 == stat.S_IMODE(directory.catalog.parent.stat().st_mode)


def test_everything_lies_in_it(tmp_path: Path) -> None:
    """Whoever copies the directory of a stopped server has all of it."""
    directory = DataDirectory(tmp_path)

    assert tmp_path == directory.path
    assert {tmp_path} == {path.parent for path in (directory.catalog, directory.journal, directory.checkpoints)}


def test_a_path_that_cannot_be_a_directory_is_named(tmp_path: Path) -> None:
    """Operators mistype paths."""
    (tmp_path / "file").touch()

    with pytest.raises(StartupError, match="file cannot be used: "):
        DataDirectory(tmp_path / "file").__enter__()
