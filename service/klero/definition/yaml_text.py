"""From YAML text to plain values, within bounds, and back.

YAML as version 1.2 has it: only `true` and `false` are booleans, so a variant may be called `on`,
and times stay text. Anchors are refused: a few lines of them can grow to gigabytes.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, cast

import yaml

from klero.definition.json_text import MAX_DEPTH
from klero.definition.places import Document, Place, TextError, joined, place_at
from klero.definition.written import written_float, written_int

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_VALUES = 50_000
"""Most keys, items and values of one text; it takes about a second to read as many."""

_INT = re.compile(r"^[-+]?[0-9]+$")
_FLOAT = re.compile(
    r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
_NUMBER_STARTS = list("-+.0123456789")
_TAG = "tag:yaml.org,2002:"
# Of what the parser says, and what it means to somebody who wrote a file.
_WORDS = {
    "mapping values are not allowed": "a second `:` in one line: put text with a colon in quotes, "
    "and give each field a line of its own",
    "could not find expected ':'": "a `:` is missing, write `field: value`",
    "<stream end>": "a bracket is still open at the end of the file",
    "<block end>": "this does not fit the lines above: check its indentation and the brackets",
    "unexpected end of stream": "a quote or bracket is still open at the end of the file",
}


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars, no anchors, no tags, no repeated keys, bounded depth and length."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # PyYAML's way: replaced, not shared
    depth = 0
    values = 0

    def compose_node(self, parent: Any, index: Any) -> Any:  # noqa: ANN401  # as PyYAML declares it
        event = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML's stub leaves it out
        self.depth += 1
        self.values += 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            _refuse("anchors and aliases are not allowed, write the value out", event.start_mark)
        if getattr(event, "tag", None):
            _refuse("tags such as `!!str` are not allowed, put text in quotes", event.start_mark)
        if self.depth > MAX_DEPTH:
            _refuse(f"nested deeper than {MAX_DEPTH} levels", event.start_mark)
        if self.values > MAX_VALUES:
            _refuse(f"more than {MAX_VALUES} keys and values in one file are not allowed", event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002  # as PyYAML declares it
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                _refuse("a list or mapping is not allowed as a key, write text", key.start_mark)
            if key.value in seen:
                _refuse(f"`{key.value}` is given twice, first in line {seen[key.value]}", key.start_mark)
            seen[key.value] = key.start_mark.line + 1
        return super().construct_mapping(node, deep=deep)

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        """Decimal only: YAML 1.1 reads `010` as 8 and `1:30` as 90."""
        text = str(node.value)
        return written_int(text) if _INT.match(text) else written_float(re.sub(r"\.(?=[iInN])", "", text))


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


def documents(text: str, source_name: str) -> list[Document]:
    """The mappings of a YAML text, which `---` separates; empty parts are left out.

    Raises:
        TextError: It cannot be read, or something in it is no mapping.
    """
    found = []
    try:
        loader = _Loader(text)
        while loader.check_node():
            node = cast("yaml.Node", loader.get_node())
            if isinstance(node, yaml.ScalarNode) and not node.value:
                continue
            values = loader.construct_document(node)
            if not isinstance(values, dict):
                kind = "a list" if isinstance(values, list) else "a single value"
                problem = f"{kind} is not allowed here, write a mapping of fields; `---` separates definitions"
                _refuse(problem, node.start_mark)
            places = partial(_places, node, "")
            found.append(Document(values, source_name, _place(node.start_mark), places))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise TextError(source_name, _in_words(error), _place(mark) if mark else None) from error
    except yaml.reader.ReaderError as error:
        problem = f"the character U+{ord(text[error.position]):04X} is not allowed in YAML"
        raise TextError(source_name, problem, place_at(text, error.position)) from error
    return found


def dump(mapping: Mapping[str, object]) -> str:
    """YAML of plain values, in their order."""
    return str(yaml.dump(mapping, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100))


def _places(node: yaml.Node, path: str) -> Iterator[tuple[str, Place]]:
    """Path and place of each key and list item."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = joined(path, key.value)
            yield here, _place(key.start_mark)
            yield from _places(value, here)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            here = f"{path}[{index}]"
            yield here, _place(item.start_mark)
            yield from _places(item, here)


def _refuse(problem: str, mark: yaml.Mark) -> NoReturn:
    raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _place(mark: yaml.Mark) -> Place:
    return Place(mark.line + 1, mark.column + 1)


def _in_words(error: yaml.MarkedYAMLError) -> str:
    """The parser's words, and better ones for what people meet most."""
    problem = str(error.problem or error)
    if "'\\t'" in problem:
        return "a tab is not allowed as indentation, use spaces"
    if token := re.match(r"found character '(.)' that cannot start any token", problem):
        return f"text cannot begin with {token[1]}, put it in quotes"
    return next((words for part, words in _WORDS.items() if part in problem), problem)
