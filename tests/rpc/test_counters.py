"""Counters: every count of the tallies has a name, a sentence and a place."""

from __future__ import annotations

import pytest

from klero.rpc.counters import OF_ITERATION, OF_JOURNAL, counters
from klero.storage.v1.tally_pb2 import IterationTally, JournalTally

# Fields that are shown elsewhere, or that count nothing.
ELSEWHERE = {
    "IterationTally": {
        "position", "time_ms", "arms", "last_exposure_ms", "last_outcome_ms", "stopped", "closed", "open_until_ms",
        "epochs",
    },
    "JournalTally": {"position", "time_ms", "quarantine", "next_due_ms", "events"},
}  # fmt: skip


def test_counts_stand_beside_their_names() -> None:
    """Dashboards draw them by name, in a fixed order."""
    found = list(counters(IterationTally(late=3), JournalTally(unmatched=4), rejected_items=5, dropped_exposures=6))
    values = {counter.name: counter.value for counter in found}

    assert [*OF_ITERATION, *OF_JOURNAL, "rejected_items", "dropped_exposures"] == list(values)
    assert (3, 4, 5, 6, 0) == tuple(
        values[name] for name in ("late", "unmatched", "rejected_items", "dropped_exposures", "early")
    )
    assert all(counter.description.endswith(".") for counter in found)


@pytest.mark.parametrize(("tally", "table"), [(IterationTally, OF_ITERATION), (JournalTally, OF_JOURNAL)])
def test_no_count_is_forgotten(tally: type[IterationTally | JournalTally], table: dict[str, str]) -> None:
    """A new field of a tally gets its sentence, or its reason here."""
    fields = {field.name for field in tally.DESCRIPTOR.fields}

    assert fields - ELSEWHERE[tally.DESCRIPTOR.name] == set(table)
