"""Variants that people force: pure functions over an override and its experiment.

Times are arguments; nothing is stored or sent here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from klero import lifecycle
from klero.errors import (
    AssignedExternallyError,
    EtagMismatchError,
    FieldViolation,
    IllegalTransitionError,
    InvalidFieldError,
    OverrideNotFoundError,
    VariantNotFoundError,
)
from klero.v1.experiment_pb2 import AssignmentSource, Experiment, ExperimentStatus, Override

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from klero.v1.experiment_pb2 import Variant
    from klero.v1.experiment_service_pb2 import SetOverrideRequest

MAX_ENTITY_ID_BYTES = 256
DEFAULT_MS = 24 * 3_600_000
"""How long an override lasts of which nobody said how long."""

# The years 1 to 9999, which is what timestamps can say.
_SECONDS = range(-62_135_596_800, 253_402_300_800)
_NANOS_PER_S = 1_000_000_000


class Whom(NamedTuple):
    """Names an override."""

    namespace: str
    experiment_id: str
    entity_id: str
    """Empty: everyone."""

    @property
    def resource_id(self) -> str:
        """Name of the override within its namespace; an experiment's id has no slash."""
        return f"{self.experiment_id}/{self.entity_id}"


def check_request(request: SetOverrideRequest, *, now_ms: int) -> None:
    """Refuse what is wrong whatever the experiment.

    Raises:
        InvalidFieldError: Fields break their rules; names all of them.
    """
    asked, violations = request.override, []
    length = len(asked.entity_id.encode())
    if length > MAX_ENTITY_ID_BYTES:
        violations.append(
            FieldViolation(
                "override.entityId", f"{length} bytes, must have at most {MAX_ENTITY_ID_BYTES}; none means everyone"
            )
        )
    if request.HasField("enabled") == bool(asked.variant_id):
        found = "both this and `enabled` are" if asked.variant_id else "neither this nor `enabled` is"
        violations.append(FieldViolation("override.variantId", f"{found} set, exactly one of them must be"))
    if asked.HasField("expires_at") and request.permanent:
        violations.append(FieldViolation("override.expiresAt", "is set, but `permanent` asks for no expiry"))
    elif asked.HasField("expires_at"):
        violations += _expiry_faults(asked.expires_at, now_ms)
    if violations:
        raise InvalidFieldError(tuple(violations))


def forced(
    request: SetOverrideRequest, experiment: Experiment, before: Override | None, *, now_ms: int, actor: str
) -> Override:
    """The override that a checked request asks for.

    Args:
        request: What is to be forced.
        experiment: As stored.
        before: The override of the same entity that it replaces; None if there is none in force.
        now_ms: Unix milliseconds.
        actor: Who asks.

    Raises:
        EtagMismatchError: The request names another etag than that of `before`.
        IllegalTransitionError: The experiment is archived.
        AssignedExternallyError: Klero does not decide for it.
        VariantNotFoundError: There is no such variant.
        InvalidFieldError: No variant is enabled, and the request asks for one that is.
    """
    whom = Whom(experiment.namespace, experiment.id, request.override.entity_id)
    _check_etag(whom, before, request.override.etag)
    if experiment.status == lifecycle.ARCHIVED:
        others = [value for value in ExperimentStatus.values() if value not in {0, lifecycle.ARCHIVED}]
        raise IllegalTransitionError(
            method="SetOverride",
            namespace=experiment.namespace,
            experiment_id=experiment.id,
            status=lifecycle.status_name(experiment.status),
            allowed=", ".join(map(lifecycle.status_name, others)),
        )
    if experiment.assignment_source == AssignmentSource.ASSIGNMENT_SOURCE_EXTERNAL:
        raise AssignedExternallyError(namespace=experiment.namespace, experiment_id=experiment.id)
    made = Override(
        namespace=whom.namespace,
        experiment_id=whom.experiment_id,
        entity_id=whom.entity_id,
        variant_id=_variant_id(request, experiment),
        reason=request.reason,
        created_by=actor,
    )
    if request.override.HasField("expires_at"):
        made.expires_at.CopyFrom(request.override.expires_at)
    elif not request.permanent:
        made.expires_at.FromMilliseconds(now_ms + DEFAULT_MS)
    return made


def effect(override: Override | None) -> Override | None:
    """What an override does; whom it is about, why and by whom is said elsewhere. None: nothing."""
    if override is None:
        return None
    found = Override(variant_id=override.variant_id)
    if override.HasField("expires_at"):
        found.expires_at.CopyFrom(override.expires_at)
    return found


def check_removable(whom: Whom, before: Override | None, etag: str) -> None:
    """Refuse to remove what is not there, or not what the caller has seen.

    Raises:
        OverrideNotFoundError: `before` is None.
        EtagMismatchError: `etag` is another one than that of `before`.
    """
    if before is None:
        raise OverrideNotFoundError(
            namespace=whom.namespace, experiment_id=whom.experiment_id, entity_id=whom.entity_id
        )
    _check_etag(whom, before, etag)


def _check_etag(whom: Whom, before: Override | None, etag: str) -> None:
    found = "none" if before is None else before.etag
    if etag and etag != found:
        raise EtagMismatchError(
            namespace=whom.namespace, resource_type="override", id=whom.resource_id, expected=etag, found=found
        )


def _expiry_faults(expires_at: Timestamp, now_ms: int) -> list[FieldViolation]:
    if not (expires_at.seconds in _SECONDS and 0 <= expires_at.nanos < _NANOS_PER_S):
        found = f"{expires_at.seconds} seconds and {expires_at.nanos} nanoseconds"
        return [FieldViolation("override.expiresAt", f"{found} must be a time of the years 1 to 9999")]
    if expires_at.ToMilliseconds() <= now_ms:
        return [FieldViolation("override.expiresAt", f"{expires_at.ToJsonString()} must be in the future")]
    return []


def _variant_id(request: SetOverrideRequest, experiment: Experiment) -> str:
    variant_id = request.override.variant_id
    if not request.HasField("enabled"):
        if variant_id not in {variant.id for variant in (experiment.control, *experiment.variants)}:
            raise VariantNotFoundError(
                namespace=experiment.namespace, experiment_id=experiment.id, variant_id=variant_id
            )
        return variant_id
    if not request.enabled:
        return experiment.control.id
    # The control comes last: on is something else than off, if the author left a choice.
    for variant in (*experiment.variants, experiment.control):
        if _is_enabled(variant, experiment):
            return variant.id
    raise InvalidFieldError(
        (FieldViolation("enabled", f"true, but no variant of `{experiment.id}` is enabled: name a variant"),)
    )


def _is_enabled(variant: Variant, experiment: Experiment) -> bool:
    return variant.enabled if variant.HasField("enabled") else variant.id != experiment.control.id
