"""Which definitions a list has: equalities joined by AND, the part of AIP-160 that lists need."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, TypeAlias

from klero.errors import FieldViolation, InvalidFieldError
from klero.v1.experiment_pb2 import Experiment, ExperimentStatus, ExperimentType
from klero.words import enum_number, enum_words

if TYPE_CHECKING:
    from collections.abc import Callable

    Condition: TypeAlias = Callable[[Experiment], bool]

_TEXTS = ("owner", "layer_id", "entity_type")
_ENUMS = {"status": ExperimentStatus.DESCRIPTOR, "type": ExperimentType.DESCRIPTOR}
_FIELDS = (*_ENUMS, *_TEXTS, "labels.<key>")
_LABEL = "labels."
_QUOTED = r""""((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'"""
# Keys of labels may have any character: those with others than these stand in quotes.
_NAME = re.compile(rf"labels\.(?:{_QUOTED})|([\w.\-]+)", re.DOTALL)
_VALUE = re.compile(rf"""{_QUOTED}|([^\s"'=<>!()]+)""", re.DOTALL)
_MAX_CHARS = 4096


def conditions(text: str) -> Condition:
    """Whether an experiment passes the filter `text`; without any, all pass but archived ones.

    Raises:
        InvalidFieldError: It is no filter; says from which character on.
    """
    if not text.strip():
        return lambda experiment: experiment.status != ExperimentStatus.EXPERIMENT_STATUS_ARCHIVED
    if len(text) > _MAX_CHARS:
        msg = f"has {len(text)} characters; at most {_MAX_CHARS} are allowed"
        raise FilterError(msg)
    all_of_them = [_condition(*term) for term in _terms(text)]
    return lambda experiment: all(holds(experiment) for holds in all_of_them)


def _terms(text: str) -> list[tuple[str, str]]:
    """Names with their values: `a = b AND c = "d e"`."""
    terms: list[tuple[str, str]] = []
    rest = text.lstrip()
    while True:
        name = _NAME.match(rest)
        if name is None:
            raise _unexpected(text, rest, f"one of {', '.join(_FIELDS)}")
        rest = rest[name.end() :].lstrip()
        if not rest.startswith("="):
            raise _unexpected(text, rest, "`=`, the only comparison of a filter")
        rest = rest[1:].lstrip()
        value = _VALUE.match(rest)
        if value is None:
            raise _unexpected(text, rest, "a value, in quotes if it has blanks")
        field = _said(name) if name.group(3) is not None else f"{_LABEL}{_said(name)}"
        terms.append((field, _said(value)))
        rest = rest[value.end() :].lstrip()
        if not rest:
            return terms
        joined = re.match(r"AND(?!\S)", rest)
        if joined is None:
            raise _unexpected(text, rest, "`AND`, the only way to join conditions")
        rest = rest[joined.end() :].lstrip()


def _said(found: re.Match[str]) -> str:
    """What stands in quotes, or without any."""
    plain = found.group(3)
    return (
        plain if plain is not None else re.sub(r"\\(.)", r"\1", found.group(1) or found.group(2) or "", flags=re.DOTALL)
    )


def _condition(name: str, value: str) -> Condition:
    key = name.removeprefix(_LABEL)
    if key and key != name:
        return lambda experiment: key in experiment.labels and experiment.labels[key] == value
    field = re.sub(r"(?<=[a-z])([A-Z])", r"_\1", name).lower()
    if field in _TEXTS:
        return lambda experiment: getattr(experiment, field) == value
    if field in _ENUMS:
        enum = _ENUMS[field]
        number = enum_number(enum, value)
        if number is None:
            msg = f"{field} `{value}` must be one of {', '.join(enum_words(enum))}"
            raise FilterError(msg)
        return lambda experiment: getattr(experiment, field) == number
    near = difflib.get_close_matches(field, _FIELDS, n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(_FIELDS)}"
    msg = f"has no field `{name}`: {hint}"
    raise FilterError(msg)


class FilterError(InvalidFieldError):
    """The text is no filter that is served."""

    def __init__(self, description: str) -> None:
        """Say what is wrong with `filter`."""
        super().__init__((FieldViolation("filter", description),))


def _unexpected(text: str, rest: str, expected: str) -> FilterError:
    place = len(text) - len(rest) + 1
    found = f"`{rest.split(maxsplit=1)[0]}`" if rest else "the end"
    return FilterError(f"character {place}: {found}, expected {expected}")
