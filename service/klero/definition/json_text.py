"""From JSON text to plain values; repeated keys and deep nesting are refused."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from klero.definition.places import Document, Place, TextError, joined
from klero.definition.written import written_float, written_int

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_DEPTH = 32
"""Deepest nesting of lists and mappings; readers of protobuf allow a hundred messages, three a mapping."""

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
_START = Place(1, 1)


class NotJsonError(TextError):
    """The text is no JSON at all; it may still be YAML."""


class _RepeatedKeyError(Exception):
    """A key stands twice in one mapping."""


def documents(text: str, source_name: str) -> list[Document]:
    """The one mapping of a JSON text.

    Raises:
        NotJsonError: It breaks the syntax of JSON.
        TextError: It is nested too deeply, repeats a key, or is no mapping.
    """
    try:
        values = json.loads(text, object_pairs_hook=_unique, parse_int=written_int, parse_float=written_float)
    except RecursionError as error:
        raise _too_deep(source_name) from error
    except _RepeatedKeyError as error:
        raise _repeated(text, source_name) from error
    except json.JSONDecodeError as error:
        problem = f"not JSON: {error.msg[:1].lower()}{error.msg[1:]}"
        if error.msg == "Extra data":
            problem = "a JSON file holds one definition, and this begins another"
        raise NotJsonError(source_name, problem, Place(error.lineno, error.colno)) from error
    if _depth(values) > MAX_DEPTH:
        raise _too_deep(source_name)
    if not isinstance(values, dict):
        kind = "a list" if isinstance(values, list) else "a single value"
        problem = f"{kind} is not allowed here, write one definition as a mapping of fields"
        raise TextError(source_name, problem, _START)
    return [Document(values, source_name, _START, lambda: places(text))]


def places(text: str) -> Iterator[tuple[str, Place]]:
    """Path and place of each key and list item of a JSON text, in its order."""
    # Of each open list or mapping: its path, and the index of the item; None in a mapping.
    outer: list[tuple[str, int | None]] = []
    key, reads_key = "", False
    line, counted = 1, 0
    for token in _TOKEN.finditer(text):
        found = token[0]
        line += text.count("\n", counted, token.start())
        counted = token.start()
        place = Place(line, counted - text.rfind("\n", 0, counted))
        path, index = outer[-1] if outer else ("", None)
        if found == ",":
            reads_key = index is None
            if index is not None:
                outer[-1] = (path, index + 1)
        elif found == ":":
            reads_key = False
        elif found in "}]":
            outer = outer[:-1]
            reads_key = False
        elif reads_key:
            key = joined(path, json.loads(found))
            yield key, place
        else:
            if index is not None:
                key = f"{path}[{index}]"
                yield key, place
            if found in "{[":
                outer.append((key, None if found == "{" else 0))
                reads_key = found == "{"


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _RepeatedKeyError
    return found


def _repeated(text: str, source_name: str) -> TextError:
    seen: dict[str, Place] = {}
    path, place = next(each for each in places(text) if seen.setdefault(*each) is not each[1])
    key = path.rpartition(".")[2]
    return TextError(source_name, f"`{key}` is given twice, first in line {seen[path].line}", place)


def _too_deep(source_name: str) -> TextError:
    return TextError(source_name, f"nested deeper than {MAX_DEPTH} levels")


def _depth(value: object) -> int:
    """Levels of lists and mappings; the levels are walked, not recursed into."""
    depth, level = 0, [value]
    while level := [inner for outer in level for inner in _inner(outer)]:
        depth += 1
    return depth


def _inner(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
