"""How an experiment moves from status to status: pure functions over its definition.

Each returns a changed copy. Times are arguments; nothing is stored or sent here.
"""

from klero.lifecycle.controls import Known, lacking
from klero.lifecycle.deciding import arms, deciding_changes
from klero.lifecycle.mask import merged
from klero.lifecycle.statuses import (
    ALLOWED,
    ALLOWED_IMMEDIATE,
    ARCHIVED,
    DRAFT,
    DRAINED,
    DRAINING,
    ENDED,
    MEASURING,
    OPEN,
    PAUSED,
    ROLLED_BACK,
    RUNNING,
    SCHEDULED,
    SCHEDULED_END,
    SCHEDULED_START,
    STOPPED,
    status_name,
)
from klero.lifecycle.timetable import due, ends_at_ms, is_timed, traffic_percentage
from klero.lifecycle.transitions import (
    archive,
    begin,
    check_deletable,
    check_etag,
    draft,
    drained,
    is_exploratory,
    pause,
    resume,
    start,
    stop,
)
from klero.lifecycle.update import plan_changed, update

__all__ = [
    "ALLOWED",
    "ALLOWED_IMMEDIATE",
    "ARCHIVED",
    "DRAFT",
    "DRAINED",
    "DRAINING",
    "ENDED",
    "MEASURING",
    "OPEN",
    "PAUSED",
    "ROLLED_BACK",
    "RUNNING",
    "SCHEDULED",
    "SCHEDULED_END",
    "SCHEDULED_START",
    "STOPPED",
    "Known",
    "archive",
    "arms",
    "begin",
    "check_deletable",
    "check_etag",
    "deciding_changes",
    "draft",
    "drained",
    "due",
    "ends_at_ms",
    "is_exploratory",
    "is_timed",
    "lacking",
    "merged",
    "pause",
    "plan_changed",
    "resume",
    "start",
    "status_name",
    "stop",
    "traffic_percentage",
    "update",
]
