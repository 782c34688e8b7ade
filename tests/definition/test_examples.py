"""The definitions under `examples/` are what people copy."""

from __future__ import annotations

from pathlib import Path

import pytest

from klero import definition, engine

FILES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_example_can_be_created_and_shown(file: Path) -> None:
    """Whoever begins with a copy of it must not meet an error of ours."""
    read = definition.parse(file.read_text(encoding="utf-8"), source_name=file.name)

    stored, warnings = engine.admit(read)

    assert [] == [warning.field for warning in warnings]
    assert stored == definition.parse(definition.to_yaml(stored), source_name=file.name)
