"""Runs: a task of an agent, inside which nobody has to say whose outcomes these are.

The present run is a context variable: asyncio tasks made inside a run are in it, and so is a thread that is
started with a copy of the context.
"""

from __future__ import annotations

import contextlib
import os
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple, Self

from klero.client import values
from klero.client.batches import uuid7

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextvars import Token
    from datetime import datetime
    from types import TracebackType

    from klero.client.recording import Recording
    from klero.v1.decision_pb2 import AttributeValue

SUCCESS = "success"
"""Event at the end of a run: 1 if it ended by itself, 0 if by an exception. Left out if the run recorded it."""

DURATION = "duration_s"
"""Event at the end of a run: seconds that it took."""

ERROR = "error"
"""Event of a run that ended by an exception."""

CANCELLED = "cancelled"
"""Event of a run that was cut off from outside, which says nothing of its success."""


class Who(NamedTuple):
    """Who asks, or is measured."""

    entity_id: str
    """Empty: `entities` says."""

    entities: Mapping[str, str] | None
    """Of the run itself: outcomes are of these."""

    around: Mapping[str, str] | None
    """Also those of the runs around it: decisions may need them."""

    attributes: Mapping[str, AttributeValue]


class Run:
    """One task; a context manager that records how it ended. Made by `run` of a client."""

    def __init__(
        self,
        recording: Recording,
        entity_id: str | None,
        *,
        entity_type: str,
        attributes: Mapping[str, values.Attribute] | None,
    ) -> None:
        """Name the run; it begins with `with`."""
        self.entity_id = uuid7() if entity_id is None else values.text("entity_id", entity_id)
        """Whose outcomes are recorded; made up if the caller named none."""
        self.entity_type = values.optional_text("entity_type", entity_type)
        self.recorded: set[str] = set()
        """Events recorded in it so far."""
        self._recording = recording
        self._attributes = {} if attributes is None else values.attributes(attributes)
        self._began_s = 0.0
        self._process = 0
        self._token: Token[Run | None] | None = None
        self.who = self._who(None)

    def __enter__(self) -> Self:
        """Begin.

        Raises:
            RuntimeError: It has begun before.
        """
        if self._token is not None:
            message = f"the run of `{self.entity_id}` has begun before: make one run for each task"
            raise RuntimeError(message)
        self.who = self._who(_present.get())
        self._token = _present.set(self)
        self._process = os.getpid()
        self._began_s = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Record how it ended, once: not in a process that was forked meanwhile."""
        took_s = time.perf_counter() - self._began_s
        if self._token is not None:
            # A generator may be closed in another context than it was begun in, where there is nothing to undo.
            with contextlib.suppress(ValueError):
                _present.reset(self._token)
        if self._process != os.getpid():
            return
        self.record(DURATION, took_s)
        if kind is None or issubclass(kind, Exception):
            if SUCCESS not in self.recorded:
                self.record(SUCCESS, float(kind is None))
            if kind is not None:
                self.record(ERROR)
        elif not issubclass(kind, GeneratorExit):
            self.record(CANCELLED)

    def record(  # noqa: PLR0913  # an outcome has as many parts
        self,
        event: str,
        value: float = 1.0,
        *,
        occurred_at: datetime | None = None,
        event_id: str = "",
        supersedes: str = "",
        dimensions: Mapping[str, str] | None = None,
    ) -> None:
        """As `record` of the client, for this run, also from inside another one."""
        token = _present.set(self)
        try:
            self._recording.record(
                event,
                value,
                occurred_at=occurred_at,
                event_id=event_id,
                supersedes=supersedes,
                dimensions=dimensions,
            )
        finally:
            _present.reset(token)

    def _who(self, outer: Run | None) -> Who:
        around = {} if outer is None else dict(outer.who.around or {})
        attributes = self._attributes if outer is None else {**outer.who.attributes, **self._attributes}
        if not self.entity_type:
            return Who(self.entity_id, None, around or None, attributes)
        own = {self.entity_type: self.entity_id}
        return Who("", own, around | own, attributes)


_present: ContextVar[Run | None] = ContextVar("klero_run", default=None)
present_run = _present.get
"""The run that this code is in; None outside."""


def who(entity_id: str | None, entities: Mapping[str, str] | None) -> Who:
    """Who is named; if nobody is, whose run this is.

    Raises:
        TypeError: A value is of a wrong type.
        ValueError: A value is empty, or nobody is named and no run is under way.
    """
    if entity_id is None and entities is None:
        run = present_run()
        if run is None:
            message = "no entity: give entity_id (or entities), or do this inside `with client.run():`"
            raise ValueError(message)
        return run.who
    named = "" if entity_id is None else values.text("entity_id", entity_id)
    by_type = None if entities is None else values.texts("entities", entities)
    return Who(named, by_type, by_type, {})
