"""From YAML or JSON text to plain values, within bounds, and back to YAML.

YAML as version 1.2 has it: only `true` and `false` are booleans, so a variant may be called `on`,
and times stay text. Anchors are refused: a few lines of them can grow to gigabytes.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NoReturn

import yaml

from klero.errors import FieldViolation, InvalidFieldError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BYTES = 1024 * 1024
"""Longest text that is read, in UTF-8."""

MAX_DEPTH = 64
"""Deepest nesting of lists and mappings."""

_INT = re.compile(r"^[-+]?[0-9]+$")
_FLOAT = re.compile(
    r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
_NUMBER_STARTS = list("-+.0123456789")
_TAG = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars, no anchors, no repeated keys, bounded depth."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # PyYAML's way: replaced, not shared
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:  # noqa: ANN401  # as PyYAML declares it
        event = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML's stub leaves it out
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise yaml.MarkedYAMLError(problem="anchors and aliases are not allowed", problem_mark=event.start_mark)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem=f"deeper than {MAX_DEPTH} levels", problem_mark=event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002  # as PyYAML declares it
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"`{key.value}` is given twice", problem_mark=key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep=deep)

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        """Decimal only: YAML 1.1 reads `010` as 8 and `1:30` as 90."""
        text = str(node.value)
        try:
            return int(text) if _INT.match(text) else float(re.sub(r"\.(?=[iInN])", "", text))
        except ValueError as error:
            raise yaml.MarkedYAMLError(problem="not a number", problem_mark=node.start_mark) from error


class _Dumper(yaml.SafeDumper):
    """Quotes whatever any version of YAML would read as something else than text."""

    def ignore_aliases(self, _data: object) -> bool:
        return True

    def represent_text(self, text: str) -> yaml.ScalarNode:
        """In double quotes where a character would not come back as it is, such as other line ends."""
        plain = all(character.isprintable() or character == "\n" for character in text)
        return self.represent_scalar(f"{_TAG}str", text, style=None if plain else '"')


_Loader.add_implicit_resolver(f"{_TAG}bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver(f"{_TAG}null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver(f"{_TAG}int", _INT, _NUMBER_STARTS)
_Loader.add_implicit_resolver(f"{_TAG}float", _FLOAT, _NUMBER_STARTS)
_Loader.add_constructor(f"{_TAG}int", _Loader.construct_number)
_Loader.add_constructor(f"{_TAG}float", _Loader.construct_number)
_Dumper.add_representer(str, _Dumper.represent_text)
_Dumper.add_implicit_resolver(f"{_TAG}float", _FLOAT, _NUMBER_STARTS)


def load(text: str, *, source_name: str) -> Mapping[object, object]:
    """Read the one mapping that `text` holds.

    Args:
        text: YAML or JSON of at most `MAX_BYTES`.
        source_name: Names the text in errors; `*.json` is read as JSON only.

    Raises:
        InvalidFieldError: It cannot be read, or is no mapping; says where.
    """
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        _refuse(f"{source_name} is longer than {MAX_BYTES} bytes")
    value = _load_any(text, source_name)
    if _depth(value) > MAX_DEPTH:
        _refuse(f"{source_name} is nested deeper than {MAX_DEPTH} levels")
    if not isinstance(value, dict):
        _refuse(f"{source_name} must hold one mapping of fields, such as `id: my-experiment`")
    return value


def dump(mapping: Mapping[str, object]) -> str:
    """YAML of plain values, in their order."""
    return str(yaml.dump(mapping, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100))


def _load_any(text: str, source_name: str) -> object:
    is_json = source_name.endswith(".json")
    if is_json or text.lstrip().startswith("{"):
        try:
            return json.loads(text, object_pairs_hook=lambda pairs: _unique(pairs, source_name))
        except RecursionError:
            _refuse(f"{source_name} is nested deeper than {MAX_DEPTH} levels")
        except ValueError as error:
            # A flow mapping of YAML begins like JSON.
            if is_json:
                _refuse(f"{source_name} is not JSON: {error}")
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506  # derived from SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        _refuse(f"{source_name}{where}: {error.problem or error}")
    except yaml.YAMLError as error:
        _refuse(f"{source_name} is not YAML: {error}")


def _unique(pairs: list[tuple[str, object]], source_name: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            _refuse(f"{source_name}: `{key}` is given twice")
        found[key] = value
    return found


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


def _refuse(description: str) -> NoReturn:
    raise InvalidFieldError((FieldViolation(field="", description=description),))
