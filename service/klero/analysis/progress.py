"""How far an iteration is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klero.v1.results_pb2 import Progress

if TYPE_CHECKING:
    from klero.analysis.rules import Rules
    from klero.storage.v1.tally_pb2 import IterationTally
    from klero.v1.experiment_pb2 import Experiment


def progress(definition: Experiment, tally: IterationTally, *, enrolled: int, settled: int) -> Progress:
    """Entities against the plan. The percentage of traffic depends on the time and is not set here."""
    required = definition.analysis_plan.planned_sample_size
    result = Progress(
        enrolled=enrolled,
        settled=settled,
        required=required,
        fraction=min(1.0, settled / required) if required else 0.0,
    )
    if tally.last_exposure_ms:
        result.last_exposure_at.FromMilliseconds(tally.last_exposure_ms)
    if tally.last_outcome_ms:
        result.last_outcome_at.FromMilliseconds(tally.last_outcome_ms)
    end_ms = _latest_end_ms(definition, tally)
    if end_ms is not None:
        result.estimated_end.FromMilliseconds(end_ms)
    return result


def caveat(rules: Rules, *, settled: int, closed: bool) -> str:
    """Say what holds against reading a fixed-horizon p-value now, one clause. Empty: nothing."""
    planned = rules.plan.planned_sample_size
    if rules.sequential or 0 < planned <= settled:
        return ""
    if closed:
        return f"stopped before the {planned:,} planned entities" if planned else ""
    return f"valid only at the end, with {planned:,} entities" if planned else "valid only after Stop"


def _latest_end_ms(definition: Experiment, tally: IterationTally) -> int | None:
    """When the iteration ends by itself, Unix milliseconds. None: never, or it has ended."""
    if tally.stopped:
        return None if tally.closed else tally.open_until_ms or None
    ends = []
    if definition.config.HasField("duration") and definition.HasField("started_at"):
        ends.append(definition.started_at.ToMilliseconds() + definition.config.duration.ToMilliseconds())
    if definition.schedule.HasField("end_at"):
        ends.append(definition.schedule.end_at.ToMilliseconds())
    return min(ends, default=None)
