"""What `judge` needs besides definition and tally. Loads neither numpy nor scipy."""

from __future__ import annotations

from dataclasses import dataclass

from klero.v1.results_pb2 import ResultsView


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeOptions:
    """Circumstances of one computation; picklable, because it crosses into the worker process."""

    collected_at_ms: int
    """When the results are computed, Unix milliseconds."""

    journal_end_ms: int
    """Time of the journal's last frame, Unix milliseconds; the tally may be behind it."""

    engine_version: str
    """Klero's version."""

    view: ResultsView.ValueType = ResultsView.RESULTS_VIEW_SETTLED
    """Which entities estimates and comparisons show; the verdict rests on settled ones in any case."""
