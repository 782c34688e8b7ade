"""Health of outcome windows."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration

from klero.analysis import windows
from klero.analysis.judge import judge
from klero.v1.results_pb2 import HealthState
from tests.analysis.known import OPTIONS, definition, filling, metric, visits

OK, WARNING = HealthState.HEALTH_STATE_OK, HealthState.HEALTH_STATE_WARNING
UNKNOWN = HealthState.HEALTH_STATE_UNSPECIFIED


@pytest.mark.parametrize(
    ("late", "outcomes", "state"), [(0, 0, UNKNOWN), (0, 99, OK), (1, 99, OK), (2, 98, WARNING), (3, 0, WARNING)]
)
def test_late_outcomes(late: int, outcomes: int, state: HealthState.ValueType) -> None:
    """Exactly 1 percent is still right."""
    assert state == windows.late_outcomes(late, outcomes).state


def test_ripeness_says_how_much_can_be_judged() -> None:
    """People ask first why there is no result yet."""
    assert (OK, "71.0 % of windows closed.") == (windows.ripeness(71, 100).state, windows.ripeness(71, 100).message)
    assert UNKNOWN == windows.ripeness(0, 0).state


def test_only_what_applies_is_said() -> None:
    """Without windows there is nothing to say about them."""
    windowed = definition("t", metrics=[metric(primary=True, window=Duration(seconds=60))])
    counted = filling({"c": (30, 100), "t": (30, 100)}, {"c": (20, 60), "t": (20, 60)})
    counted.paused = 5
    with_windows = {check.name: check for check in judge(windowed, counted, options=OPTIONS).health}
    without = {check.name for check in judge(definition("t"), visits({"c": (3, 9)}), options=OPTIONS).health}

    assert "60.0 % of windows closed." == with_windows["ripeness"].message
    assert "5 entities are left out" in with_windows["pauses"].message
    assert {"sample_ratio", "multi_exposed", "missing_outcomes", "before_exposure"} == without
    assert without | {"late_outcomes", "ripeness", "pauses"} == set(with_windows)
