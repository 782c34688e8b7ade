"""File systems that can be filled and broken; who may not mount any gets the test skipped."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_IMAGE_BYTES = 16 << 20


@contextmanager
def memory_file_system(path: Path, *, mib: int) -> Iterator[None]:
    """Make `path` a file system of so many MiB in memory."""
    with _mounted(path, "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs"):
        yield


def grow(path: Path, *, mib: int) -> None:
    """Give a file system in memory more room."""
    _run("mount", "-o", f"remount,size={mib}m", str(path))


@contextmanager
def disk_image(path: Path, image: Path) -> Iterator[None]:
    """Make `path` an ext4 file system in the file `image`, which is made if it is missing."""
    if not image.exists():
        if shutil.which("mkfs.ext4") is None:
            pytest.skip("mkfs.ext4 is missing - Debian: apt-get install e2fsprogs")
        with image.open("wb") as file:
            file.truncate(_IMAGE_BYTES)
        _run("mkfs.ext4", "-q", "-F", str(image))
    with _mounted(path, "-o", "loop", str(image)):
        yield


def break_down(path: Path) -> None:
    """Have an ext4 file system behave as after an error of its disk: it is read-only from then on."""
    _run("mount", "-o", "remount,abort", str(path))


@contextmanager
def _mounted(path: Path, *arguments: str) -> Iterator[None]:
    path.mkdir(exist_ok=True)
    try:
        _run("mount", *arguments, str(path))
    except (OSError, subprocess.CalledProcessError) as error:
        why = error.stderr.decode().strip() if isinstance(error, subprocess.CalledProcessError) else error
        pytest.skip(f"file systems cannot be mounted here, which takes root: {why}")
    try:
        yield
    finally:
        _run("umount", str(path))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
