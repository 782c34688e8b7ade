"""From which status what leads where."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from klero import lifecycle
from klero.errors import EtagMismatchError, IllegalTransitionError, InvalidFieldError, VariantNotFoundError
from klero.v1.experiment_pb2 import ExperimentStatus
from tests.lifecycle.made import ALLOCATION, STATUSES, at, definition, in_status, running, windowed

if TYPE_CHECKING:
    from collections.abc import Callable

    from klero.v1.experiment_pb2 import Experiment

# The status after each action in each status, of an experiment with a window; `-`: refused.
TABLE = """
                       draft     scheduled running  paused   draining stopped   rolled_back archived
StartExperiment        running   -         -        -        -        running   running     -
StartExperiment+later  scheduled -         -        -        -        scheduled scheduled   -
scheduled_start        -         running   -        -        -        -         -           -
PauseExperiment        -         -         paused   -        -        -         -           -
ResumeExperiment       -         -         -        running  -        -         -           -
StopExperiment         -         stopped   draining draining -        -         -           -
StopExperiment+now     -         stopped   stopped  stopped  stopped  -         -           -
drained                -         -         -        -        stopped  -         -           -
ArchiveExperiment      -         -         -        -        -        archived  archived    -
UpdateExperiment       draft     scheduled running  paused   draining stopped   rolled_back -
DeleteExperiment       draft     -         -        -        -        -         -           -
"""


def _start_later(stored: Experiment) -> Experiment:
    planned = lifecycle.merged(stored, stored, ["*"])
    planned.schedule.start_at.CopyFrom(at(1000))
    return lifecycle.start(planned, allocation=ALLOCATION, now=at(40))


def _rename(stored: Experiment) -> Experiment:
    wanted = lifecycle.merged(stored, stored, ["*"])
    wanted.name = "new"
    return lifecycle.update(stored, wanted, allocation=ALLOCATION, now=at(40))


def _check_deletable(stored: Experiment) -> Experiment:
    lifecycle.check_deletable(stored)
    return stored


ACTIONS: dict[str, Callable[[Experiment], Experiment]] = {
    "StartExperiment": lambda stored: lifecycle.start(stored, allocation=ALLOCATION, now=at(2000)),
    "StartExperiment+later": _start_later,
    lifecycle.SCHEDULED_START: lambda stored: lifecycle.begin(stored, allocation=ALLOCATION, now=at(1000)),
    "PauseExperiment": lambda stored: lifecycle.pause(stored, now=at(40)),
    "ResumeExperiment": lambda stored: lifecycle.resume(stored, now=at(40)),
    "StopExperiment": lambda stored: lifecycle.stop(stored, ship_variant_id="", now=at(40)),
    "StopExperiment+now": lambda stored: lifecycle.stop(stored, ship_variant_id="", now=at(40), immediate=True),
    lifecycle.DRAINED: lambda stored: lifecycle.drained(stored, now=at(40)),
    "ArchiveExperiment": lambda stored: lifecycle.archive(stored, now=at(40)),
    "UpdateExperiment": _rename,
    "DeleteExperiment": _check_deletable,
}
ROWS = {row.split()[0]: row.split()[1:] for row in TABLE.strip().splitlines()[1:]}


def test_the_table_has_every_action_and_every_status() -> None:
    """What a new status or action allows must be decided before it can be served."""
    assert list(ROWS) == list(ACTIONS)
    assert [lifecycle.status_name(status) for status in STATUSES] == TABLE.split("\n")[1].split()
    # A planned end is a Stop by the controller.
    assert {row.split("+")[0] for row in ROWS} | {lifecycle.SCHEDULED_END} == set(lifecycle.ALLOWED)
    assert lifecycle.ALLOWED[lifecycle.SCHEDULED_END] == lifecycle.ALLOWED["StopExperiment"]


@pytest.mark.parametrize("action", ROWS)
@pytest.mark.parametrize("status", STATUSES, ids=lifecycle.status_name)
def test_each_action_in_each_status(action: str, status: ExperimentStatus.ValueType) -> None:
    """Who is refused reads what is allowed instead; who is not finds what the contract says."""
    stored = in_status(status)
    before = stored.SerializeToString(deterministic=True)
    expected = ROWS[action][STATUSES.index(status)]
    method = action.split("+", maxsplit=1)[0]
    allowed = [name for name, to in zip(TABLE.split("\n")[1].split(), ROWS[method], strict=True) if to != "-"]
    if method == "StopExperiment":
        allowed.append("draining with `immediate`")

    if expected == "-":
        message = f"{method} is not allowed while experiment `exp` is {lifecycle.status_name(status)}; allowed: "
        with pytest.raises(IllegalTransitionError, match=f"^{re.escape(message + ', '.join(allowed))}$"):
            ACTIONS[action](stored)
    else:
        assert expected == lifecycle.status_name(ACTIONS[action](stored).status)
    assert before == stored.SerializeToString(deterministic=True)


def test_a_draft_takes_no_output_only_field_from_its_author() -> None:
    """What was read can be sent again under another id: a copy begins its own life."""
    stopped = lifecycle.stop(running(), ship_variant_id="b", now=at(20))
    draft = lifecycle.draft(stopped, now=at(30))
    fresh = lifecycle.draft(definition(), now=at(30))
    fresh.analysis_plan.SetInParent()

    assert fresh == draft


def test_start_begins_an_iteration_and_freezes_the_plan() -> None:
    """Whoever judges must know that the plan was there before the data."""
    started = running()

    assert ExperimentStatus.EXPERIMENT_STATUS_RUNNING == started.status
    assert (1, 1, "started") == (started.iteration, started.allocation.epoch, started.status_reason)
    assert ALLOCATION.weights == started.allocation.weights
    assert at(10) == started.started_at == started.analysis_plan.frozen_at == started.allocation.started_at
    assert started.analysis_plan.digest


@pytest.mark.parametrize(("start_s", "status"), [(40, lifecycle.RUNNING), (41, lifecycle.SCHEDULED)])
def test_a_start_waits_for_a_time_that_lies_ahead(start_s: int, status: ExperimentStatus.ValueType) -> None:
    """Exactly at the time nothing is left to wait for; until then decisions stay as before Start."""
    stored = lifecycle.stop(running(), ship_variant_id="b", now=at(20))
    stored.schedule.start_at.CopyFrom(at(start_s))
    started = lifecycle.start(stored, allocation=ALLOCATION, now=at(40))
    waits = status == lifecycle.SCHEDULED

    assert status == started.status
    assert ((1, "b", True) if waits else (2, "", False)) == (
        started.iteration,
        started.shipped_variant_id,
        started.HasField("ended_at"),
    )
    assert ("scheduled, begins at 1970-01-01T00:00:41Z" if waits else "started again, iteration 2") == (
        started.status_reason
    )


@pytest.mark.parametrize(
    ("start_s", "end_s", "duration_s", "field"),
    [
        (None, 39, None, "schedule.endAt"),
        (None, 40, None, "schedule.endAt"),
        (None, 41, None, None),
        (39, 40, 100, "schedule.endAt"),
        (50, None, 1, None),
        (50, 51, 1, None),
    ],
)
def test_what_would_end_at_once_is_not_started(
    start_s: int | None, end_s: int | None, duration_s: int | None, field: str | None
) -> None:
    """An iteration over before it began would have results of nobody."""
    stored = in_status(lifecycle.STOPPED)
    if start_s is not None:
        stored.schedule.start_at.CopyFrom(at(start_s))
    if end_s is not None:
        stored.schedule.end_at.CopyFrom(at(end_s))
    if duration_s is not None:
        stored.config.duration.FromSeconds(duration_s)

    if field is None:
        lifecycle.start(stored, allocation=ALLOCATION, now=at(40))
        return
    with pytest.raises(InvalidFieldError, match="is over at 1970-01-01T00:00:40Z; set a later end") as caught:
        lifecycle.start(stored, allocation=ALLOCATION, now=at(40))
    assert [field] == [violation.field for violation in caught.value.violations]


def test_a_second_start_is_a_new_iteration() -> None:
    """Its results begin at zero, and nothing of the first end is left."""
    stopped = lifecycle.stop(running(), ship_variant_id="b", now=at(20))
    again = lifecycle.start(stopped, allocation=ALLOCATION, now=at(30))

    assert 2 == again.iteration
    assert not again.HasField("ended_at")
    assert "" == again.shipped_variant_id


def test_a_pause_keeps_the_epoch_and_resume_opens_one() -> None:
    """Entities from before and after cannot be pooled; outcomes during the pause belong to those before."""
    paused = lifecycle.pause(running(), now=at(20))
    resumed = lifecycle.resume(paused, now=at(30))

    assert (1, "paused, everyone gets `a`") == (paused.allocation.epoch, paused.status_reason)
    assert not paused.HasField("ended_at")
    assert (2, at(30), "resumed") == (
        resumed.allocation.epoch,
        resumed.allocation.started_at,
        resumed.allocation.cause,
    )
    assert (1, at(10), "resumed in epoch 2") == (resumed.iteration, resumed.started_at, resumed.status_reason)
    assert ALLOCATION.weights == resumed.allocation.weights


def test_stop_says_what_everyone_gets() -> None:
    """The sentence is shown wherever the status is."""
    stopped = lifecycle.stop(running(), ship_variant_id="b", now=at(20))

    assert ExperimentStatus.EXPERIMENT_STATUS_STOPPED == stopped.status
    assert at(20) == stopped.ended_at
    assert "stopped, everyone gets `b`" == stopped.status_reason
    with pytest.raises(VariantNotFoundError, match="no variant `c`"):
        lifecycle.stop(running(), ship_variant_id="c", now=at(20))


@pytest.mark.parametrize(("ship", "ships"), [("", "b"), ("a", "a")])
def test_a_planned_start_can_be_called_off(ship: str, ships: str) -> None:
    """What was shipped before stays in force, unless whoever calls it off says otherwise."""
    stopped = lifecycle.stop(running(), ship_variant_id="b", now=at(20))
    stopped.schedule.start_at.CopyFrom(at(1000))
    planned = lifecycle.start(stopped, allocation=ALLOCATION, now=at(30))
    off = lifecycle.stop(planned, ship_variant_id=ship, now=at(40))

    assert f"stopped before it began, everyone gets `{ships}`" == off.status_reason
    assert (1, at(20), ships) == (off.iteration, off.ended_at, off.shipped_variant_id)


def test_a_stop_with_open_windows_drains() -> None:
    """What was begun with a variant is still coming in; decisions are those of the end at once."""
    draining = lifecycle.stop(running(windowed()), ship_variant_id="b", now=at(20))

    assert ExperimentStatus.EXPERIMENT_STATUS_DRAINING == draining.status
    assert (at(20), "b") == (draining.ended_at, draining.shipped_variant_id)
    assert "draining until the last window has closed, everyone gets `b`" == draining.status_reason
    assert not draining.closed_early


def test_draining_ends_by_itself() -> None:
    """Nothing but status and reason changes when the last window has closed."""
    draining = lifecycle.stop(running(windowed()), ship_variant_id="b", now=at(20))
    drained = lifecycle.drained(draining, now=at(80))

    assert ExperimentStatus.EXPERIMENT_STATUS_STOPPED == drained.status
    assert (at(20), at(80), "b") == (drained.ended_at, drained.updated_at, drained.shipped_variant_id)
    assert "stopped and every window has closed, everyone gets `b`" == drained.status_reason
    assert lifecycle.lacking(draining, None) == lifecycle.lacking(drained, None)


@pytest.mark.parametrize(("ship", "ships"), [("", "b"), ("a", "a")])
def test_draining_can_be_ended_at_once(ship: str, ships: str) -> None:
    """Who stops waiting does not take back what is shipped; the end of enrolment stays where it was."""
    draining = lifecycle.stop(running(windowed()), ship_variant_id="b", now=at(20))
    stopped = lifecycle.stop(draining, ship_variant_id=ship, immediate=True, now=at(30))

    assert ExperimentStatus.EXPERIMENT_STATUS_STOPPED == stopped.status
    assert (at(20), ships) == (stopped.ended_at, stopped.shipped_variant_id)
    assert stopped.closed_early


def test_an_immediate_stop_leaves_open_windows_out() -> None:
    """The next iteration begins without a trace of it."""
    stopped = lifecycle.stop(running(windowed()), ship_variant_id="", immediate=True, now=at(20))
    again = lifecycle.start(stopped, allocation=ALLOCATION, now=at(30))

    assert "stopped with open windows left out, everyone gets `a`" == stopped.status_reason
    assert not again.closed_early
    assert not lifecycle.draft(stopped, now=at(40)).closed_early


def test_without_windows_there_is_nothing_to_drain() -> None:
    """`immediate` changes nothing then, and the journal is told nothing of it."""
    stopped, immediate = (
        lifecycle.stop(running(), ship_variant_id="", immediate=each, now=at(20)) for each in (False, True)
    )

    assert stopped == immediate
    assert not stopped.closed_early


def test_an_etag_is_checked_if_it_is_sent() -> None:
    """Changes that rest on an older state are refused."""
    stored = running()
    stored.etag = "1-7"

    lifecycle.check_etag(stored, "")
    lifecycle.check_etag(stored, "1-7")
    with pytest.raises(EtagMismatchError, match="is `1-7`, not `1-6`"):
        lifecycle.check_etag(stored, "1-6")
