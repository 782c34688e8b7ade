"""Rows per second of `klero import`: Hillstrom's 64,000 customers with three outcomes each.

From the first byte of the file to the last acknowledgement, progress bar included; the start of the
command is not counted. Every row is an exposure and three outcomes through Record and the journal.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from running_server import running_server

# The exposure and three outcomes of every row.
ITEMS = 64_000 * 4
EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def imported() -> float:
    """Rows per second of one import into an empty server."""
    with running_server() as address:
        environment = {**os.environ, "KLERO_ADDRESS": address}

        def klero(*arguments: str) -> str:
            command = [sys.executable, "-m", "klero.cli", *arguments]
            return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

        klero("apply", "-f", str(EXAMPLES / "hillstrom.yaml"))
        klero("start", "hillstrom-email")
        data = EXAMPLES / "data" / "hillstrom.csv.gz"
        report = json.loads(klero("import", "hillstrom-email", str(data), "--variant", "segment", "--json"))
    assert report["accepted"] == ITEMS, report
    return float(report["rowsPerSecond"])


def main() -> None:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    rates = sorted(imported() for _ in range(arguments.runs))
    print(json.dumps({"rows_per_second": {"min": rates[0], "median": statistics.median(rates), "max": rates[-1]}}))


if __name__ == "__main__":
    main()
