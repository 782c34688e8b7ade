"""What every client does in the same way: record, expose and run, whatever carries it off."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from klero.client import values
from klero.client.decision import EXTERNAL, Decision
from klero.client.items import Exposure, Outcome
from klero.client.runs import Run, present_run, who

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from klero.client.items import Item


class Recording:
    """Makes items of what is recorded; `put` takes them."""

    def __init__(self, put: Callable[[Item], None]) -> None:
        """Leave items with `put`, which never waits."""
        self._put = put

    def record(  # noqa: PLR0913  # an outcome has as many parts
        self,
        event: str,
        value: float = 1.0,
        *,
        entity_id: str | None = None,
        entities: Mapping[str, str] | None = None,
        occurred_at: datetime | None = None,
        event_id: str = "",
        supersedes: str = "",
        dimensions: Mapping[str, str] | None = None,
    ) -> None:
        """Leave an outcome to be sent; never waits and never fails for want of a server.

        Args:
            event: What happened: `success`, `cost_usd`. Metrics refer to it.
            value: How much; a bool counts as 0 or 1.
            entity_id: Whose outcome it is; inside a run its own, if left out.
            entities: Ids by entity type, for outcomes that count for several.
            occurred_at: When it happened, with its time zone; now, if left out.
            event_id: Its identity, for those who may record the same twice: it counts once.
            supersedes: `event_id` of the outcome that it takes the place of.
            dimensions: What results can be broken down by: `{"model": "m1"}`.

        Raises:
            TypeError: A value is of a wrong type.
            ValueError: A value is empty or impossible, or no entity is named and no run is under way.
        """
        if event.__class__ is not str or not event:
            event = values.text("event", event)
        if value.__class__ is not float:
            value = values.number("value", value)
        if dimensions is not None:
            dimensions = values.texts("dimensions", dimensions)
        if event_id or supersedes or occurred_at is not None:
            values.optional_text("event_id", event_id)
            values.optional_text("supersedes", supersedes)
            occurred_at = None if occurred_at is None else values.moment("occurred_at", occurred_at)
        if entity_id.__class__ is str and entity_id and entities is None:
            named, by_type = entity_id, None
        else:
            named, by_type, _, _ = who(entity_id, entities)
            run = present_run() if entity_id is None and entities is None else None
            if run is not None:
                run.recorded.add(event)
        self._put(Outcome(event, value, named, time.time_ns(), by_type, dimensions, occurred_at, event_id, supersedes))

    def expose(self, decision: Decision) -> None:
        """Leave an exposure to be sent: the variant of `decision` is used from now on.

        For decisions asked with `expose=False`, and for those of another system, `Decision.external`. One that
        the analysis does not read, such as a default, is passed over; repeats are harmless.

        Raises:
            TypeError: It is no decision.
        """
        if not isinstance(decision, Decision):
            message = f"decision must be a klero.Decision, not {type(decision).__name__}: {decision!r}"
            raise TypeError(message)
        if decision.counts_as_exposure or decision.reason == EXTERNAL:
            self._put(Exposure(decision, time.time_ns()))

    def run(
        self,
        entity_id: str | None = None,
        *,
        entity_type: str = "",
        attributes: Mapping[str, values.Attribute] | None = None,
    ) -> Run:
        """A context for one task: inside it decisions and outcomes are its own, and its end is recorded.

        Records `duration_s` and `success`, unless the task records the latter itself; after an exception, which
        goes on, also `error`; and only `cancelled` beside the duration if it is cut off from outside.

        Args:
            entity_id: Who is decided for; made up if left out.
            entity_type: Its type, where experiments randomise several: nested runs of other types then find both.
            attributes: For targeting, of all its decisions.

        Raises:
            TypeError: A value is of a wrong type.
            ValueError: A value is empty or impossible.
        """
        return Run(self, entity_id, entity_type=entity_type, attributes=attributes)
