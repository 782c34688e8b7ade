"""Single values of fields: text, numbers, booleans, enum words."""

from __future__ import annotations

import base64
import binascii
import math
import re
from typing import TYPE_CHECKING, TypeAlias

from google.protobuf.descriptor import FieldDescriptor

from klero.definition.near import did_you_mean
from klero.definition.written import spelling
from klero.words import enum_number, enum_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.descriptor import EnumDescriptor

    Refuse: TypeAlias = Callable[[str, str], None]
    """Takes the path of a fault and its description."""

_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_LONGEST_SHOWN = 40
_NUMBER = re.compile(r"[-+]?[0-9]{1,15}(?:\.[0-9]{1,15})?(?:[eE][-+]?[0-9]{1,3})?")
_LONGEST_INTEGER = 20


def describe(value: object) -> str:
    """A value as errors show it: the text or number itself, or what kind of value it is."""
    match value:
        case None:
            return "nothing"
        case bool():
            return f"the boolean `{str(value).lower()}`"
        case int() | float():
            return f"the number `{_shortened(spelling(value))}`"
        case str():
            return f"the text `{_shortened(value)}`"
        case list():
            return "a list"
        case _:
            return "a mapping"


def scalar(field: FieldDescriptor, value: object, path: str, refuse: Refuse) -> str | bytes | float | None:
    """The value for a field that is no message; `None` after a refusal."""
    if field.enum_type is not None:
        return _enum(field.enum_type, value, path, refuse)
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return _text(field, value, path, refuse)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        if isinstance(value, bool):
            return value
        refuse(path, f"{describe(value)} is not allowed, write true or false")
        return None
    if kind in _INTEGERS:
        return _integer(value, _INTEGERS[kind], path, refuse)
    return finite(value, path, refuse)


def finite(value: object, path: str, refuse: Refuse) -> float | None:
    """A finite double; `None` after a refusal."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            if math.isfinite(number := float(value)):
                return number
        except OverflowError:
            pass
    unquoted = isinstance(value, str) and _NUMBER.fullmatch(value)
    hint = f"write {value} without quotes" if unquoted else "write a finite number such as 0.5"
    refuse(path, f"{describe(value)} is not allowed, {hint}")
    return None


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "..."


def _text(field: FieldDescriptor, value: object, path: str, refuse: Refuse) -> str | bytes | None:
    if not isinstance(value, str):
        quoted = ""
        if isinstance(value, bool):
            quoted = f': put it in quotes, "{str(value).lower()}"'
        elif isinstance(value, int | float):
            quoted = f': put it in quotes, "{_shortened(spelling(value))}"'
        refuse(path, f"{describe(value)} is not allowed, write text{quoted}")
        return None
    try:
        encoded = value.encode()
        return value if field.type == FieldDescriptor.TYPE_STRING else base64.b64decode(encoded, validate=True)
    except UnicodeEncodeError:
        refuse(path, "half a surrogate pair is not allowed, write Unicode text")
    except binascii.Error:
        refuse(path, f"{describe(value)} is not allowed, write base64")
    return None


def _integer(value: object, bounds: tuple[int, int], path: str, refuse: Refuse) -> int | None:
    number = value
    # 64-bit numbers are text in JSON, and YAML writers turn 1000 into 1000.0.
    spelled = isinstance(value, str) and len(value) <= _LONGEST_INTEGER and value.removeprefix("-").isdecimal()
    if spelled or (isinstance(value, float) and value.is_integer()):
        number = int(value)  # type: ignore[call-overload]  # text or float, as the line above says
    if isinstance(number, int) and not isinstance(number, bool) and bounds[0] <= number <= bounds[1]:
        return number
    too_large = isinstance(number, int) and not isinstance(number, bool)
    allowed = f"from {bounds[0]} to {bounds[1]}" if too_large else "such as 1000"
    refuse(path, f"{describe(value)} is not allowed, write a whole number {allowed}")
    return None


def _enum(enum: EnumDescriptor, value: object, path: str, refuse: Refuse) -> int | None:
    number = enum_number(enum, value) if isinstance(value, str) else None
    if number is None:
        words = enum_words(enum)
        near = did_you_mean(value, words) if isinstance(value, str) else ""
        refuse(path, f"{describe(value)} is not allowed, write one of {', '.join(words)}{near}")
    return number
