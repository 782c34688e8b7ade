"""Health of outcome windows: how many have closed, what came too late, and what a pause cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klero.analysis import words
from klero.v1.results_pb2 import HealthCheck, HealthState

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_LATE = 0.01
"""Share of outcomes that came after their window had closed above which outcomes are sent too late."""

OK, WARNING, UNKNOWN = (
    HealthState.HEALTH_STATE_OK,
    HealthState.HEALTH_STATE_WARNING,
    HealthState.HEALTH_STATE_UNSPECIFIED,
)


def late_outcomes(late: int, outcomes: int) -> HealthCheck:
    """Hold outcomes that came too late against all that came; `outcomes` counts the others."""
    name = "late_outcomes"
    if late + outcomes == 0:
        return HealthCheck(name=name, state=UNKNOWN, message="No outcomes yet.")
    share = late / (late + outcomes)
    found = f"{late:,} of {late + outcomes:,} outcomes ({words.percent(share)}) came after their window had closed"
    if share > MAX_LATE:
        message = f"{found} and do not count; send outcomes sooner, or let windows be longer in the next iteration."
        return HealthCheck(name=name, state=WARNING, message=message)
    return HealthCheck(name=name, state=OK, message=f"{found}.")


def ripeness(settled: int, enrolled: int) -> HealthCheck:
    """Say how much of what was begun can be judged; never a fault."""
    name = "ripeness"
    if enrolled == 0:
        return HealthCheck(name=name, state=UNKNOWN, message="No entities yet.")
    return HealthCheck(name=name, state=OK, message=f"{words.percent(settled / enrolled)} of windows closed.")


def pauses(paused: int) -> HealthCheck:
    """Say how many entities were left out because a pause fell into their window."""
    message = f"{paused:,} entities are left out of every variant, because a pause fell into their window."
    return HealthCheck(name="pauses", state=WARNING, message=message)


def missing_values(doubts: Mapping[str, str]) -> HealthCheck:
    """Say for which metrics no claim can be believed; by name, as `klero.analysis.missing_values` found them."""
    name = "missing_values"
    if not doubts:
        return HealthCheck(name=name, state=OK, message="Values are missing alike in all variants.")
    message = f"Draw no conclusion from some metrics: {'; '.join(doubts.values())}; look for outcomes that get lost."
    return HealthCheck(name=name, state=WARNING, message=message)
