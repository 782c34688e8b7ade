"""What checkpoints add to the wait for an acknowledgement.

The load of `record_load.py`, in turn against a server that never takes a checkpoint and one that takes
one after the other: the difference of their 99th centiles is the claim.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
from pathlib import Path

from record_load import expose, load
from running_server import serving

# Bytes of frames between two rotations: none ever, or always the next one.
NEVER, ALWAYS = 1 << 60, 1


def centiles(rotation_bytes: int, seconds: float) -> tuple[float, float, int]:
    """Median and 99th centile of the wait in ms, and how many checkpoint files there are at the end."""
    before = (
        "from klero.journal.checkpointer import Checkpointer; "
        f"Checkpointer.__init__.__kwdefaults__ = {{'rotation_bytes': {rotation_bytes}, 'rotation_frames': 1 << 60}}"
    )
    with tempfile.TemporaryDirectory(prefix="klero-bench-") as name:
        with serving(Path(name), before=before) as address:
            expose(address)
            _, _, latencies = asyncio.run(load(address, seconds))
            files = len(list((Path(name) / "checkpoints").glob("*.ckpt")))
        cut = statistics.quantiles(latencies, n=100)
        return cut[49] * 1000, cut[98] * 1000, files


def main() -> None:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    runs: dict[str, list[tuple[float, float, int]]] = {"without": [], "with": []}
    for _ in range(arguments.rounds):
        runs["without"].append(centiles(NEVER, arguments.seconds))
        runs["with"].append(centiles(ALWAYS, arguments.seconds))
    result = {
        name: {
            "p50_ms": round(statistics.median(p50 for p50, _, _ in found), 1),
            "p99_ms": round(statistics.median(p99 for _, p99, _ in found), 1),
            "files": max(files for _, _, files in found),
        }
        for name, found in runs.items()
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
