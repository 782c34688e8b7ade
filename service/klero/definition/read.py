"""From text and plain values to messages: every fault is found, with its path, before any is raised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from klero.definition import text
from klero.definition.near import did_you_mean
from klero.definition.places import joined
from klero.definition.scalars import describe, scalar
from klero.definition.schema import written_fields
from klero.definition.well_known import WELL_KNOWN
from klero.errors import FieldViolation, InvalidFieldError
from klero.v1.experiment_pb2 import Experiment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.descriptor import Descriptor, FieldDescriptor
    from google.protobuf.message import Message

_M = TypeVar("_M", bound="Message")


def parse(text_: str, *, source_name: str) -> Experiment:
    """The definition in a YAML or JSON text.

    Raises:
        InvalidFieldError: The text cannot be read, or fields are unknown or have wrong types; all of them.
    """
    return from_mapping(text.load(text_, source_name=source_name))


def from_mapping(mapping: Mapping[Any, object]) -> Experiment:
    """The definition in plain values.

    Raises:
        InvalidFieldError: Fields are unknown or have wrong types; all of them.
    """
    return message_from_mapping(mapping, Experiment)


def message_from_mapping(mapping: Mapping[Any, object], message_type: type[_M]) -> _M:
    """Any message of the contract from plain values; the inverse of `to_mapping`.

    Raises:
        InvalidFieldError: Fields are unknown or have wrong types; all of them.
    """
    reader = _Reader()
    message = message_type()
    reader.message(message, mapping, "")
    if reader.violations:
        raise InvalidFieldError(tuple(reader.violations))
    return message


class _Reader:
    """One walk over the values; collects what is wrong on the way."""

    def __init__(self) -> None:
        self.violations: list[FieldViolation] = []

    def message(self, message: Any, value: object, path: str) -> None:  # noqa: ANN401  # fields by name
        """Fill `message` from `value`."""
        descriptor = message.DESCRIPTOR
        if descriptor.full_name in WELL_KNOWN:
            WELL_KNOWN[descriptor.full_name](message, value, path, self._refuse)
            return
        if not isinstance(value, dict):
            self._refuse(path, f"{describe(value)} is not allowed here, write a mapping of fields")
            return
        given: dict[str, str] = {}
        for key, item in value.items():
            field = _field(descriptor, key)
            here = joined(path, key)
            if field is None:
                names = written_fields(descriptor)
                near = did_you_mean(str(key), names) or f", the fields here are {', '.join(names)}"
                self._refuse(here, f"unknown field{near}")
                continue
            # An optional scalar is a oneof of its own.
            group = field.containing_oneof.name if field.containing_oneof else field.name
            if item is None:
                continue
            if group in given:
                both = "is given twice" if given[group] == field.json_name else f"cannot stand beside `{given[group]}`"
                self._refuse(here, f"`{key}` {both}")
                continue
            given[group] = field.json_name
            self._into(message, field, item, joined(path, field.json_name))

    def _into(self, message: Any, field: FieldDescriptor, value: object, path: str) -> None:  # noqa: ANN401  # as above
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            self._map(getattr(message, field.name), field, value, path)
        elif field.is_repeated:
            self._list(getattr(message, field.name), field, value, path)
        elif field.message_type is not None:
            child = getattr(message, field.name)
            child.SetInParent()
            self.message(child, value, path)
        else:
            found = scalar(field, value, path, self._refuse)
            if found is not None:
                setattr(message, field.name, found)

    def _list(self, target: Any, field: FieldDescriptor, value: object, path: str) -> None:  # noqa: ANN401  # as above
        if not isinstance(value, list):
            self._refuse(path, f"{describe(value)} is not allowed here, write a list, each item on a line with `- `")
            return
        for index, item in enumerate(value):
            here = f"{path}[{index}]"
            if field.message_type is not None:
                self.message(target.add(), item, here)
                continue
            found = scalar(field, item, here, self._refuse)
            if found is not None:
                target.append(found)

    def _map(self, target: Any, field: FieldDescriptor, value: object, path: str) -> None:  # noqa: ANN401  # as above
        if not isinstance(value, dict):
            self._refuse(path, f"{describe(value)} is not allowed here, write a mapping")
            return
        entry = cast("Descriptor", field.message_type)
        of = entry.fields_by_name["value"]
        for key, item in value.items():
            here = joined(path, key)
            if not isinstance(key, str):
                self._refuse(here, f'the key {describe(key)} must be text: write "{key}"')
            elif of.message_type is not None:
                self.message(target[key], item, here)
            else:
                found = scalar(of, item, here, self._refuse)
                if found is not None:
                    target[key] = found

    def _refuse(self, path: str, description: str) -> None:
        self.violations.append(FieldViolation(field=path, description=description))


def _field(descriptor: Descriptor, key: object) -> FieldDescriptor | None:
    return next((field for field in descriptor.fields if key in {field.json_name, field.name}), None)
