"""How an experiment moves from status to status: pure functions over its definition.

Each returns a changed copy. Times are arguments; nothing is stored or sent here.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from klero.errors import EtagMismatchError, IllegalTransitionError, VariantNotFoundError
from klero.storage.v1.journal_pb2 import Control, MeasurementPlan, MetricPlan, Stopped
from klero.v1.experiment_pb2 import (
    Aggregation,
    Experiment,
    ExperimentStatus,
    MetricGoal,
    MetricType,
    MissingPolicy,
)

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from klero.v1.experiment_pb2 import Allocation, Metric

DRAFT = ExperimentStatus.EXPERIMENT_STATUS_DRAFT
RUNNING = ExperimentStatus.EXPERIMENT_STATUS_RUNNING
PAUSED = ExperimentStatus.EXPERIMENT_STATUS_PAUSED
DRAINING = ExperimentStatus.EXPERIMENT_STATUS_DRAINING
SCHEDULED = ExperimentStatus.EXPERIMENT_STATUS_SCHEDULED
STOPPED = ExperimentStatus.EXPERIMENT_STATUS_STOPPED
ROLLED_BACK = ExperimentStatus.EXPERIMENT_STATUS_ROLLED_BACK
ARCHIVED = ExperimentStatus.EXPERIMENT_STATUS_ARCHIVED

DRAINED = "drained"
"""The controller's action when the last window has closed."""

ALLOWED = {
    "StartExperiment": (DRAFT, STOPPED, ROLLED_BACK),
    "StopExperiment": (SCHEDULED, RUNNING, PAUSED),
    "ArchiveExperiment": (STOPPED, ROLLED_BACK),
    "DeleteExperiment": (DRAFT,),
    DRAINED: (DRAINING,),
}
"""From which statuses a method may be called, or the controller may act."""

ALLOWED_IMMEDIATE = {"StopExperiment": (DRAINING,)}
"""From which more statuses, if the request says `immediate`."""


def status_name(status: ExperimentStatus.ValueType) -> str:
    """The status as people read it: `running`."""
    return ExperimentStatus.Name(status).removeprefix("EXPERIMENT_STATUS_").lower()


def draft(definition: Experiment, *, now: Timestamp) -> Experiment:
    """A new draft of a checked `definition`; output-only fields of the input are ignored."""
    created = _copy(definition)
    created.ClearField("started_at")
    created.ClearField("ended_at")
    created.ClearField("etag")
    created.ClearField("revision")
    created.ClearField("iteration")
    created.ClearField("allocation")
    created.ClearField("status_reason")
    created.ClearField("shipped_variant_id")
    created.ClearField("closed_early")
    if created.HasField("analysis_plan"):
        created.analysis_plan.ClearField("frozen_at")
        created.analysis_plan.ClearField("digest")
    created.status = DRAFT
    created.created_at.CopyFrom(now)
    created.updated_at.CopyFrom(now)
    return created


def start(stored: Experiment, *, allocation: Allocation, now: Timestamp) -> Experiment:
    """Begin the next iteration with `allocation`, and freeze what judges it.

    Raises:
        IllegalTransitionError: The status does not allow it.
    """
    _require("StartExperiment", stored)
    started = _copy(stored)
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
    started.allocation.started_at.CopyFrom(now)
    started.allocation.cause = "start"
    started.analysis_plan.frozen_at.CopyFrom(now)
    started.analysis_plan.digest = _plan_digest(started)
    return started


def stop(stored: Experiment, *, ship_variant_id: str, now: Timestamp, immediate: bool = False) -> Experiment:
    """End the iteration; everyone gets `ship_variant_id`, or the control if it is empty.

    What was begun with a variant is still coming in while a window is open: the experiment drains
    until the last one has closed, unless `immediate` closes them, which also ends the draining. What
    a draining experiment ships stays if `ship_variant_id` is empty.

    Raises:
        IllegalTransitionError: The status does not allow it.
        VariantNotFoundError: There is no such variant to ship.
    """
    _require("StopExperiment", stored, immediate=immediate)
    variants = {variant.id for variant in (stored.control, *stored.variants)}
    if ship_variant_id and ship_variant_id not in variants:
        raise VariantNotFoundError(namespace=stored.namespace, experiment_id=stored.id, variant_id=ship_variant_id)
    stopped = _copy(stored)
    stopped.updated_at.CopyFrom(now)
    if stored.status != DRAINING:
        stopped.ended_at.CopyFrom(now)
    if stored.status != DRAINING or ship_variant_id:
        stopped.shipped_variant_id = ship_variant_id
    everyone = f"everyone gets `{stopped.shipped_variant_id or stored.control.id}`"
    windows = stored.iteration > 0 and any(metric.HasField("window") for metric in stored.metrics)
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
    _require(DRAINED, stored)
    stopped = _copy(stored)
    stopped.status = STOPPED
    stopped.updated_at.CopyFrom(now)
    everyone = stored.shipped_variant_id or stored.control.id
    stopped.status_reason = f"stopped and every window has closed, everyone gets `{everyone}`"
    return stopped


def archive(stored: Experiment, *, now: Timestamp) -> Experiment:
    """Put an ended experiment away: no decision, list or snapshot has it any more.

    Raises:
        IllegalTransitionError: The status does not allow it.
    """
    _require("ArchiveExperiment", stored)
    archived = _copy(stored)
    archived.status = ARCHIVED
    archived.updated_at.CopyFrom(now)
    archived.status_reason = "archived"
    return archived


def check_deletable(stored: Experiment) -> None:
    """Refuse to delete what was ever started: its results rest on its definition.

    Raises:
        IllegalTransitionError: The status does not allow it.
    """
    _require("DeleteExperiment", stored)


def check_etag(stored: Experiment, etag: str) -> None:
    """Refuse a change that rests on another revision than the stored one; empty is not checked.

    Raises:
        EtagMismatchError: The experiment changed since `etag` was read.
    """
    if etag and etag != stored.etag:
        raise EtagMismatchError(
            namespace=stored.namespace, resource_type="experiment", id=stored.id, expected=etag, found=stored.etag
        )


def controls(experiment: Experiment) -> list[Control]:
    """What the journal must know of the latest iteration: its plan and, once it ended, its end.

    An end without open windows takes the place of the end before it, which left them open.
    """
    if experiment.iteration == 0:
        return []
    found = [_control(experiment, experiment.started_at)]
    found[0].started.CopyFrom(_measurement_plan(experiment))
    if experiment.HasField("ended_at"):
        ended = _control(experiment, experiment.ended_at)
        ended.stopped.CopyFrom(Stopped(immediate=experiment.closed_early))
        found.append(ended)
    return found


def traffic_percentage(experiment: Experiment, *, now_ms: int) -> float:
    """Percent of the targeted that are enrolled at `now_ms`, on the ramp."""
    if experiment.status != RUNNING:
        return 0.0
    full = experiment.allocation.traffic_percentage
    if not experiment.config.HasField("ramp_up_period"):
        return full
    elapsed_ms = now_ms - experiment.started_at.ToMilliseconds()
    return full * min(1.0, max(0.0, elapsed_ms / experiment.config.ramp_up_period.ToMilliseconds()))


def _control(experiment: Experiment, time: Timestamp) -> Control:
    return Control(
        namespace=experiment.namespace,
        experiment_id=experiment.id,
        iteration=experiment.iteration,
        time_ms=time.ToMilliseconds(),
    )


def _measurement_plan(experiment: Experiment) -> MeasurementPlan:
    covariates = sorted({name for metric in experiment.metrics for name in metric.covariates})
    return MeasurementPlan(
        entity_type=experiment.entity_type,
        variant_ids=[variant.id for variant in (experiment.control, *experiment.variants)],
        metrics=[_metric_plan(metric, covariates) for metric in experiment.metrics],
        covariates=covariates,
        dimensions=experiment.analysis_plan.dimensions,
    )


def _metric_plan(metric: Metric, covariates: list[str]) -> MetricPlan:
    plan = MetricPlan(
        name=metric.name,
        event=metric.event or metric.name,
        type=metric.type,
        aggregation=metric.aggregation or Aggregation.AGGREGATION_SUM,
        denominator_event=metric.denominator_event,
        window_ms=metric.window.ToMilliseconds(),
        missing=metric.missing or _missing(metric),
        covariates=[covariates.index(name) for name in metric.covariates],
    )
    if plan.missing == MissingPolicy.MISSING_POLICY_FAIL:
        increase = metric.goal == MetricGoal.METRIC_GOAL_INCREASE
        plan.fail_value = metric.lower_bound if increase else metric.upper_bound
    if metric.HasField("cap"):
        plan.cap = metric.cap
    if metric.HasField("lower_bound"):
        plan.lower_bound = metric.lower_bound
    if metric.HasField("upper_bound"):
        plan.upper_bound = metric.upper_bound
    return plan


def _missing(metric: Metric) -> MissingPolicy.ValueType:
    """What an entity without outcome counts as where the author did not say: 0 where values add up."""
    adds_up = metric.aggregation in {
        Aggregation.AGGREGATION_UNSPECIFIED,
        Aggregation.AGGREGATION_SUM,
        Aggregation.AGGREGATION_COUNT,
    }
    if metric.type != MetricType.METRIC_TYPE_QUANTILE and adds_up:
        return MissingPolicy.MISSING_POLICY_ZERO
    return MissingPolicy.MISSING_POLICY_EXCLUDE


def _plan_digest(experiment: Experiment) -> str:
    """Name of the frozen plan: the same for the same plan, metrics and variants."""
    frozen = Experiment(analysis_plan=experiment.analysis_plan, metrics=experiment.metrics)
    frozen.analysis_plan.ClearField("frozen_at")
    frozen.analysis_plan.ClearField("digest")
    frozen.config.CopyFrom(experiment.config)
    return hashlib.sha256(frozen.SerializeToString(deterministic=True)).hexdigest()[:16]


def _require(method: str, stored: Experiment, *, immediate: bool = False) -> None:
    always, if_immediate = ALLOWED[method], ALLOWED_IMMEDIATE.get(method, ())
    if stored.status in always or (immediate and stored.status in if_immediate):
        return
    allowed = [status_name(status) for status in always]
    allowed += [f"{status_name(status)} with `immediate`" for status in if_immediate]
    raise IllegalTransitionError(
        method=method,
        namespace=stored.namespace,
        experiment_id=stored.id,
        status=status_name(stored.status),
        allowed=", ".join(allowed),
    )


def _copy(experiment: Experiment) -> Experiment:
    copy = Experiment()
    copy.CopyFrom(experiment)
    return copy
