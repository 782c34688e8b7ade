"""An experiment led through its life, one call a step."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

from klero.v1 import experiment_service_pb2 as pb
from klero.v1.decision_pb2 import Context, Decision, ExposureMode
from klero.v1.decision_service_pb2 import BatchAssignRequest
from klero.v1.experiment_pb2 import Experiment, ExperimentStatus
from tests.rpc.calls import TIMEOUT_S, ab_test, refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from google.protobuf.message import Message

    from tests.rpc.calls import Client

HOUR_S = 3600
_BATCH = 500


def status_word(experiment: Experiment) -> str:
    """The status as files and people write it."""
    return ExperimentStatus.Name(experiment.status).removeprefix("EXPERIMENT_STATUS_").lower()


def weighted(namespace: str, control: float, treatment: float, *, experiment_id: str = "exp") -> Experiment:
    """As `ab_test`, with these weights."""
    definition = ab_test(namespace, experiment_id)
    definition.control.weight, definition.variants[0].weight = control, treatment
    return definition


def windowed(namespace: str, window_s: int, *, experiment_id: str = "exp") -> Experiment:
    """As `ab_test`, with a window for every metric."""
    definition = ab_test(namespace, experiment_id)
    for metric in definition.metrics:
        metric.window.FromSeconds(window_s)
    return definition


@dataclass(frozen=True, slots=True)
class Life:
    """One experiment of a server."""

    client: Client
    namespace: str
    experiment_id: str = "exp"

    def request(self, method: str, **fields: Any) -> Message:  # noqa: ANN401  # fields of the request
        """The request of a method that names the experiment by `id`."""
        made: Message = getattr(pb, f"{method}Request")(id=self.experiment_id, namespace=self.namespace, **fields)
        return made

    def call(self, method: str, **fields: Any) -> Any:  # noqa: ANN401  # responses differ by method
        """Make that call."""
        return getattr(self.client.experiments, method)(self.request(method, **fields), timeout=TIMEOUT_S)

    def stored(self) -> Experiment:
        """The definition as it is now."""
        found: Experiment = self.call("GetExperiment").experiment
        return found

    def create(self, definition: Experiment) -> Experiment:
        """Store a draft."""
        request = pb.CreateExperimentRequest(experiment=definition)
        return self.client.experiments.CreateExperiment(request, timeout=TIMEOUT_S).experiment

    def move(self, action: str, **fields: Any) -> Experiment:  # noqa: ANN401  # fields of the request
        """Start, Pause, Resume, Stop or Archive; returns what is stored then."""
        moved: Experiment = self.call(f"{action}Experiment", **fields).experiment
        return moved

    def update(self, change: Experiment, *paths: str, **fields: Any) -> pb.UpdateExperimentResponse:  # noqa: ANN401  # fields of the request
        """Take over `paths` of `change`, or what is set."""
        return self.client.experiments.UpdateExperiment(self.updating(change, *paths, **fields), timeout=TIMEOUT_S)

    def updating(self, change: Experiment, *paths: str, **fields: Any) -> pb.UpdateExperimentRequest:  # noqa: ANN401  # fields of the request
        """The request that `update` sends."""
        request = pb.UpdateExperimentRequest(experiment=change, **fields)
        request.experiment.id, request.experiment.namespace = self.experiment_id, self.namespace
        request.update_mask.paths.extend(paths)
        return request

    def reweight(self, control: float, treatment: float, **fields: Any) -> pb.UpdateExperimentResponse:  # noqa: ANN401  # fields of the request
        """Change the weights alone."""
        return self.update(weighted(self.namespace, control, treatment), "control", "variants", **fields)

    def decided(
        self, entity_ids: Iterable[str], exposure: ExposureMode.ValueType = ExposureMode.EXPOSURE_MODE_NONE
    ) -> list[Decision]:
        """A decision for each, in this order; by default nobody is exposed."""
        decisions: list[Decision] = []
        for ids in _batches(list(entity_ids)):
            request = BatchAssignRequest(
                namespace=self.namespace,
                experiment_ids=[self.experiment_id],
                contexts=[Context(entity_id=each) for each in ids],
                exposure=exposure,
            )
            decisions += self.client.decisions.BatchAssign(request, timeout=TIMEOUT_S).decisions
        return decisions

    def wait_for(self, status: str) -> Experiment:
        """The definition once it has this status and decisions are those of it.

        Raises:
            AssertionError: It never has.
        """
        end = time.monotonic() + TIMEOUT_S
        while time.monotonic() < end:
            found = self.stored()
            if status_word(found) == status and self._is_in_force(found):
                return found
            time.sleep(0.05)
        message = f"still {status_word(found)}, not {status}"
        raise AssertionError(message)

    def _is_in_force(self, found: Experiment) -> bool:
        try:
            how = self.call("GetExperimentStatus")
        except grpc.RpcError as error:
            # A server that reads its journal yet.
            if not refusal(error).may_retry:
                raise
            return False
        return bool(found.revision == how.revision <= how.lowest_node_revision)


def _batches(ids: list[str]) -> Iterator[list[str]]:
    for begin in range(0, len(ids), _BATCH):
        yield ids[begin : begin + _BATCH]
