"""A changed definition: what is fixed while an iteration is under way, and what opens an epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klero.errors import FieldImmutableError, FieldViolation, InvalidFieldError
from klero.lifecycle.deciding import weight_changes
from klero.lifecycle.measurement import measurement_plan, plan_digest
from klero.lifecycle.statuses import MEASURING, OPEN, changed_copy, require, status_name
from klero.lifecycle.timetable import ends_at_ms
from klero.lifecycle.transitions import open_epoch, refuse_past_end

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.timestamp_pb2 import Timestamp

    from klero.storage.v1.journal_pb2 import MeasurementPlan
    from klero.v1.experiment_pb2 import Allocation, Experiment

# What the fold reads of a metric, and the field of the definition that says it.
_MEASURED = {
    "event": "event",
    "type": "type",
    "aggregation": "aggregation",
    "denominator_event": "denominatorEvent",
    "window_ms": "window",
    "missing": "missing",
    "fail_value": "goal",
    "cap": "cap",
    "lower_bound": "lowerBound",
    "upper_bound": "upperBound",
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
    if stored.status in OPEN:
        started_at_ms = stored.started_at.ToMilliseconds()
        if ends_at_ms(wanted, started_at_ms=started_at_ms) != ends_at_ms(stored, started_at_ms=started_at_ms):
            refuse_past_end(wanted, now=now, started_at_ms=started_at_ms)
        changed.allocation.traffic_percentage = allocation.traffic_percentage
        if allocation.weights != stored.allocation.weights or wanted.hashing != stored.hashing:
            changed.allocation.ClearField("weights")
            changed.allocation.weights.update(allocation.weights)
            open_epoch(changed, cause=f"changed: {', '.join(_epoch_causes(stored, wanted))}", now=now)
    return changed


def plan_changed(stored: Experiment, wanted: Experiment) -> bool:
    """Whether an iteration is under way that `wanted` would judge in another way than planned."""
    return stored.status in MEASURING and plan_digest(stored) != plan_digest(wanted)


def _fixed_for_ever(stored: Experiment, wanted: Experiment) -> Iterator[str]:
    if stored.iteration == 0:
        return
    for name, path in (("type", "type"), ("entity_type", "entityType"), ("assignment_source", "assignmentSource")):
        if getattr(stored, name) != getattr(wanted, name):
            yield path


def _fixed_while_measuring(stored: Experiment, wanted: Experiment) -> Iterator[str]:
    if stored.status not in MEASURING:
        return
    before, after = measurement_plan(stored), measurement_plan(wanted)
    if before.variant_ids[0] != after.variant_ids[0]:
        yield "control.id"
    if set(before.variant_ids[1:]) != set(after.variant_ids[1:]):
        yield "variants"
    yield from _fixed_metrics(before, after)
    if before.dimensions != after.dimensions:
        yield "analysisPlan.dimensions"
    if stored.schedule.start_at != wanted.schedule.start_at:
        yield "schedule.startAt"


def _fixed_metrics(before: MeasurementPlan, after: MeasurementPlan) -> Iterator[str]:
    known = {metric.name: metric for metric in before.metrics}
    if known.keys() != {metric.name for metric in after.metrics}:
        yield "metrics"
        return
    for index, metric in enumerate(after.metrics):
        old = known[metric.name]
        for name, path in _MEASURED.items():
            if getattr(old, name) != getattr(metric, name):
                yield f"metrics[{index}].{path}"
        if [before.covariates[each] for each in old.covariates] != [
            after.covariates[each] for each in metric.covariates
        ]:
            yield f"metrics[{index}].covariates"


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
    if stored.hashing != wanted.hashing:
        causes.append("hashing")
    return causes
