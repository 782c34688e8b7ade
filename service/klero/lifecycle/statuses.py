"""Which statuses there are, and from which of them what may be done."""

from __future__ import annotations

from klero.errors import IllegalTransitionError
from klero.v1.experiment_pb2 import Experiment, ExperimentStatus

DRAFT = ExperimentStatus.EXPERIMENT_STATUS_DRAFT
SCHEDULED = ExperimentStatus.EXPERIMENT_STATUS_SCHEDULED
RUNNING = ExperimentStatus.EXPERIMENT_STATUS_RUNNING
PAUSED = ExperimentStatus.EXPERIMENT_STATUS_PAUSED
DRAINING = ExperimentStatus.EXPERIMENT_STATUS_DRAINING
STOPPED = ExperimentStatus.EXPERIMENT_STATUS_STOPPED
ROLLED_BACK = ExperimentStatus.EXPERIMENT_STATUS_ROLLED_BACK
ARCHIVED = ExperimentStatus.EXPERIMENT_STATUS_ARCHIVED

DRAINED = "drained"
"""The controller's action when the last window has closed."""

SCHEDULED_START = "scheduled_start"
"""The controller's action when `schedule.startAt` has come."""

SCHEDULED_END = "scheduled_end"
"""The controller's action when `schedule.endAt` has come, or `config.duration` is over."""

ALLOWED = {
    "UpdateExperiment": (DRAFT, SCHEDULED, RUNNING, PAUSED, DRAINING, STOPPED, ROLLED_BACK),
    "DeleteExperiment": (DRAFT,),
    "StartExperiment": (DRAFT, STOPPED, ROLLED_BACK),
    "PauseExperiment": (RUNNING,),
    "ResumeExperiment": (PAUSED,),
    "StopExperiment": (SCHEDULED, RUNNING, PAUSED),
    "ArchiveExperiment": (STOPPED, ROLLED_BACK),
    SCHEDULED_START: (SCHEDULED,),
    SCHEDULED_END: (SCHEDULED, RUNNING, PAUSED),
    DRAINED: (DRAINING,),
}
"""From which statuses a method may be called, or the controller may act."""

ALLOWED_IMMEDIATE = {"StopExperiment": (DRAINING,)}
"""From which more statuses, if the request says `immediate`."""

MEASURING = (RUNNING, PAUSED, DRAINING)
"""An iteration is under way, so that what is measured is fixed."""

OPEN = (RUNNING, PAUSED)
"""An iteration that can enrol, now or after a Resume."""

ENDED = (STOPPED, ROLLED_BACK)
"""The latest iteration is over, and the next one has not begun."""


def status_name(status: ExperimentStatus.ValueType) -> str:
    """The status as people read it: `running`."""
    return ExperimentStatus.Name(status).removeprefix("EXPERIMENT_STATUS_").lower()


def require(method: str, stored: Experiment, *, immediate: bool = False) -> None:
    """Refuse `method` unless the status allows it.

    Raises:
        IllegalTransitionError: Names the statuses that do.
    """
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


def changed_copy(experiment: Experiment) -> Experiment:
    """A copy to change."""
    copy = Experiment()
    copy.CopyFrom(experiment)
    return copy
