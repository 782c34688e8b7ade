"""The drill: record under load, kill the server, start it again, and count.

What is sent follows from the seed; which batch meets which commit is up to the machine.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from klero._core import CHECKPOINT_PARTS
from tests.drill.batches import NAMESPACE
from tests.drill.clients import DrillClient
from tests.drill.comparison import differences
from tests.rpc.calls import connected, external
from tests.server_process import ServerProcess, running_server

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Rounds are much shorter than what lies between two checkpoints of a server at work; so that there are
# some in every round, of parts at different positions.
FREQUENT_CHECKPOINTS = """
from klero.journal import checkpointer
checkpointer._PAUSE_S = 0.0
checkpointer.Checkpointer.__init__.__kwdefaults__["rotation_frames"] = 10
"""
_LONGEST_DELAY_S = 0.05
_LONGEST_ROUND_S = 120.0


@dataclass(frozen=True, slots=True)
class DrillPlan:
    """How much is done."""

    seed: int
    """Of what is sent and when the server is killed."""

    rounds: int
    """How often it is killed."""

    outcomes: int
    """Acknowledged in each round before that, at the least."""

    compare_every: int = 5
    """Rounds between two comparisons; there is one at the end in any case."""

    clients: int = 8
    """Sending at the same time."""

    before: str = FREQUENT_CHECKPOINTS
    """Python that the server runs first."""

    meanwhile: Callable[[Path], None] | None = None
    """Called with the data directory between a kill and the next start."""


@dataclass(frozen=True, slots=True)
class _Killed:
    """How a round ended."""

    acknowledged: int
    """Outcomes."""

    in_flight: int
    """Batches that were not answered."""


def drill(plan: DrillPlan, directory: Path, *, say: Callable[[str], None]) -> list[str]:
    """Run the rounds of `plan`; returns the differences of the first comparison that finds any.

    Args:
        plan: How much is done.
        directory: Empty; gets the data directory, the logs of the clients, and an export.
        say: Called with a line for each round.
    """
    return _Drill(plan, directory, say).run()


def checkpoint_position(data_dir: Path) -> int:
    """Position behind which a start reads the journal; 0 if the checkpoints are of no use to it."""
    positions: list[list[int]] = [[] for _ in range(CHECKPOINT_PARTS)]
    for path in (data_dir / "checkpoints").glob("*.ckpt"):
        part, _, position = path.stem.partition("-")
        positions[int(part)].append(int(position))
    # Part 0 has what the others refer to, so none of them may be older.
    oldest = min(max(found, default=0) for found in positions[1:])
    return max((position for position in positions[0] if position <= oldest), default=0)


class _Drill:
    """The rounds of one plan."""

    def __init__(self, plan: DrillPlan, directory: Path, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._directory = directory
        self._data_dir = directory / "data"
        self._say = say
        self._clients = [DrillClient(number, directory) for number in range(plan.clients)]

    def run(self) -> list[str]:
        """A start, and as many kills, each with a start behind it."""
        try:
            with running_server(self._data_dir) as server, connected(server.address) as client:
                client.start(external(NAMESPACE))
                server.stop()
            killed = _Killed(0, 0)
            for number in range(self._plan.rounds + 1):
                position, begun = checkpoint_position(self._data_dir), time.monotonic()
                with running_server(self._data_dir, before=self._plan.before) as server:
                    for each in self._clients:
                        each.send_again(server.address)
                    if number > 0:
                        recovered_ms = round((time.monotonic() - begun) * 1000)
                        found = self._differences(number, server)
                        self._say(
                            f"round {number}: {killed.acknowledged:,} outcomes acknowledged, {killed.in_flight} "
                            f"batches in flight, recovered from position {position} in {recovered_ms:,} ms"
                            f"{'' if found is None else f', {len(found)} differences'}"
                        )
                        if found:
                            return found
                    if number < self._plan.rounds:
                        killed = self._kill_under_load(number, server)
                if self._plan.meanwhile is not None:
                    self._plan.meanwhile(self._data_dir)
        except RuntimeError as error:
            return [str(error)]
        finally:
            for each in self._clients:
                each.close()
        return []

    def _differences(self, number: int, server: ServerProcess) -> list[str] | None:
        """What a comparison finds; None if none is due."""
        if number % self._plan.compare_every and number < self._plan.rounds:
            return None
        return differences(server.address, self._data_dir, [each.log for each in self._clients])

    def _kill_under_load(self, number: int, server: ServerProcess) -> _Killed:
        before = self._acknowledged()
        threads = []
        for each, client in enumerate(self._clients):
            random = Random(f"{self._plan.seed}/{number}/{each}")
            threads.append(threading.Thread(target=client.send_until_it_fails, args=(server.address, random)))
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + _LONGEST_ROUND_S
        while self._acknowledged() - before < self._plan.outcomes and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(Random(f"{self._plan.seed}/{number}").uniform(0, _LONGEST_DELAY_S))
        while not any(client.in_flight for client in self._clients) and time.monotonic() < deadline:
            time.sleep(0)
        server.process.kill()
        for thread in threads:
            thread.join()
        unanswered = sum(client.unanswered is not None for client in self._clients)
        return _Killed(self._acknowledged() - before, unanswered)

    def _acknowledged(self) -> int:
        return sum(client.acknowledged for client in self._clients)
