"""Where something stands in a text, and what cannot be read there."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from klero.errors import FieldViolation, InvalidFieldError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_LAST_STEP = re.compile(r"(?:\.[^.\[\]]*|\[[0-9]+\]|^[^.\[\]]+)$")


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Line and column in a text, both from 1."""

    line: int
    column: int


class TextError(InvalidFieldError):
    """A text cannot be read as a definition: what is wrong, and where if that is known."""

    def __init__(self, source_name: str, problem: str, place: Place | None = None) -> None:
        """Name the text, the problem in one sentence, and its place."""
        self.source_name = source_name
        self.problem = problem
        self.place = place
        where = f":{place.line}:{place.column}" if place else ""
        super().__init__((FieldViolation(field="", description=f"{source_name}{where}: {problem}"),))


class Document:
    """One mapping of a text."""

    def __init__(
        self,
        values: Mapping[object, object],
        source_name: str,
        start: Place,
        find_places: Callable[[], Iterable[tuple[str, Place]]],
    ) -> None:
        """Keep what was read; `find_places` walks the text again: every path in it with its place."""
        self.values = values
        self.source_name = source_name
        self.start = start
        self._find_places = find_places

    @functools.cached_property
    def _places(self) -> dict[str, Place]:
        """By path; only wanted where something is wrong."""
        return {_spelled(path): place for path, place in self._find_places()}

    def place(self, path: str) -> Place:
        """Where the field with a JSON path such as `variants[1].weight` stands; if it is not there, what holds it."""
        wanted = _spelled(path)
        while wanted and wanted not in self._places:
            wanted = _LAST_STEP.sub("", wanted)
        return self._places.get(wanted, self.start)


def place_at(text: str, offset: int) -> Place:
    """The place of the character at `offset`, counted from 0."""
    return Place(text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))


def joined(path: str, key: object) -> str:
    """The path of a field of what is at `path`."""
    return f"{path}.{key}" if path else str(key)


def _spelled(path: str) -> str:
    """One spelling of a path: files may write `traffic_percentage`, messages say `trafficPercentage`."""
    return re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), path)
