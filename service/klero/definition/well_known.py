"""Durations, times and free-form values: messages of protobuf that have a text form of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from klero.definition.scalars import describe, finite
from klero.definition.write import MAX_EXACT
from klero.words import DURATION_HINT, parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from google.protobuf.duration_pb2 import Duration
    from google.protobuf.field_mask_pb2 import FieldMask
    from google.protobuf.struct_pb2 import Struct, Value
    from google.protobuf.timestamp_pb2 import Timestamp

    from klero.definition.scalars import Refuse


def _duration(message: Duration, value: object, path: str, refuse: Refuse) -> None:
    found = parse_duration(value) if isinstance(value, str) else None
    if found is None:
        refuse(path, f"{describe(value)} is no duration with a unit, {DURATION_HINT}")
    else:
        message.CopyFrom(found)


def _timestamp(message: Timestamp, value: object, path: str, refuse: Refuse) -> None:
    try:
        if isinstance(value, str):
            message.FromJsonString(value)
            return
    except ValueError:
        pass
    refuse(path, f"{describe(value)} is no time, write RFC 3339 such as 2026-01-31T09:00:00Z")


def _field_mask(message: FieldMask, value: object, path: str, refuse: Refuse) -> None:
    if isinstance(value, str):
        message.FromJsonString(value)
    else:
        refuse(path, f"{describe(value)} is no list of fields, write text such as `name,config.duration`")


def _struct(message: Struct, value: object, path: str, refuse: Refuse) -> None:
    if not isinstance(value, dict):
        refuse(path, f"{describe(value)} is not allowed here, write a mapping")
        return
    for key, item in value.items():
        here = f"{path}.{key}"
        if isinstance(key, str):
            _value(message.fields[key], item, here, refuse)
        else:
            refuse(here, f'the key {describe(key)} must be text: write "{key}"')


def _value(message: Value, value: object, path: str, refuse: Refuse) -> None:
    match value:
        case None:
            message.null_value = 0  # type: ignore[assignment]  # the stub knows the enum only
        case bool():
            message.bool_value = value
        case str():
            message.string_value = value
        case dict():
            message.struct_value.SetInParent()
            _struct(message.struct_value, value, path, refuse)
        case list():
            message.list_value.SetInParent()
            for index, item in enumerate(value):
                _value(message.list_value.values.add(), item, f"{path}[{index}]", refuse)
        case int() if abs(value) > MAX_EXACT:
            refuse(path, f"{describe(value)} would lose digits: beyond 2^53, put it in quotes")
        case _:
            found = finite(value, path, refuse)
            if found is not None:
                message.number_value = found


WELL_KNOWN: Mapping[str, Callable[[Any, object, str, Refuse], None]] = {
    "google.protobuf.Duration": _duration,
    "google.protobuf.Timestamp": _timestamp,
    "google.protobuf.FieldMask": _field_mask,
    "google.protobuf.Struct": _struct,
    "google.protobuf.Value": _value,
}
"""Reader by full name of the message."""
