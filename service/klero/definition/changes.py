"""What differs between two definitions, for people and for programs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from klero.definition.places import joined
from klero.definition.schema import authored
from klero.definition.write import to_mapping

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from klero.v1.experiment_pb2 import Experiment

_LONGEST_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Change:
    """One field that differs."""

    path: str
    """JSON path in the definition that has the field, the later one if both have: `variants[1].weight`."""

    name: str
    """The field as people say it: "weight of `stepwise`"."""

    before: object
    """Plain value, None where there is none."""

    after: object
    """As `before`."""

    def __str__(self) -> str:
        """A part of a sentence: "weight of `stepwise` from 50 to 20"."""
        before, after = _shown(self.before), _shown(self.after)
        if self.before is None:
            return f"{self.name} added" if after is None else f"{self.name} set to {after}"
        if self.after is None:
            return f"{self.name} removed" if before is None else f"{self.name} no longer set, it was {before}"
        return f"{self.name} changed" if before is None or after is None else f"{self.name} from {before} to {after}"


@dataclass(frozen=True, slots=True)
class _Owner:
    """What has an id or name of its own and holds fields."""

    name: str
    path: str

    def field(self, path: str) -> str:
        """The field at `path` as people say it: a name says more than an index."""
        return f"{path.removeprefix(self.path + '.')} of `{self.name}`" if self.name else path


def changes(before: Experiment, after: Experiment) -> list[Change]:
    """What an author changed from `before` to `after`; what only the server sets is left out."""
    return list(_mappings("", _Owner("", ""), to_mapping(authored(before)), to_mapping(authored(after))))


def _mappings(path: str, owner: _Owner, before: Mapping[str, object], after: Mapping[str, object]) -> Iterator[Change]:
    for key in [*after, *(key for key in before if key not in after)]:
        yield from _values(joined(path, key), owner, before.get(key), after.get(key))


def _values(path: str, owner: _Owner, before: object, after: object) -> Iterator[Change]:
    if before == after:
        return
    if isinstance(before, dict | None) and isinstance(after, dict | None):
        old, new = before or {}, after or {}
        same = "id" in old and old["id"] == new.get("id")
        yield from _mappings(path, _Owner(old["id"], path) if same else owner, old, new)
    elif (earlier := _by_name(before)) is not None and (later := _by_name(after)) is not None:
        yield from _items(path, earlier, later)
    else:
        yield Change(path, owner.field(path), before, after)


def _items(path: str, before: dict[str, dict[str, object]], after: dict[str, dict[str, object]]) -> Iterator[Change]:
    for index, (name, item) in enumerate(after.items()):
        here = f"{path}[{index}]"
        if name in before:
            yield from _mappings(here, _Owner(name, here), before[name], item)
        else:
            yield Change(here, f"`{name}` in {path}", None, item)
    for index, (name, item) in enumerate(before.items()):
        if name not in after:
            yield Change(f"{path}[{index}]", f"`{name}` in {path}", item, None)
    earlier, later = [name for name in before if name in after], [name for name in after if name in before]
    if earlier != later:
        yield Change(path, f"order of {path}", list(before), list(after))


def _by_name(value: object) -> dict[str, dict[str, object]] | None:
    """Items of a list by their id or name; None if it is something else."""
    if value is None:
        return {}
    if not isinstance(value, list):
        return None
    found = {
        str(item.get("id") or item.get("name")): item
        for item in value
        if isinstance(item, dict) and (item.get("id") or item.get("name"))
    }
    return found if len(found) == len(value) else None


def _shown(value: object) -> str | None:
    """A value in a sentence; None if it is too long or has parts."""
    if isinstance(value, dict | None):
        return None
    if isinstance(value, str):
        return f"`{value}`" if len(value) <= _LONGEST_SHOWN and value.isprintable() else None
    text = f"{value:g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_SHOWN else None
