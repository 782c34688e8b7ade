"""Clients without a server: decisions are fixed by the test, and what is recorded is kept in lists.

Only what carries calls is replaced; arguments, defaults, runs and configs are those of the real clients.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from klero.client.asynchronous import AsyncClient
from klero.client.delivery import Counts
from klero.client.foundation import Foundation, Parts
from klero.client.items import Exposure, Outcome
from klero.client.sync import Client
from klero.errors import WireError
from klero.v1.decision_pb2 import Decision as WireDecision
from klero.v1.decision_pb2 import DecisionReason
from klero.v1.decision_service_pb2 import AssignRequest, AssignResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from klero.client.decision import Decision
    from klero.client.items import Item

_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Fixed:
    """What everyone gets in an experiment."""

    variant_id: str

    config: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """As JSON has it; integers come back as ints."""

    enabled: bool = True
    """What `is_enabled` says."""

    entity_type: str = ""
    """Which of several entities is decided for; empty: the one that is named."""


Assignments = Mapping[str, Fixed | str | bool]
"""By experiment: all of it, only the variant's id, or only whether a flag is on."""


class _Fake:
    """Stands in for connection, server and queue at once."""

    def __init__(self, assignments: Assignments) -> None:
        self.assignments = {key: _fixed(value) for key, value in assignments.items()}
        self.available = True
        self.outcomes: list[Outcome] = []
        self.exposures: list[Decision] = []

    @property
    def counts(self) -> Counts:
        """Everything is accepted at once."""
        return Counts(accepted=len(self.outcomes) + len(self.exposures))

    @property
    def waiting(self) -> int:
        """Nothing ever waits."""
        return 0

    def assign(self, request: AssignRequest, *, timeout_s: float) -> AssignResponse:
        """What was fixed; fails as a server does."""
        if not self.available:
            message = f"no answer within {timeout_s:g} s: the test says so"
            raise WireError(status="UNAVAILABLE", reason="", message=message)
        found = self.assignments.get(request.experiment_id)
        if found is None:
            message = f"no experiment `{request.experiment_id}` was fixed by the test"
            raise WireError(status="NOT_FOUND", reason="ERROR_REASON_EXPERIMENT_NOT_FOUND", message=message)
        decision = WireDecision(
            experiment_id=request.experiment_id,
            entity_id=request.entities.get(found.entity_type)
            or request.entity_id
            or min(request.entities.values(), default=""),
            variant_id=found.variant_id,
            reason=DecisionReason.DECISION_REASON_SPLIT,
            enrolled=True,
            randomized=True,
            enabled=found.enabled,
            revision=1,
            iteration=1,
            epoch=1,
            propensity=1.0,
        )
        decision.config.update(found.config)
        return AssignResponse(decision=decision)

    def assign_soon(self, request: AssignRequest, *, timeout_s: float) -> Future[AssignResponse]:
        """As `assign`, at once."""
        answer: Future[AssignResponse] = Future()
        try:
            answer.set_result(self.assign(request, timeout_s=timeout_s))
        except WireError as error:
            answer.set_exception(error)
        return answer

    def put(self, item: Item) -> None:
        """Keep it."""
        if isinstance(item, Exposure):
            self.exposures.append(item.decision)
        else:
            self.outcomes.append(item)

    def told(self, exposure: Exposure) -> None:
        """Keep the exposure that a server would have queued."""
        self.exposures.append(exposure.decision)

    def server_found(self) -> None:
        """Nothing waits for it."""

    def server_lost(self) -> None:
        """Nothing is lost."""

    def flush(self, timeout_s: float) -> bool:
        """At once, within any `timeout_s`."""
        return timeout_s > 0

    def close(self, timeout_s: float = 0.0, *, cut_off: Callable[[], None] | None = None) -> None:
        """Nothing to end."""
        del timeout_s, cut_off


class _Faking(Foundation):
    """What a test fixes and reads."""

    _fake: _Fake

    def fix(self, experiment_id: str, assignment: Fixed | str | bool) -> None:  # noqa: FBT001  # a flag's state
        """From now on everyone gets `assignment`: all of it, a variant's id, or whether a flag is on."""
        self._fake.assignments[experiment_id] = _fixed(assignment)

    def go_away(self) -> None:
        """From now on no server answers, so that defaults stand in."""
        self._fake.available = False

    def come_back(self) -> None:
        """From now on a server answers again."""
        self._fake.available = True

    @property
    def outcomes(self) -> list[Outcome]:
        """Everything recorded, in its order."""
        return self._fake.outcomes

    @property
    def exposures(self) -> list[Decision]:
        """Every decision that counted as an exposure, in its order."""
        return self._fake.exposures

    def values(self, event: str) -> list[float]:
        """Values recorded of `event`, in their order."""
        return [outcome.value for outcome in self.outcomes if outcome.event == event]


class FakeClient(_Faking, Client):
    """A `Client` without a server."""

    def __init__(self, assignments: Assignments | None = None) -> None:
        """Answer `assignments`; other experiments do not exist."""
        self._fake = _Fake(assignments or {})
        self._exit_timeout_s = _TIMEOUT_S
        Foundation.__init__(self, Parts(self._fake, self._fake), namespace="", timeout_s=_TIMEOUT_S)


class FakeAsyncClient(_Faking, AsyncClient):
    """An `AsyncClient` without a server."""

    def __init__(self, assignments: Assignments | None = None) -> None:
        """Answer `assignments`; other experiments do not exist."""
        self._fake = _Fake(assignments or {})
        self._exit_timeout_s = _TIMEOUT_S
        Foundation.__init__(self, Parts(self._fake, self._fake), namespace="", timeout_s=_TIMEOUT_S)


def fixed(assignments: Assignments) -> FakeClient:
    """A client that answers `assignments`: `fixed({"prompt-style": "stepwise", "new-search": True})`."""
    return FakeClient(assignments)


def _fixed(value: Fixed | str | bool) -> Fixed:  # noqa: FBT001  # as in fix
    if isinstance(value, Fixed):
        return value
    if isinstance(value, bool):
        return Fixed("on" if value else "off", enabled=value)
    return Fixed(value)
