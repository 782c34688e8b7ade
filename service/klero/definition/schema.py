"""The JSON Schema of definition files, and which fields only the server sets.

The file is generated from the contract by `make schema`.
"""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message

    _M = TypeVar("_M", bound=Message)


def schema_text() -> str:
    """The schema, as editors read it."""
    return (resources.files("klero.definition") / "definition.schema.json").read_text(encoding="utf-8")


def authored(message: _M) -> _M:
    """A copy of a definition, or a part of one, with what its author wrote and nothing that the server set."""
    copy = type(message)()
    copy.CopyFrom(message)
    _clear(copy)
    return copy


def written_fields(of: Descriptor) -> list[str]:
    """Names of the fields of a message that mean something in a file."""
    server_sets = _read_only().get(of.name, frozenset())
    return [field.json_name for field in of.fields if field.json_name not in server_sets]


def _clear(message: Message) -> None:
    of = message.DESCRIPTOR
    server_sets = _read_only().get(of.name, frozenset())
    for field, value in message.ListFields():
        if field.json_name in server_sets:
            message.ClearField(field.name)
        elif field.message_type is None or field.message_type.file.package != of.file.package:
            continue
        elif not field.is_repeated:
            empty = not value.ListFields()
            _clear(value)
            if not (empty or value.ListFields()):
                message.ClearField(field.name)
        elif not field.message_type.GetOptions().map_entry:
            for item in value:
                _clear(item)


@functools.cache
def _read_only() -> dict[str, frozenset[str]]:
    """Names of such fields by message."""
    definitions = json.loads(schema_text())["definitions"]
    return {
        name: frozenset(field for field, about in each.get("properties", {}).items() if about.get("readOnly"))
        for name, each in definitions.items()
    }
