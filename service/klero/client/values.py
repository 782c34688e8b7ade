"""What callers hand over, checked and put into the contract's types, and configs on their way back.

A value of a wrong type is a mistake of the program and raises; what only the server can judge, such as
a number that is not finite, is left to it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, SupportsFloat

from klero.v1.decision_pb2 import AttributeValue, StringList

if TYPE_CHECKING:
    from google.protobuf.struct_pb2 import Struct, Value

# Beyond these a double no longer holds every integer, or an int no longer fits the contract.
_EXACT = 2.0**53
_INT64 = 2**63

Attribute = str | float | bool | Sequence[str] | None
"""What an attribute may be; ints stay ints, None is as good as absent."""


def text(name: str, value: object) -> str:
    """`value`, which has to be a string that is not empty.

    Raises:
        TypeError: It is no string.
        ValueError: It is empty.
    """
    if not isinstance(value, str):
        message = f"{name} must be a string, not {type(value).__name__}: {value!r}"
        raise TypeError(message)
    if not value:
        message = f"{name} must not be empty"
        raise ValueError(message)
    return value


def optional_text(name: str, value: object) -> str:
    """`value`, which has to be a string.

    Raises:
        TypeError: It is no string.
    """
    return "" if value == "" else text(name, value)


def number(name: str, value: object) -> float:
    """`value` as a double; what converts itself, such as a number of numpy, is taken.

    Raises:
        TypeError: It is no number.
        ValueError: It is larger than a double can be.
    """
    if isinstance(value, str | bytes) or not isinstance(value, SupportsFloat):
        message = f"{name} must be a number or a bool, not {type(value).__name__}: {value!r}"
        raise TypeError(message)
    try:
        return float(value)
    except OverflowError as error:
        message = f"{name} is larger than a double can be"
        raise ValueError(message) from error


def moment(name: str, value: datetime) -> datetime:
    """`value`, which has to be a datetime with its time zone.

    Raises:
        TypeError: It is no datetime.
        ValueError: It has no time zone, so no one knows when it was.
    """
    if not isinstance(value, datetime):
        message = f"{name} must be a datetime, not {type(value).__name__}: {value!r}"
        raise TypeError(message)
    if value.tzinfo is None:
        message = f"{name} must have a time zone, such as datetime.now(UTC)"
        raise ValueError(message)
    return value


def texts(name: str, value: Mapping[str, str]) -> dict[str, str]:
    """A copy of `value`, which has to have strings as names and as values.

    Raises:
        TypeError: It has not.
        ValueError: A name is empty.
    """
    return {
        text(f"name in {name}", key): optional_text(f"{name}[{key!r}]", item) for key, item in _mapping(name, value)
    }


def attributes(value: Mapping[str, Attribute]) -> dict[str, AttributeValue]:
    """Attributes as the contract has them; those that are None are left out.

    Raises:
        TypeError: A name is no string, or a value is of no known type.
        ValueError: A name is empty, or a number is not finite or too large.
    """
    return {
        text("name in attributes", key): _attribute(f"attributes[{key!r}]", item)
        for key, item in _mapping("attributes", value)
        if item is not None
    }


def plain(struct: Struct) -> dict[str, Any]:
    """A config as Python has it: doubles that hold an integer become ints; keys in their order, always the same."""
    return {key: _plain(value) for key, value in sorted(struct.fields.items())}


def _mapping(name: str, value: Mapping[str, Any]) -> list[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        message = f"{name} must be a mapping, not {type(value).__name__}: {value!r}"
        raise TypeError(message)
    return list(value.items())


def _attribute(name: str, value: object) -> AttributeValue:
    if isinstance(value, bool):
        return AttributeValue(bool_value=value)
    if isinstance(value, str):
        return AttributeValue(string_value=value)
    if isinstance(value, int):
        if not -_INT64 <= value < _INT64:
            message = f"{name} must fit into 64 bits: {value}"
            raise ValueError(message)
        return AttributeValue(int_value=value)
    if isinstance(value, float):
        if not math.isfinite(value):
            message = f"{name} must be finite: {value}"
            raise ValueError(message)
        return AttributeValue(double_value=value)
    if isinstance(value, Sequence) and all(isinstance(item, str) for item in value):
        return AttributeValue(list_value=StringList(values=value))
    message = f"{name} must be a string, number, bool or list of strings, not {type(value).__name__}: {value!r}"
    raise TypeError(message)


def _plain(value: Value) -> Any:  # noqa: ANN401  # JSON
    match value.WhichOneof("kind"):
        case "number_value":
            double = value.number_value
            return int(double) if abs(double) <= _EXACT and double.is_integer() else double
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return plain(value.struct_value)
        case "list_value":
            return [_plain(item) for item in value.list_value.values]
        case _:
            return None
