"""One experiment in each of its statuses, reached as users reach them."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from klero import lifecycle
from klero.v1.experiment_pb2 import (
    Allocation,
    Experiment,
    ExperimentStatus,
    ExperimentType,
    Metric,
    MetricType,
    Variant,
)

ALLOCATION = Allocation(weights={"a": 50, "b": 50}, traffic_percentage=80)

STATUSES = tuple(number for number in ExperimentStatus.values() if number)
"""Every status, in the order of the contract."""


def at(seconds: int) -> Timestamp:
    """A point in time."""
    return Timestamp(seconds=seconds)


def definition() -> Experiment:
    """A definition as it comes in."""
    return Experiment(
        id="exp",
        namespace="default",
        entity_type="run",
        control=Variant(id="a"),
        variants=[Variant(id="b")],
        metrics=[Metric(name="cost", event="cost_usd", type=MetricType.METRIC_TYPE_CONTINUOUS)],
    )


def windowed() -> Experiment:
    """The same, with a window of a minute."""
    made = definition()
    made.metrics[0].window.CopyFrom(Duration(seconds=60))
    return made


def running(made: Experiment | None = None) -> Experiment:
    """An experiment, started at second 10."""
    draft = lifecycle.draft(made or definition(), now=at(1))
    return lifecycle.start(draft, allocation=ALLOCATION, now=at(10))


def in_status(status: ExperimentStatus.ValueType, made: Experiment | None = None) -> Experiment:
    """An experiment in its first iteration that had the status at second 30 at the latest."""
    if status == lifecycle.DRAFT:
        return lifecycle.draft(made or windowed(), now=at(1))
    if status == lifecycle.SCHEDULED:
        draft = lifecycle.draft(made or windowed(), now=at(1))
        draft.schedule.start_at.CopyFrom(at(1000))
        return lifecycle.start(draft, allocation=ALLOCATION, now=at(10))
    started = running(made or windowed())
    if status == lifecycle.RUNNING:
        return started
    if status == lifecycle.PAUSED:
        return lifecycle.pause(started, now=at(20))
    stopped = lifecycle.stop(started, ship_variant_id="", now=at(20), immediate=status != lifecycle.DRAINING)
    if status == lifecycle.ROLLED_BACK:
        stopped.status = status
    return lifecycle.archive(stopped, now=at(30)) if status == lifecycle.ARCHIVED else stopped


def base() -> Experiment:
    """A definition with a place for every change."""
    made = windowed()
    made.type = ExperimentType.EXPERIMENT_TYPE_AB_TEST
    made.control.weight = made.variants[0].weight = 50
    return made


def copied(experiment: Experiment) -> Experiment:
    """A copy to change."""
    copy = Experiment()
    copy.CopyFrom(experiment)
    return copy


def changed(experiment: Experiment, path: str) -> Experiment:
    """The same with another value of one field."""
    made = copied(experiment)
    *parents, name = path.replace("[0]", "").split(".")
    message: Any = made
    for parent in parents:
        message = getattr(message, parent)
        if parent in {"variants", "metrics"}:
            message = message[0]
    field = message.DESCRIPTOR.fields_by_name[name]
    value = getattr(message, name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        value["new"] = "value"
    elif field.is_repeated:
        value.add() if field.message_type is not None else value.append("new")
    elif isinstance(value, Timestamp | Duration):
        value.seconds += 7000
    elif field.message_type is not None and field.message_type.full_name == "google.protobuf.Struct":
        value["new"] = 1
    elif field.message_type is not None:
        value.SetInParent()
    elif field.type == FieldDescriptor.TYPE_ENUM:
        last, before = field.enum_type.values[-1].number, field.enum_type.values[-2].number
        setattr(message, name, before if value == last else last)
    elif field.type == FieldDescriptor.TYPE_BOOL:
        setattr(message, name, not value)
    else:
        setattr(message, name, f"{value}new" if isinstance(value, str) else value + 1)
    assert made != experiment
    return made


def camel(path: str) -> str:
    """As files and violations spell it."""
    first, *rest = path.split("_")
    return first + "".join(word[0].upper() + word[1:] for word in rest)


def allocation(definition: Experiment) -> Allocation:
    """What a definition with weights asks for."""
    arms = [definition.control, *definition.variants]
    traffic = definition.config.traffic_percentage if definition.config.HasField("traffic_percentage") else 80
    return Allocation(weights={arm.id: arm.weight for arm in arms}, traffic_percentage=traffic)


def updated(stored: Experiment, wanted: Experiment) -> Experiment:
    """Update in second 40."""
    return lifecycle.update(stored, wanted, allocation=allocation(wanted), now=at(40))
