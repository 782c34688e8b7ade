"""An ExperimentService in memory: definitions are checked by the core, updates are answered as a test says."""

from __future__ import annotations

from concurrent import futures
from typing import TYPE_CHECKING

import grpc
from google.rpc import code_pb2, error_details_pb2, status_pb2

from klero import engine
from klero.errors import InvalidFieldError
from klero.v1 import experiment_service_pb2 as pb
from klero.v1.error_reason_pb2 import ErrorReason
from klero.v1.experiment_pb2 import Experiment, ExperimentStatus

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, NoReturn, Self

    from google.protobuf.message import Message


class FakeExperiments:
    """What is stored, and every call that could change it."""

    def __init__(self) -> None:
        """Store nothing yet."""
        self.stored: dict[str, Experiment] = {}
        self.changing: list[str] = []
        self.reassigned_percent = 30.0
        self.keeps_variants = False
        self.changed_meanwhile = False
        self._server = grpc.server(futures.ThreadPoolExecutor(2))
        handlers = {
            "CreateExperiment": _handler(self.create, pb.CreateExperimentRequest),
            "GetExperiment": _handler(self.get, pb.GetExperimentRequest),
            "UpdateExperiment": _handler(self.update, pb.UpdateExperimentRequest),
        }
        generic = grpc.method_handlers_generic_handler("klero.v1.ExperimentService", handlers)
        self._server.add_generic_rpc_handlers((generic,))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> Self:
        """Serve."""
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop."""
        self._server.stop(None).wait()

    def run(self, identifier: str) -> None:
        """As if it was started."""
        experiment = self.stored[identifier]
        experiment.status = ExperimentStatus.EXPERIMENT_STATUS_RUNNING
        experiment.allocation.epoch = 2
        experiment.analysis_plan.digest = "frozen"

    def create(self, request: pb.CreateExperimentRequest, context: grpc.ServicerContext) -> pb.CreateExperimentResponse:
        """Check, and store a draft."""
        made, warnings = _admitted(request.experiment, context)
        if not request.validate_only:
            self.changing.append(f"create {made.id}")
            made.etag = "1"
            self.stored[made.id] = made
        return pb.CreateExperimentResponse(experiment=made, warnings=warnings)

    def get(self, request: pb.GetExperimentRequest, context: grpc.ServicerContext) -> pb.GetExperimentResponse:
        """What is stored."""
        if request.id not in self.stored:
            _abort(context, code_pb2.NOT_FOUND, ErrorReason.ERROR_REASON_EXPERIMENT_NOT_FOUND, "no such experiment")
        return pb.GetExperimentResponse(experiment=self.stored[request.id])

    def update(self, request: pb.UpdateExperimentRequest, context: grpc.ServicerContext) -> pb.UpdateExperimentResponse:
        """Replace what the author wrote; a change of weights opens an epoch."""
        assert ["*"] == list(request.update_mask.paths)
        made, warnings = _admitted(request.experiment, context)
        stored = self.stored[made.id]
        if request.experiment.etag != stored.etag or (self.changed_meanwhile and not request.validate_only):
            _abort(context, code_pb2.ABORTED, ErrorReason.ERROR_REASON_ETAG_MISMATCH, "read it again")
        made.status = stored.status
        made.allocation.CopyFrom(stored.allocation)
        made.etag = stored.etag + "1"
        answer = pb.UpdateExperimentResponse(experiment=made, warnings=warnings)
        weights = [[each.weight for each in (of.control, *of.variants)] for of in (stored, made)]
        if weights[0] != weights[1]:
            answer.experiment.allocation.epoch += 1
            answer.reassigning_changes.append("variants")
            answer.reassigned_percent = self.reassigned_percent
            answer.keeps_variants = self.keeps_variants
        if not request.validate_only:
            self.changing.append(f"update {made.id}")
            self.stored[made.id] = answer.experiment
        return answer


def _handler(call: Callable[[Any, grpc.ServicerContext], Message], of: type[Message]) -> Any:  # noqa: ANN401  # handlers of several types
    return grpc.unary_unary_rpc_method_handler(
        call, request_deserializer=of.FromString, response_serializer=lambda answer: answer.SerializeToString()
    )


def _admitted(definition: Experiment, context: grpc.ServicerContext) -> tuple[Experiment, list[pb.Warning]]:
    try:
        made, warnings = engine.admit(definition)
    except InvalidFieldError as error:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=each.field, description=each.description)
            for each in error.violations
        ]
        _abort(
            context,
            code_pb2.INVALID_ARGUMENT,
            ErrorReason.ERROR_REASON_INVALID_FIELD,
            str(error),
            violations=violations,
        )
    return made, list(warnings)


def _abort(
    context: grpc.ServicerContext,
    code: int,
    reason: ErrorReason.ValueType,
    message: str,
    violations: list[error_details_pb2.BadRequest.FieldViolation] | None = None,
) -> NoReturn:
    status = status_pb2.Status(code=code, message=message)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=ErrorReason.Name(reason), domain="klero"))
    if violations:
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=violations))
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    known = {each.value[0]: each for each in grpc.StatusCode}
    context.abort(known[code], message)
