"""What a change changed, field by field, for the audit trail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Value

from klero.v1.events_pb2 import FieldChange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.message import Message

# Set by every change, so they tell nothing.
_LEFT_OUT = frozenset({"createdAt", "updatedAt", "etag", "revision"})


def field_changes(before: Message | None, after: Message | None) -> list[FieldChange]:
    """Fields that differ, by JSON path; a list is one field. None: it is new, or gone."""
    old, new = ({} if each is None else json_format.MessageToDict(each) for each in (before, after))
    return list(_differences("", old, new))


def _differences(path: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[FieldChange]:
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        here = f"{path}.{key}" if path else key
        if old == new or here in _LEFT_OUT:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _differences(here, old, new)
            continue
        change = FieldChange(path=here)
        for value, target in ((old, "before"), (new, "after")):
            if value is not None:
                getattr(change, target).CopyFrom(json_format.ParseDict(value, Value()))
        yield change
