"""The answer to `assign`: there always is one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from klero.client.values import plain, text
from klero.v1 import decision_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVER_UNAVAILABLE = "server_unavailable"
"""Reason of a decision made here, because no server answered in time."""

NOT_FOUND = "not_found"
"""Reason of a decision made here, because the server knows no such experiment."""

REFUSED = "refused"
"""Reason of a decision made here, because the server refused the call; the log says why."""

EXTERNAL = "external"
"""Reason of a decision that another system made."""

_MADE_HERE = frozenset({SERVER_UNAVAILABLE, NOT_FOUND, REFUSED})
_PREFIX = "DECISION_REASON_"
_REASONS = decision_pb2.DESCRIPTOR.enum_types_by_name["DecisionReason"]
_HOLDOUT = "holdout"


@dataclass(frozen=True, slots=True)
class Decision:
    """Which variant an entity gets in an experiment, and why."""

    experiment_id: str
    """The experiment asked for, also when it does not exist."""

    entity_id: str
    """The id that was hashed; empty if the experiment's entity type was not named."""

    variant_id: str
    """The variant to act on; the caller's default if `is_default`."""

    reason: str
    """`split`, `sticky`, `shipped`, …: the contract's DecisionReason in lower case; `server_unavailable` or
    `refused` if there is no answer, and the caller's default stands in."""

    config: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """The variant's config, its integral numbers ints; the caller's default if `is_default`."""

    enrolled: bool = False
    """Whether the entity takes part."""

    randomized: bool = False
    """Whether chance chose. Only these entities enter the analysis."""

    enabled: bool = False
    """Whether the variant is an enabled one; false where not enrolled, except after shipping."""

    is_control: bool = False
    """Whether `variant_id` is the control."""

    revision: int = 0
    """Catalog revision that decided; 0 if `is_default`."""

    iteration: int = 0
    """Iteration of the experiment; 0: none."""

    epoch: int = 0
    """Stretch of the iteration with the same weights; 0: none."""

    propensity: float = 0.0
    """Probability with which chance gives this variant; 0 where not randomized."""

    decided_by: str = ""
    """Id of the rule, holdout, layer or experiment that decided, where the reason names one."""

    attributes: Mapping[str, decision_pb2.AttributeValue] = field(default_factory=dict, hash=False, repr=False)
    """Those asked with; they go with the exposure."""

    @property
    def is_default(self) -> bool:
        """Whether it was made here, from the caller's default, because there was no answer."""
        return self.reason in _MADE_HERE

    @property
    def counts_as_exposure(self) -> bool:
        """Whether acting on it is an exposure that the analysis reads."""
        return self.randomized or self.reason == _HOLDOUT

    @classmethod
    def external(cls, experiment_id: str, variant_id: str, *, entity_id: str) -> Self:
        """What another system decided, to be handed to `expose`.

        Args:
            experiment_id: An experiment with `assignmentSource: external`.
            variant_id: One of its variants.
            entity_id: Who got it.
        """
        return cls(
            text("experiment_id", experiment_id),
            text("entity_id", entity_id),
            text("variant_id", variant_id),
            EXTERNAL,
            enrolled=True,
            randomized=True,
        )

    @classmethod
    def from_wire(cls, decision: decision_pb2.Decision, attributes: Mapping[str, decision_pb2.AttributeValue]) -> Self:
        """The server's decision, asked with `attributes`."""
        return cls(
            decision.experiment_id,
            decision.entity_id,
            decision.variant_id,
            reason_word(decision.reason),
            plain(decision.config),
            enrolled=decision.enrolled,
            randomized=decision.randomized,
            enabled=decision.enabled,
            is_control=decision.is_control,
            revision=decision.revision,
            iteration=decision.iteration,
            epoch=decision.epoch,
            propensity=decision.propensity,
            decided_by=decision.decided_by,
            attributes=attributes,
        )


def reason_word(reason: int) -> str:
    """Lower-case word of a DecisionReason; its number if this version has no name for it."""
    value = _REASONS.values_by_number.get(reason)
    return str(reason) if value is None else value.name.removeprefix(_PREFIX).lower()


def reason_number(word: str) -> decision_pb2.DecisionReason.ValueType:
    """DecisionReason of a word; UNSPECIFIED for what only clients say."""
    value = _REASONS.values_by_name.get(_PREFIX + word.upper())
    return decision_pb2.DecisionReason.ValueType(0 if value is None else value.number)
