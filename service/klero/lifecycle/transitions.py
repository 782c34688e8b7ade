"""The transitions themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klero.errors import EtagMismatchError, FieldViolation, InvalidFieldError, VariantNotFoundError
from klero.lifecycle.measurement import plan_digest
from klero.lifecycle.statuses import (
    ARCHIVED,
    DRAFT,
    DRAINED,
    DRAINING,
    PAUSED,
    RUNNING,
    SCHEDULED,
    SCHEDULED_START,
    STOPPED,
    changed_copy,
    require,
)
from klero.lifecycle.timetable import ends_at_ms

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from klero.v1.experiment_pb2 import Allocation, Experiment, ExperimentStatus

OUTPUT_ONLY = (
    "status",
    "created_at",
    "started_at",
    "ended_at",
    "etag",
    "revision",
    "updated_at",
    "iteration",
    "allocation",
    "status_reason",
    "shipped_variant_id",
    "closed_early",
)
"""Fields that only the server sets; `analysis_plan.frozen_at` and `.digest` are too."""


def draft(definition: Experiment, *, now: Timestamp) -> Experiment:
    """A new draft of a checked `definition`; output-only fields of the input are ignored."""
    created = changed_copy(definition)
    for field in OUTPUT_ONLY:
        created.ClearField(field)  # type: ignore[arg-type]  # names of fields, as a table
    if created.HasField("analysis_plan"):
        created.analysis_plan.ClearField("frozen_at")
        created.analysis_plan.ClearField("digest")
    created.status = DRAFT
    created.created_at.CopyFrom(now)
    created.updated_at.CopyFrom(now)
    return created


def start(stored: Experiment, *, allocation: Allocation, now: Timestamp) -> Experiment:
    """Begin the next iteration with `allocation`, or plan that if `schedule.startAt` lies ahead.

    Until it begins, a planned iteration can be changed like a draft, and what the experiment shipped
    before stays.

    Raises:
        IllegalTransitionError: The status does not allow it.
        InvalidFieldError: `schedule.endAt` has passed.
    """
    require("StartExperiment", stored)
    starts = stored.schedule.start_at
    if starts.ToMilliseconds() <= now.ToMilliseconds():
        return _begun(stored, allocation=allocation, now=now)
    refuse_past_end(stored, now=now, started_at_ms=starts.ToMilliseconds())
    scheduled = changed_copy(stored)
    scheduled.status = SCHEDULED
    scheduled.updated_at.CopyFrom(now)
    scheduled.status_reason = scheduled_reason(scheduled)
    return scheduled


def scheduled_reason(experiment: Experiment) -> str:
    """Why a planned iteration has not begun."""
    if not experiment.schedule.HasField("start_at"):
        return "scheduled, begins at once"
    return f"scheduled, begins at {experiment.schedule.start_at.ToJsonString()}"


def begin(stored: Experiment, *, allocation: Allocation, now: Timestamp) -> Experiment:
    """Begin the iteration that was planned.

    Raises:
        IllegalTransitionError: It is not planned any more.
        InvalidFieldError: `schedule.endAt` has passed.
    """
    require(SCHEDULED_START, stored)
    return _begun(stored, allocation=allocation, now=now)


def _begun(stored: Experiment, *, allocation: Allocation, now: Timestamp) -> Experiment:
    """The next iteration of what has none, with what judges it frozen."""
    refuse_past_end(stored, now=now, started_at_ms=now.ToMilliseconds())
    started = changed_copy(stored)
    started.status = RUNNING
    started.iteration += 1
    started.started_at.CopyFrom(now)
    started.updated_at.CopyFrom(now)
    started.ClearField("ended_at")
    started.ClearField("shipped_variant_id")
    started.ClearField("closed_early")
    started.status_reason = "started" if started.iteration == 1 else f"started again, iteration {started.iteration}"
    started.allocation.CopyFrom(allocation)
    started.allocation.epoch = 1
    started.allocation.weights_epoch = 1
    started.allocation.started_at.CopyFrom(now)
    started.allocation.cause = "start"
    started.analysis_plan.frozen_at.CopyFrom(now)
    started.analysis_plan.digest = plan_digest(started)
    return started


def is_exploratory(experiment: Experiment) -> bool:
    """Whether what judges changed after the iteration began: its p-values are hints then."""
    digest = experiment.analysis_plan.digest
    return bool(digest) and digest != plan_digest(experiment)


def pause(stored: Experiment, *, now: Timestamp) -> Experiment:
    """Give everyone the control until `resume`; outcomes still count.

    Raises:
        IllegalTransitionError: The status does not allow it.
    """
    return _moved(stored, "PauseExperiment", PAUSED, reason=f"paused, everyone gets `{stored.control.id}`", now=now)


def resume(stored: Experiment, *, now: Timestamp) -> Experiment:
    """Go on in a new epoch.

    Raises:
        IllegalTransitionError: The status does not allow it.
    """
    reason = f"resumed in epoch {stored.allocation.epoch + 1}"
    resumed = _moved(stored, "ResumeExperiment", RUNNING, reason=reason, now=now)
    open_epoch(resumed, cause="resumed", now=now)
    return resumed


def open_epoch(changed: Experiment, *, cause: str, now: Timestamp) -> None:
    """Begin the next epoch of `changed` itself."""
    changed.allocation.epoch += 1
    changed.allocation.started_at.CopyFrom(now)
    changed.allocation.cause = cause


def stop(stored: Experiment, *, ship_variant_id: str, now: Timestamp, immediate: bool = False) -> Experiment:
    """End the iteration; everyone gets `ship_variant_id`, or the control if it is empty.

    What was begun with a variant is still coming in while a window is open: the experiment drains
    until the last one has closed, unless `immediate` closes them, which also ends the draining. What
    a draining experiment ships, or one that waits for its next start, stays if `ship_variant_id` is
    empty.

    Raises:
        IllegalTransitionError: The status does not allow it.
        VariantNotFoundError: There is no such variant to ship.
    """
    require("StopExperiment", stored, immediate=immediate)
    variants = {variant.id for variant in (stored.control, *stored.variants)}
    if ship_variant_id and ship_variant_id not in variants:
        raise VariantNotFoundError(namespace=stored.namespace, experiment_id=stored.id, variant_id=ship_variant_id)
    stopped = changed_copy(stored)
    stopped.updated_at.CopyFrom(now)
    if stored.status not in {DRAINING, SCHEDULED} or ship_variant_id:
        stopped.shipped_variant_id = ship_variant_id
    everyone = f"everyone gets `{stopped.shipped_variant_id or stored.control.id}`"
    if stored.status == SCHEDULED:
        stopped.status = STOPPED
        stopped.status_reason = f"stopped before it began, {everyone}"
        return stopped
    if stored.status != DRAINING:
        stopped.ended_at.CopyFrom(now)
    windows = any(metric.HasField("window") for metric in stored.metrics)
    if windows and not immediate:
        stopped.status = DRAINING
        stopped.status_reason = f"draining until the last window has closed, {everyone}"
        return stopped
    stopped.status = STOPPED
    stopped.closed_early = windows
    stopped.status_reason = f"stopped with open windows left out, {everyone}" if windows else f"stopped, {everyone}"
    return stopped


def drained(stored: Experiment, *, now: Timestamp) -> Experiment:
    """End the draining, because the last window has closed: results are final.

    Raises:
        IllegalTransitionError: It does not drain any more.
    """
    everyone = stored.shipped_variant_id or stored.control.id
    reason = f"stopped and every window has closed, everyone gets `{everyone}`"
    return _moved(stored, DRAINED, STOPPED, reason=reason, now=now)


def archive(stored: Experiment, *, now: Timestamp) -> Experiment:
    """Put an ended experiment away: no decision, list or snapshot has it any more.

    Raises:
        IllegalTransitionError: The status does not allow it.
    """
    return _moved(stored, "ArchiveExperiment", ARCHIVED, reason="archived", now=now)


def _moved(
    stored: Experiment, action: str, status: ExperimentStatus.ValueType, *, reason: str, now: Timestamp
) -> Experiment:
    """`stored` in another status, if that allows the action."""
    require(action, stored)
    moved = changed_copy(stored)
    moved.status = status
    moved.updated_at.CopyFrom(now)
    moved.status_reason = reason
    return moved


def check_deletable(stored: Experiment) -> None:
    """Refuse to delete what was ever started: its results rest on its definition.

    Raises:
        IllegalTransitionError: The status does not allow it.
    """
    require("DeleteExperiment", stored)


def check_etag(stored: Experiment, etag: str) -> None:
    """Refuse a change that rests on another revision than the stored one; empty is not checked.

    Raises:
        EtagMismatchError: The experiment changed since `etag` was read.
    """
    if etag and etag != stored.etag:
        raise EtagMismatchError(
            namespace=stored.namespace, resource_type="experiment", id=stored.id, expected=etag, found=stored.etag
        )


def refuse_past_end(experiment: Experiment, *, now: Timestamp, started_at_ms: int) -> None:
    """Refuse what would end before it began, or at once.

    Raises:
        InvalidFieldError: Names the field that says so.
    """
    ends = ends_at_ms(experiment, started_at_ms=started_at_ms)
    if ends is not None and ends <= now.ToMilliseconds():
        by_schedule = experiment.schedule.HasField("end_at") and experiment.schedule.end_at.ToMilliseconds() == ends
        field = "schedule.endAt" if by_schedule else "config.duration"
        found = experiment.schedule.end_at.ToJsonString() if by_schedule else experiment.config.duration.ToJsonString()
        raise InvalidFieldError(
            (FieldViolation(field, f"`{found}` is over at {now.ToJsonString()}; set a later end, or none"),)
        )
