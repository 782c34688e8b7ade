"""Whether calls are still taken: the first step down.

gRPC's own stop cancels calls that have arrived and were not yet begun, which tells their callers
nothing. So new calls are refused with a reason first, and the server stops once no more come.
"""

from __future__ import annotations

import asyncio

from klero.errors import ShuttingDownError

# Longer than a call takes from a caller's socket to `check`, on a busy machine too.
_QUIET_S = 0.05
# Callers that go on in spite of the refusal are cut off then.
_MOST_ROUNDS = 20


class Admission:
    """Lets calls in until it is closed. Belongs to one event loop."""

    def __init__(self) -> None:
        """Begin open."""
        self._closed = False
        self._refused = 0

    def check(self) -> None:
        """Let a call in.

        Raises:
            ShuttingDownError: No more are taken.
        """
        if self._closed:
            self._refused += 1
            raise ShuttingDownError

    async def close(self) -> None:
        """Refuse whatever comes from now on; returns when nothing has come for a while."""
        self._closed = True
        for _ in range(_MOST_ROUNDS):
            before = self._refused
            await asyncio.sleep(_QUIET_S)
            if self._refused == before:
                return
