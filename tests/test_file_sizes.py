"""Files stay short enough to be read in one go."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [
    "service/**/*.py",
    "tests/**/*.py",
    "benches/**/*.py",
    "examples/**/*.py",
    "rust_core/**/*.rs",
    "proto/**/*.proto",
]
# Not counted, with the reason.
NOT_COUNTED = {
    "service/klero/v1/": "generated",
    "service/klero/storage/": "generated",
    "proto/klero/v1/": "the contract: a file per service, mostly comments that are its documentation",
}
MEDIAN_LINES = 150
MAX_LINES = 400
# Files above MAX_LINES, each with the reason why it is not split.
LONG_FILES: dict[str, str] = {}
PAGES = ["service/klero/**/__init__.py", "rust_core/src/lib.rs"]
# `if TYPE_CHECKING`, `__all__`, and the two functions by which Python looks up lazily (PEP 562).
LAZY_FUNCTIONS = {"__getattr__", "__dir__"}


def lines(path: Path) -> int:
    """Lines of a file."""
    return len(path.read_text(encoding="utf-8").splitlines())


def sources() -> dict[str, int]:
    """Lines by path, of every file that counts."""
    paths = {path for pattern in SOURCES for path in ROOT.glob(pattern)}
    relative = {str(path.relative_to(ROOT)): path for path in sorted(paths)}
    return {name: lines(path) for name, path in relative.items() if not name.startswith(tuple(NOT_COUNTED))}


def pages() -> list[Path]:
    """Package and crate pages."""
    found = {path for pattern in PAGES for path in ROOT.glob(pattern)}
    return sorted(path for path in found if not str(path.relative_to(ROOT)).startswith(tuple(NOT_COUNTED)))


def python_logic(source: str) -> list[str]:
    """Statements of an `__init__.py` that are neither docs nor re-exports."""
    return [ast.unparse(node) for node in ast.parse(source).body if not _is_page_statement(node)]


def _is_page_statement(node: ast.stmt) -> bool:
    if isinstance(node, ast.FunctionDef):
        return node.name in LAZY_FUNCTIONS
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING" and all(_is_page_statement(inner) for inner in node.body)
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    # Names of exports and the modules they come from.
    return isinstance(node, ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign)


def rust_logic(source: str) -> list[str]:
    """Items of a `lib.rs` that are neither docs, modules nor re-exports."""
    items = re.sub(r"//[^\n]*|#!?\[[^\]]*\]|(pub(\([\w ]+\))? )?(mod \w+|use [^;]+);", "", source)
    return [line for line in items.splitlines() if line.strip()]


def test_median() -> None:
    """A reader who opens a file at random should get one thought."""
    counted = sources().values()

    assert counted
    assert median(counted) < MEDIAN_LINES


def test_no_file_is_long_without_a_reason() -> None:
    """Above this length a file holds two nouns, unless the table says why not."""
    long = {name: count for name, count in sources().items() if count > MAX_LINES}

    assert set(LONG_FILES) == set(long), long


@pytest.mark.parametrize("path", pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_hold_docs_and_re_exports_only(path: Path) -> None:
    """Who imports a package runs none of its logic."""
    logic = rust_logic if path.suffix == ".rs" else python_logic

    assert [] == logic(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("source", ["def helper():\n    return 1", "if DEBUG:\n    import x", "run()", "class A: ..."])
def test_python_logic_is_found(source: str) -> None:
    """The check above must be able to fail."""
    assert len(python_logic(source)) == 1


@pytest.mark.parametrize("source", ["pub fn helper() -> u8 {", "struct A(u8);", "mod inline {", "impl A {"])
def test_rust_logic_is_found(source: str) -> None:
    """The check above must be able to fail."""
    assert len(rust_logic(source)) == 1
