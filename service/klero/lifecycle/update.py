"""A changed definition: what is fixed while an iteration is under way, and what opens an epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from klero.errors import FieldImmutableError, FieldViolation, InvalidFieldError
from klero.lifecycle.deciding import spread, weight_changes
from klero.lifecycle.measurement import measurement_plan, plan_digest
from klero.lifecycle.statuses import MEASURING, OPEN, SCHEDULED, changed_copy, require, status_name
from klero.lifecycle.timetable import ends_at_ms
from klero.lifecycle.transitions import open_epoch, refuse_past_end, scheduled_reason
from klero.v1.experiment_pb2 import AssignmentSource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.timestamp_pb2 import Timestamp

    from klero.storage.v1.journal_pb2 import MeasurementPlan, MetricPlan
    from klero.v1.experiment_pb2 import Allocation, Experiment, Metric

# What the fold reads of a metric, and the field of the definition that says it.
_MEASURED = {
    "event": "event",
    "type": "type",
    "aggregation": "aggregation",
    "denominator_event": "denominator_event",
    "window_ms": "window",
    "missing": "missing",
    "fail_value": "goal",
    "cap": "cap",
    "lower_bound": "lower_bound",
    "upper_bound": "upper_bound",
}


def update(stored: Experiment, wanted: Experiment, *, allocation: Allocation, now: Timestamp) -> Experiment:
    """Change `stored` to `wanted`; `stored` itself if they are the same.

    Args:
        stored: Before the update.
        wanted: Checked, with all that only the server sets as in `stored`.
        allocation: Weights and traffic that `wanted` asks for.
        now: Time of the change.

    Raises:
        IllegalTransitionError: The status does not allow it.
        FieldImmutableError: Fields that cannot change any more would; names all of them.
        InvalidFieldError: The new end has passed, or a variant goes that everyone gets.

    """
    require("UpdateExperiment", stored)
    if wanted == stored:
        return stored
    if fixed := [*_fixed_for_ever(stored, wanted), *_fixed_while_measuring(stored, wanted)]:
        raise FieldImmutableError(
            namespace=stored.namespace, id=stored.id, status=status_name(stored.status), fields=fixed
        )
    _refuse_unshipping(stored, wanted)
    changed = changed_copy(wanted)
    changed.updated_at.CopyFrom(now)
    if stored.status == SCHEDULED:
        starts_at_ms = max(wanted.schedule.start_at.ToMilliseconds(), now.ToMilliseconds())
        _refuse_new_past_end(stored, wanted, now=now, started_at_ms=starts_at_ms)
        changed.status_reason = scheduled_reason(wanted)
    if stored.status in OPEN:
        _refuse_new_past_end(stored, wanted, now=now, started_at_ms=stored.started_at.ToMilliseconds())
        changed.allocation.traffic_percentage = allocation.traffic_percentage
        if allocation.weights != stored.allocation.weights or spread(wanted) != spread(stored):
            changed.allocation.ClearField("weights")
            changed.allocation.weights.update(allocation.weights)
            open_epoch(changed, cause=f"changed: {', '.join(_epoch_causes(stored, wanted))}", now=now)
            changed.allocation.weights_epoch = changed.allocation.epoch
    return changed


def plan_changed(stored: Experiment, wanted: Experiment) -> bool:
    """Whether an iteration is under way that `wanted` would judge in another way than planned."""
    return stored.status in MEASURING and plan_digest(stored) != plan_digest(wanted)


def _fixed_for_ever(stored: Experiment, wanted: Experiment) -> Iterator[str]:
    if stored.iteration == 0:
        return
    if stored.type != wanted.type:
        yield "type"
    if stored.entity_type != wanted.entity_type:
        yield "entityType"
    if _chooses(stored) != _chooses(wanted):
        yield "assignmentSource"


def _chooses(experiment: Experiment) -> AssignmentSource.ValueType:
    return experiment.assignment_source or AssignmentSource.ASSIGNMENT_SOURCE_KLERO


def _fixed_while_measuring(stored: Experiment, wanted: Experiment) -> Iterator[str]:
    if stored.status not in MEASURING:
        return
    before, after = measurement_plan(stored), measurement_plan(wanted)
    if before.variant_ids[0] != after.variant_ids[0]:
        yield "control.id"
    if set(before.variant_ids[1:]) != set(after.variant_ids[1:]):
        yield "variants"
    yield from _fixed_metrics(_measured(stored, before), _measured(wanted, after))
    if before.dimensions != after.dimensions:
        yield "analysisPlan.dimensions"
    if stored.schedule.start_at != wanted.schedule.start_at:
        yield "schedule.startAt"


class _Measured(NamedTuple):
    """A metric as its author wrote it, and what the fold reads of it."""

    metric: Metric
    plan: MetricPlan
    covariates: list[str]


def _measured(experiment: Experiment, plan: MeasurementPlan) -> list[_Measured]:
    return [
        _Measured(metric, of, [plan.covariates[index] for index in of.covariates])
        for metric, of in zip(experiment.metrics, plan.metrics, strict=True)
    ]


def _fixed_metrics(before: list[_Measured], after: list[_Measured]) -> Iterator[str]:
    known = {old.metric.name: old for old in before}
    if known.keys() != {new.metric.name for new in after}:
        yield "metrics"
        return
    for index, new in enumerate(after):
        old = known[new.metric.name]
        # What follows from another field of the metric is no change of its author: that field is named.
        for read, written in _MEASURED.items():
            if _value(old.plan, read) != _value(new.plan, read) and (
                _value(old.metric, written) != _value(new.metric, written)
            ):
                yield f"metrics[{index}].{new.metric.DESCRIPTOR.fields_by_name[written].json_name}"
        if old.covariates != new.covariates:
            yield f"metrics[{index}].covariates"


def _value(message: Metric | MetricPlan, name: str) -> object:
    """The value of a field; None where it is unset and that differs from every value."""
    unset = message.DESCRIPTOR.fields_by_name[name].has_presence and not message.HasField(name)  # type: ignore[arg-type]  # names of fields, as a table
    return None if unset else getattr(message, name)


def _refuse_new_past_end(stored: Experiment, wanted: Experiment, *, now: Timestamp, started_at_ms: int) -> None:
    """An end that has come already and is not new is the controller's to act on."""
    if ends_at_ms(wanted, started_at_ms=started_at_ms) != ends_at_ms(stored, started_at_ms=started_at_ms):
        refuse_past_end(wanted, now=now, started_at_ms=started_at_ms)


def _refuse_unshipping(stored: Experiment, wanted: Experiment) -> None:
    shipped = stored.shipped_variant_id
    if shipped and shipped not in {variant.id for variant in (wanted.control, *wanted.variants)}:
        raise InvalidFieldError(
            (FieldViolation("variants", f"`{shipped}` must stay: everyone gets it until the next start"),)
        )


def _epoch_causes(stored: Experiment, wanted: Experiment) -> list[str]:
    causes = weight_changes(stored, wanted)
    if stored.config.traffic_percentage != wanted.config.traffic_percentage:
        causes.append("config.trafficPercentage")
    if spread(stored) != spread(wanted):
        causes.append("hashing")
    return causes
