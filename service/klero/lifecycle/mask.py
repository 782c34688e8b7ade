"""Which fields an update takes over: from an update mask, or from what is set.

Paths are those of `google.protobuf.FieldMask`: names of fields, with a dot between, into messages
that are no lists. Names in lowerCamelCase, as in files, are taken as well.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

from klero.errors import FieldViolation, InvalidFieldError
from klero.lifecycle.statuses import changed_copy
from klero.lifecycle.transitions import OUTPUT_ONLY
from klero.v1.experiment_pb2 import Experiment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from google.protobuf.descriptor import Descriptor, FieldDescriptor
    from google.protobuf.message import Message

ALL = "*"

_IDENTITY = ("id", "namespace")
_SET_BY_SERVER = frozenset(
    {
        *OUTPUT_ONLY,
        "analysis_plan.frozen_at",
        "analysis_plan.digest",
        "control.is_control",
        "control.config_digest",
    }
)


def merged(stored: Experiment, given: Experiment, paths: Sequence[str]) -> Experiment:
    """`stored` with what an update says, still to be checked; what only the server sets stays.

    Args:
        stored: Before the update.
        given: Has the new values.
        paths: Fields to take over, cleared where `given` has none. `*`: all. Empty: the fields that are set.

    Raises:
        InvalidFieldError: A path is none of a field that can be updated; names all of them.

    """
    if list(paths) == [ALL]:
        result = changed_copy(given)
        for name in _IDENTITY:
            setattr(result, name, getattr(stored, name))
    else:
        result = changed_copy(stored)
        for path in _checked(paths) if paths else _set_paths(given):
            _take_over(result, given, path.split("."))
    _keep_output_only(result, stored)
    return result


def _keep_output_only(result: Experiment, stored: Experiment) -> None:
    for name in OUTPUT_ONLY:
        _take_over(result, stored, [name])
    for name in ("frozen_at", "digest"):
        _take_over(result, stored, ["analysis_plan", name])
    # A plan without content is none.
    if not stored.HasField("analysis_plan") and not result.analysis_plan.ListFields():
        result.ClearField("analysis_plan")


def _take_over(target: Message, source: Message, path: Sequence[str]) -> None:
    name, rest = path[0], path[1:]
    if rest:
        # To clear a part of what there is not is no change: not even an empty message appears.
        if target.HasField(name) or _has(source, path):
            _take_over(getattr(target, name), getattr(source, name), rest)
        return
    target.ClearField(name)
    only = type(source)()
    only.CopyFrom(source)
    for field, _ in source.ListFields():
        if field.name != name:
            only.ClearField(field.name)
    target.MergeFrom(only)


def _has(message: Message, path: Sequence[str]) -> bool:
    """Whether the path leads to something that is set."""
    found: Any = message
    for name in path:
        values = {field.name: value for field, value in found.ListFields()}
        if name not in values:
            return False
        found = values[name]
    return True


def _set_paths(given: Experiment) -> Iterator[str]:
    for path in _leaves("", given):
        if path.split(".")[0] not in _IDENTITY and path not in _SET_BY_SERVER:
            yield path


def _leaves(prefix: str, message: Message) -> Iterator[str]:
    for field, value in message.ListFields():
        if _has_parts(field):
            yield from _leaves(f"{prefix}{field.name}.", value)
        else:
            yield f"{prefix}{field.name}"


def _has_parts(field: FieldDescriptor) -> bool:
    """Whether a path can lead into the field: a message of the contract that is no list."""
    message = field.message_type
    return message is not None and not field.is_repeated and message.file.package == Experiment.DESCRIPTOR.file.package


def _checked(paths: Sequence[str]) -> list[str]:
    found, violations = [], []
    for index, given in enumerate(paths):
        path = ".".join(_snake(part) for part in given.split("."))
        problem = _problem(path)
        if problem:
            violations.append(FieldViolation(f"updateMask.paths[{index}]", f"`{given}` {problem}"))
        found.append(path)
    if violations:
        raise InvalidFieldError(tuple(violations))
    return found


def _problem(path: str) -> str:
    if path == ALL:
        return "must be the only path"
    if path in _IDENTITY:
        return "says which experiment is meant and cannot change"
    if path in _SET_BY_SERVER or path.split(".", maxsplit=1)[0] in OUTPUT_ONLY:
        return "is set by the server alone"
    descriptor: Descriptor | None = Experiment.DESCRIPTOR
    parents = ""
    for part in path.split("."):
        if descriptor is None:
            return "leads into a field that can only be set as a whole"
        field = descriptor.fields_by_name.get(part)
        if field is None:
            near = difflib.get_close_matches(part, descriptor.fields_by_name, n=1)
            hint = f", did you mean `{parents}{near[0]}`?" if near else f"; {descriptor.name} has none called `{part}`"
            return f"is no field{hint}"
        descriptor = field.message_type if _has_parts(field) else None
        parents += f"{part}."
    return ""


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()
