"""What the time alone changes: the ramp of traffic, and planned ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klero.lifecycle.statuses import DRAINING, OPEN, RUNNING, SCHEDULED, SCHEDULED_END, SCHEDULED_START

if TYPE_CHECKING:
    from klero.v1.experiment_pb2 import Experiment


def ends_at_ms(experiment: Experiment, *, started_at_ms: int) -> int | None:
    """When an iteration ends by itself, Unix milliseconds; None: by Stop alone.

    The earlier of `schedule.endAt` and `config.duration` from its start, pauses included.
    """
    ends = []
    if experiment.schedule.HasField("end_at"):
        ends.append(experiment.schedule.end_at.ToMilliseconds())
    if experiment.config.HasField("duration"):
        ends.append(started_at_ms + experiment.config.duration.ToMilliseconds())
    return min(ends, default=None)


def is_timed(experiment: Experiment) -> bool:
    """Whether its status can change without anybody's call."""
    if experiment.status in OPEN:
        return ends_at_ms(experiment, started_at_ms=0) is not None
    return experiment.status in {SCHEDULED, DRAINING}


def due(experiment: Experiment, *, now_ms: int) -> str | None:
    """The controller's action that the time alone asks for; None: none.

    What should have begun and ended while nobody looked ends without having begun.
    """
    if experiment.status == SCHEDULED:
        starts = experiment.schedule.start_at.ToMilliseconds()
        ends = ends_at_ms(experiment, started_at_ms=max(starts, now_ms))
        if ends is not None and ends <= now_ms:
            return SCHEDULED_END
        return SCHEDULED_START if starts <= now_ms else None
    if experiment.status in OPEN:
        ends = ends_at_ms(experiment, started_at_ms=experiment.started_at.ToMilliseconds())
        return SCHEDULED_END if ends is not None and ends <= now_ms else None
    return None


def traffic_percentage(experiment: Experiment, *, now_ms: int) -> float:
    """Percent of the targeted that are enrolled at `now_ms`, on the ramp."""
    if experiment.status != RUNNING:
        return 0.0
    full = experiment.allocation.traffic_percentage
    if not experiment.config.HasField("ramp_up_period"):
        return full
    elapsed_ms = now_ms - experiment.started_at.ToMilliseconds()
    return full * min(1.0, max(0.0, elapsed_ms / experiment.config.ramp_up_period.ToMilliseconds()))
