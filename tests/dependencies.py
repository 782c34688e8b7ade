"""Finds what a source file depends on and holds it against tables of what it may.

A unit is the first name below the package: `klero.rpc.server` belongs to unit `rpc`, and
`rust_core/src/tally/shard.rs` to unit `tally`. A unit may use those of lower layers; one of the same
layer only where an exception says why.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

ROOT_UNIT = "__init__"
"""The package page itself, `klero/__init__.py`."""


@dataclass(frozen=True, slots=True)
class Layers:
    """Units from top to bottom, and the arrows inside a layer that are allowed, with their reason."""

    order: Sequence[frozenset[str]]
    exceptions: Mapping[tuple[str, str], str]

    def fault(self, unit: str, used: str) -> str | None:
        """What is wrong with `unit` using `used`; `None` if nothing is."""
        for name in (unit, used):
            if self._height(name) is None:
                return f"`{name}` has no place in the table"
        if unit == used or (unit, used) in self.exceptions:
            return None
        above, below = self._height(unit), self._height(used)
        return None if above is not None and below is not None and above < below else f"`{unit}` must not use `{used}`"

    def _height(self, unit: str) -> int | None:
        return next((height for height, units in enumerate(self.order) if unit in units), None)


def unit_of(path: Path, root: Path) -> str:
    """Unit of the file at `path` below the source directory `root`."""
    return path.relative_to(root).parts[0].split(".")[0]


def python_imports(source: str, units: frozenset[str]) -> Iterator[str]:
    """Dotted names that a Python file imports: at its top, inside functions, for types only.

    Args:
        source: The file's text; relative imports are banned by ruff and not looked at.
        units: Names below `klero`, so that `from klero import engine` is told from an attribute.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "klero":
            names = (alias.name for alias in node.names)
            yield from (f"klero.{name}" if name in units else f"klero.{ROOT_UNIT}" for name in names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def python_names(source: str) -> Iterator[str]:
    """Names that a Python file reads, dotted as they are written: `os.environ`, `open`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name | ast.Attribute):
            yield ast.unparse(node)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_or_below(name: str, module: str) -> bool:
    """Whether `name` is `module` or lies in it."""
    return name == module or name.startswith(f"{module}.")


def rust_code(source: str) -> str:
    """A Rust file without comments and without the tests at its end."""
    code = re.split(r"^#\[cfg\(test\)\]", source, maxsplit=1, flags=re.MULTILINE)[0]
    return re.sub(r"//[^\n]*", "", code)


def rust_units(source: str) -> set[str]:
    """Top-level modules that a Rust file uses by `crate::`."""
    code = rust_code(source)
    used = set(re.findall(r"\bcrate::(\w+)", code))
    for group in re.findall(r"\bcrate::\{([^;]*)\}", code):
        used.update(re.findall(r"(\w+)", _outermost(group)))
    return used


def _outermost(group: str) -> str:
    """First segments of the paths in a use group: `a::{b, c}, d` gives `a, d`."""
    while "{" in group:
        group = re.sub(r"\{[^{}]*\}", "", group)
    return ",".join(path.split("::")[0].split(" as ")[0] for path in group.split(","))
