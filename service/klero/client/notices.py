"""Log lines that are worth saying once and would drown everything if said each time."""

from __future__ import annotations

import logging
import time

log = logging.getLogger("klero.client")
"""Where clients say what the program need not handle and people should know."""

_AGAIN_S = 60.0
_MAX_KNOWN = 1000


class Notices:
    """Warnings by key: one for each key, or one a minute where the cause comes and goes."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self._said: dict[str, float] = {}

    def once(self, key: str, message: str, *values: object) -> None:
        """Warn, unless that was done for `key`; beyond a thousand keys nothing new is said."""
        if key not in self._said and len(self._said) < _MAX_KNOWN:
            self._said[key] = 0.0
            log.warning(message, *values)

    def at_times(self, key: str, message: str, *values: object) -> None:
        """Warn, unless that was done for `key` in the last minute."""
        now = time.monotonic()
        if now - self._said.get(key, -_AGAIN_S) >= _AGAIN_S:
            self._said[key] = now
            log.warning(message, *values)
