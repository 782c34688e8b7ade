"""Everything that can fail, for callers in the same process and across the wire alike.

A class fixes status code, reason and message once; whoever raises supplies values only. They fill
the message and become the metadata of `google.rpc.ErrorInfo`. `ErrorReason` documents each reason.

    KleroError
    |-- InvalidFieldError           fields break their rules; lists all of them
    |-- ExperimentNotFoundError
    |-- VariantNotFoundError
    |-- MetricNotFoundError
    |-- IterationNotFoundError
    |-- OverrideNotFoundError
    |-- AlreadyExistsError
    |-- EtagMismatchError
    |-- CatalogContendedError         repeat
    |-- RequestIdReusedError
    |-- IllegalTransitionError
    |-- FieldImmutableError         lists all of them
    |-- AssignedExternallyError
    |-- UnimplementedError
    |-- JournalUnavailableError     retry
    |-- CatalogUnavailableError     retry
    |-- ResultsBehindError          retry
    |-- ShuttingDownError
    |-- InternalError               a fault in Klero
    |-- EncodedError                a refusal of the core, encoded for the wire already
    |-- WireError                   a failed call as the other side described it
    `-- StartupError                the server cannot start; never crosses the wire
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from google.rpc import code_pb2

from klero.v1.error_reason_pb2 import ErrorReason


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field that breaks its rules."""

    field: str
    """JSON path: `variants[1].weight`. Empty: the whole message."""

    description: str
    """The value found and what is allowed."""


class KleroError(Exception):
    """Base of everything that Klero raises on purpose."""

    code: ClassVar[int] = code_pb2.INTERNAL
    reason: ClassVar[ErrorReason.ValueType] = ErrorReason.ERROR_REASON_INTERNAL
    message: ClassVar[str] = "internal error"
    retry_after_s: ClassVar[float | None] = None
    """How long a caller should wait before it sends the same again. None: repeating is no use."""

    def __init__(self, **values: object) -> None:
        """Fill the class's message with `values`; empty ones are left out of the metadata."""
        self.metadata = {key: str(value) for key, value in values.items() if value not in {None, ""}}
        super().__init__(self.message.format(**values))

    @property
    def violations(self) -> tuple[FieldViolation, ...]:
        """Every bad field; empty unless the request itself was wrong."""
        return ()


class InvalidFieldError(KleroError):
    """Fields break their rules. `violations` has all of them."""

    code = code_pb2.INVALID_ARGUMENT
    reason = ErrorReason.ERROR_REASON_INVALID_FIELD
    message = "{fields} invalid: {summary}"

    def __init__(self, violations: tuple[FieldViolation, ...]) -> None:
        """Name every one of `violations` in the message."""
        summary = "; ".join(f"{v.field}: {v.description}" if v.field else v.description for v in violations)
        super().__init__(fields="1 field" if len(violations) == 1 else f"{len(violations)} fields", summary=summary)
        self.metadata = {"fields": str(len(violations))}
        self._violations = violations

    @property
    def violations(self) -> tuple[FieldViolation, ...]:
        """Every bad field, in the order of the message."""
        return self._violations


class ExperimentNotFoundError(KleroError):
    """No such experiment in the namespace."""

    code = code_pb2.NOT_FOUND
    reason = ErrorReason.ERROR_REASON_EXPERIMENT_NOT_FOUND

    message = "no experiment `{experiment_id}` in namespace `{namespace}`{hint}"

    def __init__(self, *, namespace: str, experiment_id: str, did_you_mean: str = "") -> None:
        """Offer `did_you_mean`, if there is a near one."""
        hint = f", did you mean `{did_you_mean}`?" if did_you_mean else ""
        super().__init__(namespace=namespace, experiment_id=experiment_id, hint=hint)
        self.metadata = {"namespace": namespace, "experiment_id": experiment_id}
        if did_you_mean:
            self.metadata["did_you_mean"] = did_you_mean


class IterationNotFoundError(KleroError):
    """The experiment has no such iteration."""

    code = code_pb2.NOT_FOUND
    reason = ErrorReason.ERROR_REASON_ITERATION_NOT_FOUND
    message = "experiment `{experiment_id}` has no iteration {iteration}"


class MetricNotFoundError(KleroError):
    """Not a metric of the experiment."""

    code = code_pb2.NOT_FOUND
    reason = ErrorReason.ERROR_REASON_METRIC_NOT_FOUND
    message = "experiment `{experiment_id}` has no metric `{metric}`"


class VariantNotFoundError(KleroError):
    """Not a variant of the experiment."""

    code = code_pb2.NOT_FOUND
    reason = ErrorReason.ERROR_REASON_VARIANT_NOT_FOUND
    message = "experiment `{experiment_id}` has no variant `{variant_id}`"


class OverrideNotFoundError(KleroError):
    """Nothing is forced on the entity, or on everyone, or no longer."""

    code = code_pb2.NOT_FOUND
    reason = ErrorReason.ERROR_REASON_OVERRIDE_NOT_FOUND
    message = "experiment `{experiment_id}` in namespace `{namespace}` has no override for {whom}"

    def __init__(self, *, namespace: str, experiment_id: str, entity_id: str) -> None:
        """Name the entity; an empty `entity_id` is everyone."""
        whom = f"entity `{entity_id}`" if entity_id else "everyone"
        super().__init__(namespace=namespace, experiment_id=experiment_id, whom=whom)
        self.metadata = {"namespace": namespace, "experiment_id": experiment_id, "entity_id": entity_id}


class AlreadyExistsError(KleroError):
    """The id is taken."""

    code = code_pb2.ALREADY_EXISTS
    reason = ErrorReason.ERROR_REASON_ALREADY_EXISTS
    message = "{resource_type} `{id}` already exists in namespace `{namespace}`"


class EtagMismatchError(KleroError):
    """The resource changed since it was read. Read it again, then repeat the change."""

    code = code_pb2.ABORTED
    reason = ErrorReason.ERROR_REASON_ETAG_MISMATCH
    message = "etag of {resource_type} `{id}` is `{found}`, not `{expected}`: read it again, then repeat the change"


class CatalogContendedError(KleroError):
    """Too many others changed the catalog at once. Nothing was changed; repeat as it is."""

    code = code_pb2.ABORTED
    reason = ErrorReason.ERROR_REASON_CATALOG_CONTENDED
    message = "the catalog changed {attempts} times while this change was made; nothing was changed, repeat it"


class IllegalTransitionError(KleroError):
    """The status does not allow the call."""

    code = code_pb2.FAILED_PRECONDITION
    reason = ErrorReason.ERROR_REASON_ILLEGAL_TRANSITION
    message = "{method} is not allowed while experiment `{experiment_id}` is {status}; allowed: {allowed}"


class RequestIdReusedError(KleroError):
    """The id was used for another request."""

    code = code_pb2.INVALID_ARGUMENT
    reason = ErrorReason.ERROR_REASON_REQUEST_ID_REUSED
    message = "request id `{request_id}` was used for another request; a new request needs a new id"


class FieldImmutableError(KleroError):
    """Fields that cannot change any more. `violations` has all of them."""

    code = code_pb2.FAILED_PRECONDITION
    reason = ErrorReason.ERROR_REASON_FIELD_IMMUTABLE
    message = "{field} of {resource_type} `{id}` ({status}) cannot change any more: {why}"

    def __init__(self, *, namespace: str, id: str, status: str, fields: list[str]) -> None:  # noqa: A002  # as in the metadata
        """Name every one of `fields` of the experiment in the message."""
        why = "what was measured rests on it; another way to measure is another experiment"
        super().__init__(field=", ".join(fields), resource_type="experiment", id=id, status=status, why=why)
        self.metadata = {
            "namespace": namespace,
            "resource_type": "experiment",
            "id": id,
            "field": ",".join(fields),
            "status": status,
        }
        self._violations = tuple(
            FieldViolation(field, f"cannot change any more, the experiment is {status}: {why}") for field in fields
        )

    @property
    def violations(self) -> tuple[FieldViolation, ...]:
        """Every fixed field, in the order of the message."""
        return self._violations


class AssignedExternallyError(KleroError):
    """Another system assigns the experiment."""

    code = code_pb2.FAILED_PRECONDITION
    reason = ErrorReason.ERROR_REASON_ASSIGNED_EXTERNALLY
    message = "experiment `{experiment_id}` is assigned by another system, so that Klero can force nothing there"


class UnimplementedError(KleroError):
    """This version does not serve the method."""

    code = code_pb2.UNIMPLEMENTED
    reason = ErrorReason.ERROR_REASON_UNIMPLEMENTED
    message = "{method} is not supported by this version"


class JournalUnavailableError(KleroError):
    """The journal cannot take writes; decisions go on."""

    code = code_pb2.UNAVAILABLE
    reason = ErrorReason.ERROR_REASON_JOURNAL_UNAVAILABLE
    message = "the journal cannot take writes; nothing is known to be stored"
    retry_after_s = 1.0


class CatalogUnavailableError(KleroError):
    """The catalog cannot be read or written; decisions go on."""

    code = code_pb2.UNAVAILABLE
    reason = ErrorReason.ERROR_REASON_CATALOG_UNAVAILABLE
    message = "the catalog cannot be reached; nothing was changed"
    retry_after_s = 1.0


class ResultsBehindError(KleroError):
    """Results have not reached the position asked for before the deadline."""

    code = code_pb2.UNAVAILABLE
    reason = ErrorReason.ERROR_REASON_RESULTS_BEHIND
    message = "results are at journal position {as_of}, not yet at {min_position}"
    retry_after_s = 0.1


class ShuttingDownError(KleroError):
    """The node is going down."""

    code = code_pb2.UNAVAILABLE
    reason = ErrorReason.ERROR_REASON_SHUTTING_DOWN
    message = "the server is shutting down"


class InternalError(KleroError):
    """A fault in Klero; the log has it under `log_id`."""

    message = "internal error, see `{log_id}` in the server's log"


class EncodedError(KleroError):
    """A hot call that the core refuses; it knows the contract's errors itself."""

    def __init__(self, *, code: int, message: str, details: bytes) -> None:
        """Keep the parts: status code, message, and an encoded `google.rpc.Status`."""
        Exception.__init__(self, message)
        self.code = code  # type: ignore[misc]  # fixed by the class elsewhere, by the core here
        self.details = details
        self.metadata = {}


class WireError(KleroError):
    """A failed call, as the server described it."""

    def __init__(
        self,
        *,
        status: str,
        reason: str,
        message: str,
        violations: tuple[FieldViolation, ...] = (),
        retry_after_s: float | None = None,
    ) -> None:
        """Keep what the server said; `status` and `reason` are the names of the code and the reason."""
        Exception.__init__(self, message)
        self.status = status
        self.wire_reason = reason
        self.metadata = {}
        self.retry_after_s = retry_after_s  # type: ignore[misc]  # fixed by the class elsewhere, by the server here
        self._violations = violations

    @property
    def violations(self) -> tuple[FieldViolation, ...]:
        """Every bad field that the server named."""
        return self._violations


class StartupError(KleroError):
    """The server cannot start; says what to change."""

    message = "{why}"
