"""Simulated agents, run as `python -m klero.cli.demo.agents ADDRESS EXPERIMENT SECONDS`.

Each task asks which prompt to use, is solved or not with a probability that depends on it, and costs
something. The truth that the experiment has to find stands in `SOLVED` and `COST_USD`.
"""

from __future__ import annotations

import random
import sys
import threading
import time

from klero.client.batches import uuid7
from klero.client.remote import Remote
from klero.v1.decision_pb2 import Outcome
from klero.v1.decision_service_pb2 import AssignRequest, RecordRequest

SOLVED = {"plain": 0.62, "stepwise": 0.70}
COST_USD = {"plain": 0.011, "stepwise": 0.014}

_AGENTS = 4
_SEED = 2008
# Outcomes go in small batches, as a client library would send them.
_BATCH_TASKS = 20


def work(remote: Remote, experiment_id: str, agent: int, until: float) -> None:
    """Do tasks until the time is up."""
    chance = random.Random(_SEED + agent)
    batch: list[Outcome] = []
    task = 0
    while time.monotonic() < until:
        task += 1
        entity_id = f"agent-{agent}-task-{task}"
        decision = remote.decisions("Assign", AssignRequest(experiment_id=experiment_id, entity_id=entity_id)).decision
        solved = chance.random() < SOLVED[decision.variant_id]
        cost = COST_USD[decision.variant_id] * chance.lognormvariate(-0.125, 0.5)
        batch.append(Outcome(entity_id=entity_id, event="success", value=float(solved)))
        batch.append(Outcome(entity_id=entity_id, event="cost_usd", value=cost))
        if len(batch) >= 2 * _BATCH_TASKS:
            remote.decisions("Record", RecordRequest(request_id=uuid7(), outcomes=batch))
            batch = []
    if batch:
        remote.decisions("Record", RecordRequest(request_id=uuid7(), outcomes=batch))


def main() -> None:
    """Run the agents, one a thread."""
    address, experiment_id, seconds = sys.argv[1:]
    until = time.monotonic() + float(seconds)
    with Remote(address) as remote:
        threads = [
            threading.Thread(target=work, args=(remote, experiment_id, agent, until)) for agent in range(_AGENTS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()
