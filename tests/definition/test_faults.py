"""What is said about each fault of a definition, word for word."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from klero import definition, engine
from tests.definition.faulty import Case, cases
from tests.dependencies import rust_code

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
CODEC = ROOT / "service" / "klero" / "definition"
MESSAGES_OF_CODEC = ("json_text.py", "read.py", "scalars.py", "text.py", "well_known.py", "yaml_text.py")
RULES = ROOT / "rust_core" / "src" / "snapshot"
EXEMPT = {
    "is not allowed, write base64": "no field of a definition holds bytes",
    "is no list of fields, write text such as `name,config.duration`": "no field of a definition is a field mask",
    "one definition is expected here, and this begins another": "`parse` and `load` only, see test_codec.py",
}
"""Messages that no definition file can draw, with the reason."""


@pytest.mark.parametrize("case", cases(), ids=lambda case: str(case.says[0])[:80])
def test_a_fault_is_said_word_for_word(case: Case) -> None:
    """Authors mend a file from the message alone; whoever changes one reads it again here."""
    assert list(case.says) == case.found()


@pytest.mark.parametrize("message", sorted({*EXEMPT}))
def test_an_exempt_message_still_exists(message: str) -> None:
    """An exemption without its message hides the next one."""
    assert any(message in text for text in written())


def test_every_message_has_a_case() -> None:
    """A rule without an example is a rule whose message nobody has read."""
    said = "\n".join(line for case in cases() for line in case.says)
    missing = [
        text for text in written() if not re.search(pattern(text), said) and not any(each in text for each in EXEMPT)
    ]

    assert [] == missing


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("control: {id: no}", "control", "no"),
        ("control: {id: off}", "control", "off"),
        ("control: {id: y}", "control", "y"),
        ("control: {id: 1_000}", "control", "1_000"),
        ("control: {id: 0x1f}", "control", "0x1f"),
        ("control: {id: 12:30:45}", "control", "12:30:45"),
        ("control: {id: 2026-01-31}", "control", "2026-01-31"),
        ("control: {id: =}", "control", "="),
    ],
)
def test_what_older_yaml_reads_as_something_else_is_text(text: str, field: str, value: str) -> None:
    """Norway has the code `no`, and a variant may be called `on`."""
    assert value == getattr(definition.parse(text, source_name="f.yaml"), field).id


def test_the_deepest_config_reaches_the_core() -> None:
    """What the rules allow must fit the nesting that readers of protobuf allow."""
    deep = "{k: " * 24 + "1" + "}" * 24
    text = f"id: e\ntype: ab_test\ncontrol: {{id: a, config: {deep}}}\nvariants: [{{id: b}}]\n"

    stored, _ = engine.admit(definition.parse(text, source_name="f.yaml"))
    assert stored.control.config.fields["k"].HasField("struct_value")


def written() -> Iterator[str]:
    """The texts of messages in the sources, placeholders as `{}`."""
    for name in MESSAGES_OF_CODEC:
        yield from _python_texts(ast.parse((CODEC / name).read_text(encoding="utf-8")))
    for path in [RULES / "rules.rs", RULES / "unserved.rs", *sorted((RULES / "rules").glob("*.rs"))]:
        if path.stem != "tests":
            yield from _rust_texts(rust_code(path.read_text(encoding="utf-8")))


def pattern(text: str) -> str:
    """A regular expression of what the message can be."""
    return ".*".join(re.escape(part) for part in re.split(r"\{[^{}]*\}", text))


def _python_texts(tree: ast.Module) -> Iterator[str]:
    left_out = {id(node) for outer in ast.walk(tree) for node in _no_messages(outer)}
    for node in ast.walk(tree):
        text = ""
        if isinstance(node, ast.JoinedStr):
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        if " " in text.strip() and id(node) not in left_out:
            yield text


def _no_messages(node: ast.AST) -> Iterator[ast.AST | None]:
    """Parts of `node` that are said to nobody."""
    match node:
        case ast.Expr(value=ast.Constant()):  # a docstring
            yield node.value
        case ast.Dict():  # what is looked for
            yield from node.keys
        case ast.Compare() | ast.Call(func=ast.Attribute(attr="match" | "compile")):
            yield from ast.walk(node)
        case ast.JoinedStr():  # whole, not in parts
            yield from node.values


def _rust_texts(code: str) -> Iterator[str]:
    for literal in re.findall(r'"((?:[^"\\]|\\.)*)"', code, flags=re.DOTALL):
        text = re.sub(r"\\\n\s*", "", literal)
        if " " in text.strip():
            yield text
