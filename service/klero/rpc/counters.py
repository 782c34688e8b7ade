"""What was counted beside results, each with its sentence: one table, in the order of the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klero.v1.experiment_service_pb2 import Counter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from klero.storage.v1.tally_pb2 import IterationTally, JournalTally

OF_ITERATION = {
    "conflicting": "Entities exposed to a second variant; they stay in the first.",
    "not_randomized": "Exposures that chance did not choose; their entities are in no variant's numbers.",
    "exposed_after_stop": "Exposures that came after the stop; their entities are in no variant's numbers.",
    "early": "Outcomes that came before their entity's exposure, waited for it and were counted.",
    "before_exposure": "Outcomes from before their entity's exposure; not counted.",
    "after_window": "Outcomes from behind their entity's window; not counted.",
    "late": "Outcomes from within their entity's window that came after it had closed; not counted.",
    "after_stop": "Outcomes that came after the stop; not counted.",
    "conflicting_outcomes": "Outcomes that name another variant than their entity's; not counted.",
    "out_of_bounds": "Outcomes outside the bounds of a metric; not counted for it.",
    "overflow": "Outcomes that would have made an entity's value too large to compute with; not counted.",
    "superseded": "Outcomes that took the place of an earlier one.",
    "paused": "Entities left out because a pause fell into their window.",
    "forgotten": "Entities that were forgotten.",
}
"""Fields of `IterationTally`."""

OF_JOURNAL = {
    "unmatched": "Outcomes for which no exposure was known when they came, once for each entity they name.",
    "repeated_batches": "Batches that were sent again; counted once.",
    "too_old_batches": "Batches whose request id was forgotten while they waited; refused.",
    "repeated_events": "Outcomes whose event id had been counted; counted once.",
    "unknown_arms": "Rows and changes that name an iteration or a variant which the journal does not know.",
    "early_evicted": "Outcomes that could not wait for their exposure, because too many did.",
    "repeated_frames": "Frames that were in the journal twice; counted once.",
    "quarantined": "Entries of the journal that could not be counted.",
}
"""Fields of `JournalTally`: of all experiments."""

REJECTED_ITEMS = "Items of Record that this node has refused since it started."
DROPPED_EXPOSURES = "Exposures that this node has dropped since it started, because the journal could not keep up."


def counters(
    iteration: IterationTally, journal: JournalTally, *, rejected_items: int, dropped_exposures: int
) -> Iterator[Counter]:
    """Every counter, those of the iteration first."""
    for name, description in OF_ITERATION.items():
        yield Counter(name=name, value=getattr(iteration, name), description=description)
    for name, description in OF_JOURNAL.items():
        yield Counter(name=name, value=getattr(journal, name), description=description)
    yield Counter(name="rejected_items", value=rejected_items, description=REJECTED_ITEMS)
    yield Counter(name="dropped_exposures", value=dropped_exposures, description=DROPPED_EXPOSURES)
