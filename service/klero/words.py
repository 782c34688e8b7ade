"""How people write enum values and durations."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration

if TYPE_CHECKING:
    from google.protobuf.descriptor import EnumDescriptor

_SYMBOLS = {
    "GUARDRAIL_OPERATOR_GREATER_THAN": ">",
    "GUARDRAIL_OPERATOR_GREATER_OR_EQUAL": ">=",
    "GUARDRAIL_OPERATOR_LESS_THAN": "<",
    "GUARDRAIL_OPERATOR_LESS_OR_EQUAL": "<=",
}
# Nanoseconds; the order in which a duration is written.
_UNITS = {
    "d": 86_400_000_000_000,
    "h": 3_600_000_000_000,
    "m": 60_000_000_000,
    "s": 1_000_000_000,
    "ms": 1_000_000,
    "us": 1_000,
    "ns": 1,
}
_PART = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)(ms|us|ns|d|h|m|s)")
_NANOS = _UNITS["s"]
# What google.protobuf.Duration can hold.
_MAX_SECONDS = 315_576_000_000

DURATION_HINT = "write `7d`, `36h` or `90s`"


def enum_word(enum: EnumDescriptor, number: int) -> str:
    """The word of an enum value: `ab_test`, `>`; the number itself if this version has no name for it."""
    value = enum.values_by_number.get(number)
    if value is None:
        return str(number)
    return _SYMBOLS.get(value.name) or value.name.removeprefix(_prefix(enum)).lower()


def enum_words(enum: EnumDescriptor) -> list[str]:
    """Every word that may be written, in the order of the contract; the unspecified value is none."""
    return [enum_word(enum, value.number) for value in enum.values if value.number]


def enum_number(enum: EnumDescriptor, word: str) -> int | None:
    """Number of a word or of a full name such as `EXPERIMENT_TYPE_AB_TEST`; `None` if it is neither."""
    for value in enum.values:
        if value.number and word in {value.name, enum_word(enum, value.number)}:
            return int(value.number)
    return None


def duration_text(duration: Duration) -> str:
    """A duration as people write it: `7d`, `36h`, `1h30m`, `250ms`, `0s`."""
    left = duration.seconds * _NANOS + duration.nanos
    sign, left = ("-", -left) if left < 0 else ("", left)
    if left and left % _UNITS["d"] == 0:
        return f"{sign}{left // _UNITS['d']}d"
    text = ""
    for unit, nanos in list(_UNITS.items())[1:]:
        count, left = divmod(left, nanos)
        if count:
            text += f"{count}{unit}"
    return sign + text if text else "0s"


def parse_duration(text: str) -> Duration | None:
    """Read `7d`, `1h30m`, `1.5s`; `None` if it is no duration, not whole nanoseconds, or too long."""
    body = text.removeprefix("-")
    parts = _PART.findall(body)
    if not parts or "".join(number + unit for number, unit in parts) != body:
        return None
    nanos = sum(Decimal(number) * _UNITS[unit] for number, unit in parts)
    if nanos != int(nanos) or nanos > _MAX_SECONDS * _NANOS:
        return None
    seconds, rest = divmod(int(nanos), _NANOS)
    sign = -1 if body != text else 1
    return Duration(seconds=sign * seconds, nanos=sign * rest)


def _prefix(enum: EnumDescriptor) -> str:
    """What all names of the enum begin with: `ExperimentType` gives `EXPERIMENT_TYPE_`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", enum.name).upper() + "_"
