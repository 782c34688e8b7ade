"""How a process ends or forks: each client sends what waits, and none sends what another process does.

Hooks are set with the first client. `SIGTERM` ends Python without its exit functions, so it gets a handler
that sends first and then does what would have been done: the handler before, or the end of the process.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from types import FrameType


class Ending(Protocol):
    """What wants to know of the end of its process, and of its forks."""

    def at_exit(self) -> None:
        """Send what waits, and end."""

    def at_sigterm(self) -> None:
        """Send what waits; the program may go on."""

    def before_fork(self) -> None:
        """Stand still."""

    def after_fork_in_parent(self) -> None:
        """Go on."""

    def after_fork_in_child(self) -> None:
        """Begin anew."""


class _Endings:
    """All that wants to know, in this process."""

    def __init__(self) -> None:
        """Nobody does yet."""
        self._known: set[Ending] = set()
        self._hooked = False
        self._caught = False
        self._before: object = None

    def add(self, ending: Ending) -> None:
        """Tell `ending` from here on."""
        self._known.add(ending)
        self._catch_sigterm()
        if not self._hooked:
            self._hooked = True
            atexit.register(self._exit)
            if sys.platform != "win32":
                os.register_at_fork(
                    before=lambda: self._each("before_fork"),
                    after_in_parent=lambda: self._each("after_fork_in_parent"),
                    after_in_child=lambda: self._each("after_fork_in_child"),
                )

    def remove(self, ending: Ending) -> None:
        """Tell it no more; behind the last one `SIGTERM` is as it was."""
        self._known.discard(ending)
        if not self._known and signal.getsignal(signal.SIGTERM) == self._sigterm and _is_main_thread():
            self._caught = False
            signal.signal(signal.SIGTERM, self._before)  # type: ignore[arg-type]  # as getsignal gave it

    def _catch_sigterm(self) -> None:
        before = signal.getsignal(signal.SIGTERM)
        # Not ours to change: ignored on purpose, or set by something that is not Python. A handler that took
        # the place of this one may call it, so it is not called from here.
        if self._caught or before in (signal.SIG_IGN, None) or not _is_main_thread():
            return
        self._caught, self._before = True, before
        signal.signal(signal.SIGTERM, self._sigterm)

    def _sigterm(self, number: int, frame: FrameType | None) -> None:
        self._each("at_sigterm")
        if callable(self._before):
            self._before(number, frame)
        else:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def _exit(self) -> None:
        self._each("at_exit")

    def begun(self) -> None:
        """Note that something waits to be sent in this process."""
        # Workers of multiprocessing end without exit functions, but call its finalizers; those of their parent
        # they forget as they begin.
        util = sys.modules.get("multiprocessing.util")
        if util is not None:
            util.Finalize(None, self._exit, exitpriority=0)

    def _each(self, what: str) -> None:
        for ending in list(self._known):
            getattr(ending, what)()


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


endings = _Endings()
"""The one of this process."""
