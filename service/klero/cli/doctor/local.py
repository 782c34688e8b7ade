"""The data directory, its disk, and the core of this installation."""

from __future__ import annotations

import fcntl
import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from klero.catalog.sqlite import FORMAT as CATALOG_FORMAT
from klero.cli.doctor.finding import Finding, State
from klero.errors import StartupError
from klero.journal.space import free_and_total, reserve
from klero.journal.sqlite import FORMAT as JOURNAL_FORMAT
from klero.journal.sqlite import SqliteJournal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from klero.data_directory import DataDirectory

_MIB = 1 << 20
# Free space of so many times what is kept free is worth a word.
_SCARCE = 4
# The journal's clock may be ahead by what two reads of a clock differ.
_TOLERANCE_MS = 2000
_MOUNTS = Path("/proc/self/mountinfo")
# Field of a line there, from 0.
_MOUNT_POINT = 4
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})
_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre"})
_OF_CONTAINERS = frozenset({"overlay", "aufs"})


def check_directory(directory: DataDirectory) -> Iterator[Finding]:
    """Whether it can be used, who uses it, and whether this version reads what is in it."""
    path = directory.path
    name = "data directory"
    if not path.exists():
        advice = f"`klero serve --data-dir {path}` makes it; if it is elsewhere, name it with --data-dir"
        yield Finding(name, State.WARNING, f"{path} is not there", advice)
        return
    if not path.is_dir() or not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        what = "cannot be read and written by this user" if path.is_dir() else "is no directory"
        yield Finding(name, State.FAILED, f"{path} {what}", "name another with --data-dir, or mend its permissions")
        return
    user = owner(path)
    use = f"in use by pid {user}" if user else "in use by no server"
    yield Finding(name, State.OK, f"{path} can be written, and is {use}")
    for what, file, known in (
        ("catalog", directory.catalog, CATALOG_FORMAT),
        ("journal", directory.journal, JOURNAL_FORMAT),
    ):
        if file.exists():
            yield _format(what, file, known)


def owner(path: Path) -> str:
    """Process id of the server that uses the data directory, as it says itself. Empty: none does."""
    try:
        lock = os.open(path / "LOCK", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        # Shared and let go at once; a server has it for itself.
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.read(lock, 32).decode("ascii", "replace").strip() or "unknown"
    else:
        return ""
    finally:
        os.close(lock)


def check_disk(directory: DataDirectory, mounts: Iterable[str] | None = None) -> Iterator[Finding]:
    """Whether there is room, and whether what is written stays.

    Args:
        directory: Need not be there.
        mounts: Lines as in /proc/self/mountinfo. None: of this process.
    """
    there = next(
        parent for parent in (directory.path.absolute(), *directory.path.absolute().parents) if parent.exists()
    )
    free, total = free_and_total(there)
    kept = reserve(total)
    journal = directory.journal.stat().st_size if directory.journal.exists() else 0
    room = f"{free // _MIB:,} of {total // _MIB:,} MiB are free, the journal has {journal // _MIB:,} MiB"
    if free < kept:
        yield Finding("disk space", State.FAILED, f"{room}: Record is refused below {kept // _MIB} MiB", "make room")
    elif free < _SCARCE * kept:
        yield Finding("disk space", State.WARNING, f"{room}: Record is refused below {kept // _MIB} MiB", "make room")
    else:
        yield Finding("disk space", State.OK, room)
    yield _file_system(file_system_type(there, _mounts() if mounts is None else mounts))


def check_journal_time(directory: DataDirectory, *, now_ms: int) -> Iterator[Finding]:
    """Whether the clock is behind the journal's, whose time never goes back."""
    if not directory.journal.exists():
        return
    try:
        with SqliteJournal(directory.journal, read_only=True) as journal:
            ahead_ms = journal.last_time_ms() - now_ms
    except (sqlite3.Error, StartupError) as error:
        yield Finding("journal time", State.FAILED, f"cannot be read: {error}", "look with `klero journal check`")
        return
    if ahead_ms <= _TOLERANCE_MS:
        yield Finding("journal time", State.OK, "this machine's clock is not behind the last frame")
        return
    yield Finding(
        "journal time",
        State.FAILED,
        f"this machine's clock is {ahead_ms / 1000:,.0f} s behind the last frame: no window closes until it gets there",
        "set the clock right; if it was ahead before, what was recorded then has wrong times",
    )


def check_core(profile: str) -> Iterator[Finding]:
    """Whether the core of this installation was built for use.

    Args:
        profile: As `klero.engine.PROFILE`.
    """
    sentence = f"the Rust core is a {profile} build"
    if profile == "release":
        yield Finding("core", State.OK, sentence)
    else:
        yield Finding("core", State.WARNING, f"{sentence}, which is slow", "`make release` builds it for use")


def file_system_type(path: Path, mounts: Iterable[str]) -> str:
    """Type of the file system that `path` is on; empty if `mounts` do not say."""
    best, found = 0, ""
    for line in mounts:
        before, dash, behind = line.partition(" - ")
        fields = before.split()
        if not dash or len(fields) <= _MOUNT_POINT:
            continue
        # Spaces and the like are written as octal digits.
        point = Path(re.sub(r"\\([0-7]{3})", lambda digits: chr(int(digits[1], 8)), fields[_MOUNT_POINT]))
        # Of two mounts on one point the later one is seen.
        if path.is_relative_to(point) and len(point.parts) >= best:
            best, found = len(point.parts), behind.split()[0]
    return found


def _file_system(kind: str) -> Finding:
    name = "file system"
    if kind in _IN_MEMORY:
        return Finding(name, State.WARNING, f"{kind} is in memory: a restart loses everything", "use a disk")
    if kind in _NETWORK or kind.startswith("fuse."):
        sentence = f"{kind} is not on this machine: locks and syncs may not hold what an acknowledgement promises"
        return Finding(name, State.WARNING, sentence, "use a local disk")
    if kind in _OF_CONTAINERS:
        return Finding(name, State.WARNING, f"{kind} goes with its container", "mount a volume there")
    return Finding(name, State.OK, kind or "its type cannot be told on this system")


def _format(what: str, file: Path, known: int) -> Finding:
    name = f"{what} format"
    try:
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)) as database:
            (found,) = database.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error as error:
        return Finding(name, State.FAILED, f"{file} cannot be read: {error}", "restore it from a backup")
    if found > known:
        sentence = f"{file} has format {found}, this version reads up to {known}"
        return Finding(name, State.FAILED, sentence, "use the version of Klero that wrote it, or a newer one")
    later = f"; `klero serve` brings it to {known}" if found < known else ""
    return Finding(name, State.OK, f"{found}{later}")


def _mounts() -> list[str]:
    try:
        return _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
