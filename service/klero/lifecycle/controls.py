"""What the journal must know of an iteration, from what the catalog has and the journal knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from klero.lifecycle.measurement import measurement_plan
from klero.lifecycle.statuses import PAUSED, RUNNING
from klero.storage.v1.journal_pb2 import Control, Epoch, Paused, Resumed, Stopped

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from klero.v1.experiment_pb2 import Experiment


class Known(Protocol):
    """The state of an iteration as the journal knows it."""

    @property
    def stopped(self) -> bool:
        """Whether it was told the end."""

    @property
    def closed(self) -> bool:
        """Whether no window is open any more."""

    @property
    def paused(self) -> bool:
        """Whether a pause is under way."""

    @property
    def epoch(self) -> int:
        """The latest epoch that it was told. 0: none."""


def lacking(experiment: Experiment, known: Known | None) -> list[Control]:
    """What the journal must still be told of the latest iteration, in this order.

    An epoch or a pause that began and ended while the journal could not be told was never in force,
    so that nothing rests on it and it is not told later.

    Args:
        experiment: As stored.
        known: Its latest iteration. None: the journal has never heard of it.

    """
    if experiment.iteration == 0:
        return []
    found = []
    if known is None:
        begun = _control(experiment, experiment.started_at)
        begun.started.CopyFrom(measurement_plan(experiment))
        found.append(begun)
    if known is not None and known.paused and experiment.status == RUNNING:
        resumed = _control(experiment, experiment.updated_at)
        resumed.resumed.CopyFrom(Resumed())
        found.append(resumed)
    if experiment.allocation.epoch > (known.epoch if known is not None else 0):
        opened = _control(experiment, experiment.allocation.started_at)
        opened.epoch.CopyFrom(Epoch(number=experiment.allocation.epoch, weights=experiment.allocation.weights))
        found.append(opened)
    if experiment.status == PAUSED and not (known is not None and known.paused):
        paused = _control(experiment, experiment.updated_at)
        paused.paused.CopyFrom(Paused())
        found.append(paused)
    if experiment.HasField("ended_at") and _must_end(experiment, known):
        ended = _control(experiment, experiment.ended_at)
        ended.stopped.CopyFrom(Stopped(immediate=experiment.closed_early))
        found.append(ended)
    return found


def _must_end(experiment: Experiment, known: Known | None) -> bool:
    """An end without open windows takes the place of the end before it, which left them open."""
    return known is None or not known.stopped or (experiment.closed_early and not known.closed)


def _control(experiment: Experiment, time: Timestamp) -> Control:
    return Control(
        namespace=experiment.namespace,
        experiment_id=experiment.id,
        iteration=experiment.iteration,
        time_ms=time.ToMilliseconds(),
    )
