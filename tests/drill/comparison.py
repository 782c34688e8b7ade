"""What the server has, held against the logs of its clients: row by row in the export, and in sums."""

from __future__ import annotations

import csv
import math
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, TypeVar

from tests.drill.batches import EVENT, NAMESPACE, VARIANTS, OutcomeRow
from tests.drill.logs import read_logs
from tests.rpc.calls import Client, connected, external

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.drill.logs import Logs

_Row = TypeVar("_Row")

_EXPORT_TIMEOUT_S = 300.0
_FIRST_POSITION = 1
_SHOWN = 3


def differences(address: str, data_dir: Path, logs: Iterable[Path]) -> list[str]:
    """All that is not as the clients have it; empty if everything is.

    Args:
        address: Of the server, which has answered every batch.
        data_dir: Its directory.
        logs: Of the clients.
    """
    expected = read_logs(logs)
    with connected(address) as client:
        return [*expected.faults, *_in_results(client, expected), *_in_export(data_dir, expected)]


def _in_results(client: Client, expected: Logs) -> Iterator[str]:
    # Whoever answers a batch has folded it, so there is nothing to wait for.
    results = client.results(external(NAMESPACE), position=_FIRST_POSITION)
    if results.as_of < expected.position:
        yield f"results are at journal position {results.as_of}, a client was told {expected.position}"
    found = results.variant_results
    for variant in VARIANTS:
        entities = {entity for entity, given in expected.variants.items() if given == variant}
        rows = [row for row in expected.outcomes.elements() if row.entity_id in entities]
        cost = found[variant].metric_results[EVENT]
        yield from _unequal(f"results of `{variant}`: entities", len(entities), found[variant].enrolled)
        yield from _unequal(f"results of `{variant}`: outcomes", len(rows), cost.events)
        total, mean_times_n = sum(row.value for row in rows), cost.value * found[variant].enrolled
        if not math.isclose(total, mean_times_n, rel_tol=1e-9):
            yield f"results of `{variant}`: the sum is {mean_times_n}, the clients have {total}"


def _unequal(what: str, expected: int, found: int) -> Iterator[str]:
    if expected != found:
        yield f"{what}: {found}, the clients have {expected}"


def _in_export(data_dir: Path, expected: Logs) -> Iterator[str]:
    folder = data_dir.with_name("export")
    done = subprocess.run(
        [sys.executable, "-m", "klero.cli", "export", "--data-dir", str(data_dir), "--output", str(folder)],
        capture_output=True,
        text=True,
        timeout=_EXPORT_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        yield f"the export failed: {done.stderr.strip()}"
        return
    outcomes = Counter(
        OutcomeRow(row["entity_id"], row["event"], float(row["value"]), row["event_id"])
        for row in _csv(folder / "outcomes.csv")
    )
    enrolled = Counter(
        (row["entity_id"], row["variant_id"])
        for row in _csv(folder / "exposures.csv")
        # Others are exposures that were delivered again.
        if row["status"] != "again"
    )
    yield from _uneven("outcome", expected.outcomes, outcomes)
    yield from _uneven("exposure", Counter(expected.variants.items()), enrolled)


def _uneven(noun: str, expected: Counter[_Row], found: Counter[_Row]) -> Iterator[str]:
    for which, rows in ((f"lost {noun}s", expected - found), (f"{noun}s too many", found - expected)):
        if rows:
            shown = ", ".join(str(row) for row in list(rows)[:_SHOWN])
            yield f"export: {rows.total()} {which}, such as {shown}"


def _csv(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)
