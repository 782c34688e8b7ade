"""Short ways to call a server and to read what it refuses."""

from __future__ import annotations

import sqlite3
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from klero.v1.decision_pb2 import Decision, Exposure, ExposureMode, Outcome
from klero.v1.decision_service_pb2 import AssignRequest, RecordRequest
from klero.v1.decision_service_pb2_grpc import DecisionServiceStub
from klero.v1.events_pb2 import AuditEntry
from klero.v1.experiment_pb2 import (
    AssignmentSource,
    Experiment,
    ExperimentConfig,
    ExperimentType,
    Metric,
    MetricGoal,
    MetricType,
    Variant,
)
from klero.v1.experiment_service_pb2 import (
    CreateExperimentRequest,
    GetExperimentResultsRequest,
    StartExperimentRequest,
)
from klero.v1.experiment_service_pb2_grpc import ExperimentServiceStub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from klero.v1.decision_service_pb2 import RecordResponse
    from klero.v1.results_pb2 import ExperimentResults

DOMAIN = "klero.v1"
TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Client:
    """Stubs of one server."""

    channel: grpc.Channel
    experiments: ExperimentServiceStub = field(init=False)
    decisions: DecisionServiceStub = field(init=False)

    def __post_init__(self) -> None:
        """Make the stubs."""
        object.__setattr__(self, "experiments", ExperimentServiceStub(self.channel))
        object.__setattr__(self, "decisions", DecisionServiceStub(self.channel))

    def start(self, definition: Experiment) -> Experiment:
        """Create and start; returns the running experiment."""
        self.experiments.CreateExperiment(CreateExperimentRequest(experiment=definition), timeout=TIMEOUT_S)
        request = StartExperimentRequest(id=definition.id, namespace=definition.namespace)
        return self.experiments.StartExperiment(request, timeout=TIMEOUT_S).experiment

    def assign(
        self,
        experiment: Experiment,
        entity_id: str,
        exposure: ExposureMode.ValueType = ExposureMode.EXPOSURE_MODE_UNSPECIFIED,
    ) -> Decision:
        """Decide for one entity."""
        request = AssignRequest(
            experiment_id=experiment.id, namespace=experiment.namespace, entity_id=entity_id, exposure=exposure
        )
        return self.decisions.Assign(request, timeout=TIMEOUT_S).decision

    def record(
        self, namespace: str, *outcomes: Outcome, exposures: tuple[Exposure, ...] = (), request_id: str = ""
    ) -> RecordResponse:
        """Send one batch."""
        request = RecordRequest(namespace=namespace, request_id=request_id, exposures=exposures, outcomes=outcomes)
        return self.decisions.Record(request, timeout=TIMEOUT_S)

    def results(self, experiment: Experiment, *, position: int = 0, iteration: int = 0) -> ExperimentResults:
        """Results up to at least `position`; 0: up to all that the journal has by now."""
        # A batch goes through the same queue as the exposures before it, so its position has them.
        until = position or self.record(experiment.namespace, Outcome(entity_id="nobody", event="nothing")).position
        request = GetExperimentResultsRequest(
            id=experiment.id, namespace=experiment.namespace, min_position=until, iteration=iteration
        )
        return self.experiments.GetExperimentResults(request, timeout=TIMEOUT_S).results


@contextmanager
def connected(address: str) -> Iterator[Client]:
    """A client with a connection of its own."""
    # Channels to one address share connections, and with them the pause after a failed attempt.
    with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        yield Client(channel)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A failed call as the contract describes it."""

    code: grpc.StatusCode
    reason: str
    """Without the prefix that all have."""

    metadata: dict[str, str]
    fields: dict[str, str]
    """Descriptions of bad fields by path."""

    message: str
    may_retry: bool
    """Whether it says when to repeat."""


def refusal(error: grpc.RpcError) -> Refusal:
    """Read a failed call; what the contract promises of every failure is asserted."""
    assert isinstance(error, grpc.Call)
    code, message = error.code(), error.details() or ""
    encoded = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    assert isinstance(encoded, bytes), f"{code} without details: {message}"
    status = status_pb2.Status.FromString(encoded)
    assert (code.value[0], message) == (status.code, status.message)
    info, bad_request, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), False
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad_request)
        retry = retry or detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR)
    assert info.domain == DOMAIN
    return Refusal(
        code=code,
        reason=info.reason.removeprefix("ERROR_REASON_"),
        metadata=dict(info.metadata),
        fields={violation.field: violation.description for violation in bad_request.field_violations},
        message=message,
        may_retry=retry,
    )


def refused(call: Callable[..., Any], *args: object, timeout_s: float = TIMEOUT_S) -> Refusal:
    """Make a call that must fail, and read why."""
    with pytest.raises(grpc.RpcError) as caught:
        call(*args, timeout=timeout_s)
    return refusal(caught.value)


def ab_test(namespace: str, experiment_id: str = "exp", *, treatments: tuple[str, ...] = ("b",)) -> Experiment:
    """Arms `a` (control) and `treatments`, a conversion `ok` and a sum `cost`."""
    return Experiment(
        id=experiment_id,
        namespace=namespace,
        type=ExperimentType.EXPERIMENT_TYPE_AB_TEST,
        control=Variant(id="a"),
        variants=[Variant(id=treatment) for treatment in treatments],
        metrics=[
            Metric(
                name="ok", type=MetricType.METRIC_TYPE_CONVERSION, goal=MetricGoal.METRIC_GOAL_INCREASE, primary=True
            ),
            Metric(name="cost", type=MetricType.METRIC_TYPE_CONTINUOUS),
        ],
    )


def external(namespace: str, experiment_id: str = "exp") -> Experiment:
    """As `ab_test`, assigned by another system."""
    definition = ab_test(namespace, experiment_id)
    definition.assignment_source = AssignmentSource.ASSIGNMENT_SOURCE_EXTERNAL
    return definition


def exposed(entity_id: str, variant_id: str = "b", experiment_id: str = "exp") -> Exposure:
    """Another system gave the entity this variant."""
    return Exposure(experiment_id=experiment_id, entity_id=entity_id, variant_id=variant_id)


def flag(namespace: str, experiment_id: str = "flag", *, percentage: float = 100.0) -> Experiment:
    """A flag without metrics, `on` for `percentage` of the entities."""
    return Experiment(
        id=experiment_id,
        namespace=namespace,
        type=ExperimentType.EXPERIMENT_TYPE_FEATURE_FLAG,
        control=Variant(id="off"),
        variants=[Variant(id="on")],
        config=ExperimentConfig(traffic_percentage=percentage),
    )


def uuid7(time_ms: int, number: int) -> str:
    """The UUID of version 7 with this time and these low bits."""
    return str(uuid.UUID(int=time_ms << 80 | 7 << 76 | 2 << 62 | number))


def audited(data_dir: Path, namespace: str) -> list[AuditEntry]:
    """Audit entries of a namespace, oldest first, as they lie on the disk."""
    database = sqlite3.connect(f"file:{data_dir}/catalog.db?mode=ro", uri=True)
    try:
        rows = database.execute("SELECT body FROM audit WHERE namespace = ? ORDER BY revision", (namespace,)).fetchall()
    finally:
        database.close()
    return [AuditEntry.FromString(body) for (body,) in rows]
