"""The data directory of an embedded server: who owns it and what is where."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Self

from klero.errors import StartupError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


class DataDirectory:
    """A directory that this process alone uses while the context is entered.

    The lock is the kernel's, so that it goes with the process however that ends; the number in the
    file only tells others whom to look for.
    """

    def __init__(self, path: Path) -> None:
        """Name the directory; nothing is touched before the context is entered."""
        self._path = path
        self._lock: int | None = None

    def __enter__(self) -> Self:
        """Make and lock the directory.

        Raises:
            StartupError: It cannot be made or written, or another process uses it.
        """
        try:
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self._path / "LOCK", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartupError(why=f"data directory {self._path} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.read(lock, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(lock)
            raise StartupError(why=f"data directory {self._path} in use by pid {owner}") from error
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        self._lock = lock
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let others use the directory."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def path(self) -> Path:
        """The directory itself."""
        return self._path

    @property
    def catalog(self) -> Path:
        """Database of definitions and audit entries."""
        return self._path / "catalog.db"

    @property
    def journal(self) -> Path:
        """Database of frames."""
        return self._path / "journal.db"

    @property
    def checkpoints(self) -> Path:
        """Directory of what was folded."""
        return self._path / "checkpoints"
