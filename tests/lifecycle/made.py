"""One experiment in each of its statuses, reached as users reach them."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from klero import lifecycle
from klero.v1.experiment_pb2 import Allocation, Experiment, ExperimentStatus, Metric, MetricType, Variant

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
