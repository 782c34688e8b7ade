"""Decisions of scheme `klero.v1`, written to be read: slow, plain, and independent of the Rust core.

Holds no rule that the contract does not state, and checks no definition: it expects one that the
core would accept. Gates it knows: entity, overrides, status, traffic, sticky, variant.

Rules that two implementations could read differently:

- A percentage counts in millionths of a percent, rounded half to even after one multiplication of
  doubles; from there on all arithmetic is on integers.
- Of two equal keys the smaller variant id wins, by bytes.
- `entities` wins over `entity_id` as soon as it names the entity type, even with an empty id.
- A feature flag without weights enrols everyone, and its ramp is written into its allocation.
- An override acts before the millisecond of its expiry, not in it; one without expiry always.
- Weights and traffic of the allocation in force stand before those that the author wrote.
- The variant of the first exposure is asked for only where entities keep it and the weights have changed in the
  iteration; where it should be known and is not, the hash decides and the entity does not take part.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import xxhash

from klero.v1.decision_pb2 import Context, Decision, DecisionReason
from klero.v1.experiment_pb2 import (
    AssignmentSource,
    Experiment,
    ExperimentStatus,
    ExperimentType,
    Override,
    StickyMode,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ALL = 2**64
UNITS_PER_PERCENT = 1e6
ALL_UNITS = 100_000_000
MAX_ENTITY_ID_BYTES = 256

# Statuses in which everyone gets what was shipped, and the reason where nothing was.
_NOT_ENROLLING = {
    ExperimentStatus.EXPERIMENT_STATUS_DRAFT: DecisionReason.DECISION_REASON_NOT_STARTED,
    ExperimentStatus.EXPERIMENT_STATUS_SCHEDULED: DecisionReason.DECISION_REASON_NOT_STARTED,
    ExperimentStatus.EXPERIMENT_STATUS_DRAINING: DecisionReason.DECISION_REASON_STOPPED,
    ExperimentStatus.EXPERIMENT_STATUS_STOPPED: DecisionReason.DECISION_REASON_STOPPED,
    ExperimentStatus.EXPERIMENT_STATUS_ROLLED_BACK: DecisionReason.DECISION_REASON_STOPPED,
}


UNKNOWN = ""
"""As `prior`: whether the entity was exposed cannot be looked up."""


class Ramp(NamedTuple):
    """A straight line of traffic from 0 at `started_at_ms` to all of it `period_ms` later."""

    started_at_ms: int
    period_ms: int


def hash64(salt: str, purpose: str, entity_id: str) -> int:
    """64 bits of `entity_id` for one random choice, `purpose`, under `salt`."""
    seed = xxhash.xxh64_intdigest(f"{salt}/{purpose}".encode(), seed=0)
    return xxhash.xxh64_intdigest(entity_id.encode(), seed=seed)


def traffic_bound(percentage: float, ramp: Ramp | None, now_ms: int) -> int:
    """How many of the 2^64 hashes take part at `now_ms`; `percentage` from 0 to 100."""
    units = round(percentage * UNITS_PER_PERCENT)
    bound = units * ALL // ALL_UNITS
    if ramp is None:
        return bound
    elapsed_ms = min(max(now_ms - ramp.started_at_ms, 0), ramp.period_ms)
    return bound * elapsed_ms // ramp.period_ms


def admits(salt: str, percentage: float, ramp: Ramp | None, *, entity_id: str, now_ms: int) -> bool:
    """Whether the entity passes the traffic gate."""
    return hash64(salt, "traffic", entity_id) < traffic_bound(percentage, ramp, now_ms)


def choose(salt: str, weights: Mapping[str, float], entity_id: str) -> str | None:
    """Variant by weighted rendezvous; `None` if no variant has weight.

    Source: Schindelhauer and Schomaker (2005), weighted distributed hash tables.
    """
    keys = []
    for variant_id, weight in weights.items():
        if weight > 0:
            uniform = ((hash64(salt, f"variant/{variant_id}", entity_id) >> 11) + 0.5) * 2.0**-53
            keys.append((-math.log(uniform) / weight, variant_id.encode()))
    return min(keys)[1].decode() if keys else None


def weights_in_force(definition: Experiment) -> dict[str, float]:
    """Percent of the enrolled by variant id, control first."""
    arms = [definition.control, *definition.variants]
    if definition.HasField("allocation"):
        return {arm.id: definition.allocation.weights.get(arm.id, 0.0) for arm in arms}
    if _has_weights(definition):
        return {arm.id: arm.weight for arm in arms}
    if definition.type == ExperimentType.EXPERIMENT_TYPE_FEATURE_FLAG:
        treated = _written_traffic(definition)
        share = treated / len(definition.variants)
        return {arm.id: share if index else 100 - treated for index, arm in enumerate(arms)}
    return {arm.id: 100 / len(arms) for arm in arms}


def pick_entity_id(definition: Experiment, context: Context) -> str | None:
    """The id that is hashed; `None` if there is none that can be."""
    named = definition.entity_type in context.entities
    entity_id = context.entities[definition.entity_type] if named else context.entity_id
    return entity_id if 1 <= len(entity_id.encode()) <= MAX_ENTITY_ID_BYTES else None


def keeps_variants(definition: Experiment) -> bool:
    """Whether entities keep their first variant when weights change."""
    flag = definition.type == ExperimentType.EXPERIMENT_TYPE_FEATURE_FLAG
    if definition.assignment_source == AssignmentSource.ASSIGNMENT_SOURCE_EXTERNAL or (flag and not definition.metrics):
        return False
    if definition.sticky != StickyMode.STICKY_MODE_UNSPECIFIED:
        return definition.sticky == StickyMode.STICKY_MODE_ENTITY
    return definition.entity_type not in {"run", "task"} and definition.type in {
        ExperimentType.EXPERIMENT_TYPE_AB_TEST,
        ExperimentType.EXPERIMENT_TYPE_MULTIARM_BANDIT,
    }


def decide(
    definition: Experiment,
    context: Context,
    now_ms: int,
    overrides: Iterable[Override] = (),
    *,
    prior: str | None = None,
) -> Decision:
    """Decision without config, digests and revisions; the status is any but ARCHIVED.

    Args:
        definition: As in force.
        context: Who asks.
        now_ms: Unix milliseconds.
        overrides: Those of the experiment, at most one for each entity and one for everyone.
        prior: Variant of the entity's first exposure in the iteration. None: it has none.

    """
    reasons = DecisionReason
    entity_id = pick_entity_id(definition, context)
    if entity_id is None:
        return _not_enrolled(definition, reasons.DECISION_REASON_ENTITY_MISSING, "")
    forced = _forced(overrides, entity_id, now_ms)
    if forced is not None:
        return Decision(
            experiment_id=definition.id,
            variant_id=forced.variant_id,
            reason=reasons.DECISION_REASON_ENTITY_OVERRIDE
            if forced.entity_id
            else reasons.DECISION_REASON_EXPERIMENT_OVERRIDE,
            is_control=forced.variant_id == definition.control.id,
            enrolled=True,
            enabled=_enabled(definition, forced.variant_id),
            entity_id=entity_id,
        )
    if definition.status == ExperimentStatus.EXPERIMENT_STATUS_PAUSED:
        return _not_enrolled(definition, reasons.DECISION_REASON_PAUSED, entity_id)
    if definition.status in _NOT_ENROLLING:
        return _shipped(definition, _NOT_ENROLLING[definition.status], entity_id)

    salt = definition.hashing.salt or definition.id
    if not admits(salt, *_traffic_in_force(definition), entity_id=entity_id, now_ms=now_ms):
        return _not_enrolled(definition, reasons.DECISION_REASON_NOT_IN_TRAFFIC, entity_id)
    weights = weights_in_force(definition)
    chosen = choose(salt, weights, entity_id)
    if chosen is None:
        message = f"no variant of {definition.id} has weight"
        raise ValueError(message)
    reason = reasons.DECISION_REASON_SPLIT
    if prior is not None and keeps_variants(definition) and definition.allocation.weights_epoch > 1:
        reason = reasons.DECISION_REASON_STICKY if prior else reasons.DECISION_REASON_STICKY_UNAVAILABLE
        chosen = prior or chosen
    known = reason != reasons.DECISION_REASON_STICKY_UNAVAILABLE
    return Decision(
        experiment_id=definition.id,
        variant_id=chosen,
        reason=reason,
        is_control=chosen == definition.control.id,
        enrolled=known,
        randomized=known,
        enabled=_enabled(definition, chosen),
        propensity=weights[chosen] / 100 if known else 0.0,
        entity_id=entity_id,
    )


def _forced(overrides: Iterable[Override], entity_id: str, now_ms: int) -> Override | None:
    """The override that acts on the entity: its own before everyone's."""
    acting = [
        each
        for each in overrides
        if each.entity_id in {"", entity_id}
        and (not each.HasField("expires_at") or now_ms < each.expires_at.ToMilliseconds())
    ]
    return max(acting, key=lambda each: bool(each.entity_id), default=None)


def _traffic_in_force(definition: Experiment) -> tuple[float, Ramp | None]:
    if definition.type == ExperimentType.EXPERIMENT_TYPE_FEATURE_FLAG and not _has_weights(definition):
        return 100.0, None
    percentage = (
        definition.allocation.traffic_percentage if definition.HasField("allocation") else _written_traffic(definition)
    )
    period_ms = definition.config.ramp_up_period.ToMilliseconds()
    if period_ms == 0:
        return percentage, None
    return percentage, Ramp(definition.started_at.ToMilliseconds(), period_ms)


def _written_traffic(definition: Experiment) -> float:
    config = definition.config
    return config.traffic_percentage if config.HasField("traffic_percentage") else 100.0


def _has_weights(definition: Experiment) -> bool:
    return any(arm.HasField("weight") for arm in [definition.control, *definition.variants])


def _shipped(definition: Experiment, otherwise: DecisionReason.ValueType, entity_id: str) -> Decision:
    shipped = definition.shipped_variant_id
    if not shipped:
        return _not_enrolled(definition, otherwise, entity_id)
    return Decision(
        experiment_id=definition.id,
        variant_id=shipped,
        reason=DecisionReason.DECISION_REASON_SHIPPED,
        is_control=shipped == definition.control.id,
        enabled=_enabled(definition, shipped),
        entity_id=entity_id,
    )


def _not_enrolled(definition: Experiment, reason: DecisionReason.ValueType, entity_id: str) -> Decision:
    return Decision(
        experiment_id=definition.id,
        variant_id=definition.control.id,
        reason=reason,
        is_control=True,
        entity_id=entity_id,
    )


def _enabled(definition: Experiment, variant_id: str) -> bool:
    arm = next(arm for arm in [definition.control, *definition.variants] if arm.id == variant_id)
    return arm.enabled if arm.HasField("enabled") else variant_id != definition.control.id
