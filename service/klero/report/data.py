"""What a report is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from klero.v1.events_pb2 import AuditEntry
    from klero.v1.experiment_pb2 import Experiment
    from klero.v1.experiment_service_pb2 import GetExperimentHistoryResponse, GetExperimentStatusResponse
    from klero.v1.results_pb2 import ExperimentResults


@dataclass(frozen=True, slots=True)
class ReportData:
    """Answers of the server about one experiment."""

    experiment: Experiment
    results: ExperimentResults
    """Of settled entities."""
    live: ExperimentResults | None
    """Of everyone exposed. None: no metric has a window, so they are the same."""
    status: GetExperimentStatusResponse
    history: GetExperimentHistoryResponse | None
    """Of the leading metric. None: the server keeps none."""
    audit: Sequence[AuditEntry]
    """Newest first."""
    audit_is_cut: bool
    """Whether there are older entries than those in `audit`."""
