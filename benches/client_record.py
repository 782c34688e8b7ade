"""What `record` costs the thread that calls it, beside `queue.SimpleQueue.put` of the same tuple.

Calls come in bursts of a thousand with a pause between them, as an agent's do, so that the thread that sends
has its turn; a burst's time is divided by its calls. The server is real, and everything recorded arrives.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING

from running_server import running_server

import klero

if TYPE_CHECKING:
    from collections.abc import Callable

BURST = 1000
PAUSE_S = 0.02


def burst_ns(call: Callable[[], None]) -> float:
    """Nanoseconds of one call in a burst."""
    started = time.perf_counter_ns()
    for _ in range(BURST):
        call()
    return (time.perf_counter_ns() - started) / BURST


def main() -> None:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bursts", type=int, default=100)
    arguments = parser.parse_args()
    queue: SimpleQueue[object] = SimpleQueue()
    item = ("success", 1.0, "agent-run-1", time.time_ns(), None, None, None, "", "")
    times: dict[str, list[float]] = {"record": [], "in_run": [], "put": []}
    with running_server() as address, klero.Client(address) as client:
        for _ in range(arguments.bursts):
            times["record"].append(burst_ns(lambda: client.record("success", 1.0, entity_id="agent-run-1")))
            time.sleep(PAUSE_S)
            times["put"].append(burst_ns(lambda: queue.put(item)))
            with client.run("agent-run-2"):
                times["in_run"].append(burst_ns(lambda: client.record("success", 1.0)))
            time.sleep(PAUSE_S)
        flushed = client.flush(30.0)
        counts = client.counts
    medians = {name: statistics.median(values) for name, values in times.items()}
    result = {
        "record_ns": round(medians["record"]),
        "record_in_run_ns": round(medians["in_run"]),
        "put_ns": round(medians["put"]),
        "ratio": round(medians["record"] / medians["put"], 1),
        "p90_record_ns": round(statistics.quantiles(times["record"], n=10)[-1]),
        "all_stored": flushed and counts.dropped == 0 and counts.rejected == 0,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
