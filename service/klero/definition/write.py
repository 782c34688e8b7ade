"""From messages to plain values, YAML and JSON. What is not set is left out."""

from __future__ import annotations

import base64
import json
import math
from typing import TYPE_CHECKING, Any, cast

from klero.definition import yaml_text
from klero.words import duration_text, enum_word

if TYPE_CHECKING:
    from google.protobuf.descriptor import FieldDescriptor
    from google.protobuf.message import Message

MAX_EXACT = 2**53
"""Largest integer up to which a double, and so most readers of JSON, tells neighbours apart."""

_VALUE_KINDS = {"string_value", "number_value", "bool_value"}


def to_mapping(message: Message) -> dict[str, object]:
    """Any message of the contract as plain values: lowerCamelCase names, words for enums, `7d`.

    64-bit integers beyond `MAX_EXACT` are text, as are numbers that are not finite.
    """
    return {field.json_name: _field(field, value) for field, value in message.ListFields()}


def to_yaml(message: Message) -> str:
    """A message as YAML that `parse` reads back."""
    return yaml_text.dump(to_mapping(message))


def to_json(message: Message) -> str:
    """A message as indented JSON that `parse` reads back."""
    return json.dumps(to_mapping(message), indent=2, ensure_ascii=False)


def _field(field: FieldDescriptor, value: Any) -> object:  # noqa: ANN401  # whatever the field holds
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        of = field.message_type.fields_by_name["value"]
        return {key: _single(of, value[key]) for key in sorted(value)}
    if field.is_repeated:
        return [_single(field, item) for item in value]
    return _single(field, value)


def _single(field: FieldDescriptor, value: Any) -> object:  # noqa: ANN401  # whatever the field holds
    if field.message_type is not None:
        return _message(value)
    if field.enum_type is not None:
        return enum_word(field.enum_type, value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return cast("object", value)
    return _number(value)


def _message(value: Any) -> object:  # noqa: ANN401  # well-known types have no common interface
    match value.DESCRIPTOR.full_name:
        case "google.protobuf.Duration":
            return duration_text(value)
        case "google.protobuf.Timestamp" | "google.protobuf.FieldMask":
            return value.ToJsonString()
        case "google.protobuf.Struct":
            return {key: _value(value.fields[key]) for key in sorted(value.fields)}
        case "google.protobuf.Value":
            return _value(value)
        case _:
            return to_mapping(value)


def _value(value: Any) -> object:  # noqa: ANN401  # google.protobuf.Value
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _message(value.struct_value)
    if kind == "list_value":
        return [_value(item) for item in value.list_value.values]
    if kind == "number_value":
        number = value.number_value
        # Config numbers are doubles on the wire; whoever wrote 3 wants to read 3.
        whole = number.is_integer() and abs(number) <= MAX_EXACT and str(number) != "-0.0"
        return int(number) if whole else _number(number)
    return getattr(value, kind) if kind in _VALUE_KINDS else None


def _number(value: float) -> object:
    if isinstance(value, int):
        return value if abs(value) <= MAX_EXACT else str(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value
