"""What the time alone asks for."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration

from klero import lifecycle
from klero.v1.experiment_pb2 import Experiment, ExperimentConfig, ExperimentStatus
from tests.lifecycle.made import STATUSES, at, in_status, running

END = lifecycle.SCHEDULED_END
START = lifecycle.SCHEDULED_START


def planned(
    status: ExperimentStatus.ValueType, *, start_s: int | None = None, end_s: int | None = None, duration_s: int = 0
) -> Experiment:
    """An experiment with planned times; what runs did so from second 10 on."""
    made = in_status(status)
    made.ClearField("schedule")
    if start_s is not None:
        made.schedule.start_at.CopyFrom(at(start_s))
    if end_s is not None:
        made.schedule.end_at.CopyFrom(at(end_s))
    if duration_s:
        made.config.duration.FromSeconds(duration_s)
    return made


@pytest.mark.parametrize(
    ("start_s", "end_s", "duration_s", "now_ms", "expected"),
    [
        (50, None, 0, 49_999, None),
        (50, None, 0, 50_000, START),
        (50, None, 0, 99_000, START),
        # The start was taken back: nothing is left to wait for.
        (None, None, 0, 1, START),
        (50, 60, 0, 49_999, None),
        (50, 60, 0, 59_999, START),
        # It should have begun and ended while nobody looked.
        (50, 60, 0, 60_000, END),
        (50, 60, 99, 60_000, END),
        # A duration counts from when it begins, which is later than planned.
        (50, None, 10, 60_000, START),
        (50, None, 10, 99_000, START),
        # An end that lies before the start has come: there is nothing left to begin.
        (50, 40, 0, 40_000, END),
    ],
)
def test_a_planned_start_comes_at_its_time(
    start_s: int | None, end_s: int | None, duration_s: int, now_ms: int, expected: str | None
) -> None:
    """Whoever planned it relies on the millisecond, and on nothing being begun that is over."""
    experiment = planned(lifecycle.SCHEDULED, start_s=start_s, end_s=end_s, duration_s=duration_s)

    assert expected == lifecycle.due(experiment, now_ms=now_ms)
    assert lifecycle.is_timed(experiment)


@pytest.mark.parametrize("status", lifecycle.OPEN, ids=lifecycle.status_name)
@pytest.mark.parametrize(
    ("end_s", "duration_s", "ends_ms"),
    [(None, 0, None), (60, 0, 60_000), (None, 50, 60_000), (60, 99, 60_000), (99, 50, 60_000), (60, 50, 60_000)],
)
def test_an_end_comes_at_its_time(
    status: ExperimentStatus.ValueType, end_s: int | None, duration_s: int, ends_ms: int | None
) -> None:
    """The earlier of both ends it; a pause does not put it off."""
    experiment = planned(status, start_s=5, end_s=end_s, duration_s=duration_s)

    assert ends_ms == lifecycle.ends_at_ms(experiment, started_at_ms=10_000)
    assert (ends_ms is not None) == lifecycle.is_timed(experiment)
    for early_ms, expected in ((1, None), (0, END), (-1, END)):
        now_ms = 60_000 - early_ms
        assert (expected if ends_ms else None) == lifecycle.due(experiment, now_ms=now_ms)


def test_the_time_changes_nothing_else() -> None:
    """What is over, or was never started, waits for people; the end of draining is the journal's."""
    quiet = [status for status in STATUSES if status not in {lifecycle.SCHEDULED, *lifecycle.OPEN}]
    experiments = [planned(status, start_s=20, end_s=30, duration_s=1) for status in quiet]

    assert [None] * len(quiet) == [lifecycle.due(each, now_ms=99_000) for each in experiments]
    assert [lifecycle.DRAINING] == [each.status for each in experiments if lifecycle.is_timed(each)]


@pytest.mark.parametrize("status", STATUSES, ids=lifecycle.status_name)
def test_what_is_due_can_be_done(status: ExperimentStatus.ValueType) -> None:
    """An action that the status refuses would be tried again every second, for ever."""
    for end_s in (None, 60):
        experiment = planned(status, start_s=50, end_s=end_s)
        due = lifecycle.due(experiment, now_ms=70_000)

        assert due is None or status in lifecycle.ALLOWED[due]


@pytest.mark.parametrize(
    ("ms", "percentage"),
    [(0, 0.0), (10_000, 0.0), (10_001, 0.008), (15_000, 40.0), (19_999, 79.992), (20_000, 80.0), (99_000, 80.0)],
)
def test_traffic_rises_along_the_ramp(ms: int, percentage: float) -> None:
    """Status shows how much is enrolled right now."""
    experiment = running()
    experiment.config.CopyFrom(ExperimentConfig(ramp_up_period=Duration(seconds=10)))

    assert pytest.approx(percentage, abs=1e-9) == lifecycle.traffic_percentage(experiment, now_ms=ms)


@pytest.mark.parametrize("status", STATUSES, ids=lifecycle.status_name)
def test_what_does_not_run_enrols_nobody(status: ExperimentStatus.ValueType) -> None:
    """A stopped experiment has no traffic, whatever it had."""
    expected = 80.0 if status == lifecycle.RUNNING else 0.0

    assert expected == lifecycle.traffic_percentage(in_status(status), now_ms=30_000)
