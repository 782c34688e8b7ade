"""Questions to the server and what their answers mean, without any way of sending them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from klero.client import values
from klero.client.decision import NOT_FOUND, REFUSED, SERVER_UNAVAILABLE, Decision
from klero.client.items import Exposure
from klero.client.runs import who
from klero.v1.decision_pb2 import ExposureMode
from klero.v1.decision_service_pb2 import AssignRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from klero.client.notices import Notices
    from klero.client.outbox import Box
    from klero.client.values import Attribute
    from klero.errors import WireError
    from klero.v1.decision_service_pb2 import AssignResponse

# A server that says so may answer the next call; all else is refused for a reason that stays.
_AWAY = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "CANCELLED", "UNKNOWN", "INTERNAL"})


@dataclass(frozen=True, slots=True)
class Question:
    """One decision that is asked for."""

    request: AssignRequest
    """What is sent."""

    config: Mapping[str, Any] = field(default_factory=dict)
    """Stands in for the config if there is no answer."""

    variant_id: str = ""
    """Stands in for the variant if there is no answer."""

    enabled: bool = False
    """Stands in for `enabled` if there is no answer."""


def question(  # noqa: PLR0913  # what `assign` takes
    experiment_id: str,
    entity_id: str | None,
    *,
    namespace: str,
    entities: Mapping[str, str] | None = None,
    attributes: Mapping[str, Attribute] | None = None,
    expose: bool = True,
    config: Mapping[str, Any] | None = None,
    variant_id: str = "",
    enabled: bool = False,
) -> Question:
    """The question for `experiment_id`, of the entity named or of the present run.

    Raises:
        TypeError: A value is of a wrong type.
        ValueError: A value is empty or impossible, or no entity is named and no run is under way.
    """
    asked = who(entity_id, entities)
    given = dict(asked.attributes)
    if attributes is not None:
        given.update(values.attributes(attributes))
    request = AssignRequest(
        experiment_id=values.text("experiment_id", experiment_id),
        entity_id=asked.entity_id,
        entities=asked.around,
        attributes=given,
        exposure=ExposureMode.EXPOSURE_MODE_AUTO if expose else ExposureMode.EXPOSURE_MODE_DEFERRED,
        namespace=namespace,
    )
    return Question(request, config or {}, values.optional_text("the default variant", variant_id), enabled)


def answered(question: Question, response: AssignResponse, box: Box) -> Decision:
    """The decision in `response`; `box` is told of the exposure that the server made of it."""
    box.server_found()
    decision = Decision.from_wire(response.decision, dict(question.request.attributes))
    if question.request.exposure == ExposureMode.EXPOSURE_MODE_AUTO and decision.counts_as_exposure:
        box.told(Exposure(decision, time.time_ns(), again=True))
    return decision


def unanswered(question: Question, error: WireError, box: Box, notices: Notices) -> Decision:
    """The default, with what kept the server from answering."""
    request = question.request
    if error.status in _AWAY:
        reason = SERVER_UNAVAILABLE
        if error.status in {"UNAVAILABLE", "DEADLINE_EXCEEDED"} and not error.wire_reason:
            box.server_lost()
        notices.at_times("unanswered", "defaults stand in for decisions: %s", error)
    elif error.status == "NOT_FOUND":
        reason = NOT_FOUND
        notices.once(f"not found {request.experiment_id}", "the default stands in: %s", error)
    else:
        reason = REFUSED
        notices.once(
            f"refused {request.experiment_id} {error.status}",
            "the default stands in for a decision of `%s`, which the server refuses: %s",
            request.experiment_id,
            error,
        )
    return Decision(
        request.experiment_id,
        request.entity_id,
        question.variant_id,
        reason,
        question.config,
        enabled=question.enabled,
        attributes=dict(request.attributes),
    )
