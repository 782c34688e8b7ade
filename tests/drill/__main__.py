"""`python -m tests.drill`: kill a server under load again and again, and count what is left."""

from __future__ import annotations

import argparse
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from tests.drill.rounds import DrillPlan, drill


def main() -> int:
    """Run the drill; 1 if anything is not as the clients have it, and then its directory is kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.drill", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50, help="how often the server is killed")
    parser.add_argument("--outcomes", type=int, default=10_000, help="acknowledged before each kill, at the least")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 32), help="default: another one each time")
    chosen = parser.parse_args()
    plan = DrillPlan(seed=chosen.seed, rounds=chosen.rounds, outcomes=chosen.outcomes)
    directory = Path(tempfile.mkdtemp(prefix="klero-drill-"))
    _say(f"seed {plan.seed}, directory {directory}")
    found = drill(plan, directory, say=_say)
    for difference in found:
        _say(f"difference: {difference}")
    if found:
        _say(f"failed: {len(found)} differences; the logs and the data are in {directory}")
        return 1
    shutil.rmtree(directory)
    _say(f"every acknowledged outcome of {plan.rounds} rounds is there exactly once")
    return 0


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  # a program of its own


if __name__ == "__main__":
    sys.exit(main())
