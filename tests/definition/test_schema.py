"""The JSON Schema of definition files against the contract, the rules of the core and the examples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft7Validator

from klero import definition, engine
from klero.cli import main
from klero.errors import InvalidFieldError
from tests.definition.faulty import Case, cases
from tests.make_schema import BOUNDS, REQUIRED, TARGET, schema_text

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads(definition.schema_text())
VALIDATOR = Draft7Validator(SCHEMA)
MINIMAL = {"id": "e", "type": "ab_test", "control": {"id": "a"}, "variants": [{"id": "b"}]}
METRIC = {"name": "m", "type": "conversion"}


def faults(values: Mapping[Any, object]) -> list[str]:
    """What an editor underlines."""
    return [fault.json_path for fault in VALIDATOR.iter_errors(json.loads(json.dumps(values)))]


def test_the_schema_is_generated(capsys: pytest.CaptureFixture[str]) -> None:
    """A field of the contract reaches editors; `make schema` writes the file."""
    assert schema_text() == TARGET.read_text(encoding="utf-8")
    assert 0 == main(["schema"])
    assert schema_text() == capsys.readouterr().out
    Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.stem)
def test_an_editor_is_content_with_an_example(path: Path) -> None:
    """As it is written, and as `klero show` prints it."""
    (document,) = definition.documents(path.read_text(encoding="utf-8"), source_name=path.name)
    stored, _ = engine.admit(definition.from_mapping(document.values))

    assert [] == faults(document.values)
    assert [] == faults(dict(definition.to_mapping(stored)))


@pytest.mark.parametrize("case", [case for case in cases() if case.add is not None], ids=lambda case: case.says[0][:80])
def test_an_editor_finds_a_fault_unless_the_table_says_it_cannot(case: Case) -> None:
    """Most faults are seen while typing."""
    text, name = case.source()
    (document,) = definition.documents(text, source_name=name)

    assert case.beyond_schema == (not faults(document.values))


@pytest.mark.parametrize(
    ("owner", "field"), [(name, field) for name in ("Experiment", "Variant", "Metric") for field in REQUIRED[name]]
)
def test_what_the_schema_requires_the_core_requires(owner: str, field: str) -> None:
    """An editor must not ask for what may be left out."""
    values = json.loads(json.dumps({**MINIMAL, "metrics": [METRIC]}))
    of = {"Experiment": values, "Variant": values["control"], "Metric": values["metrics"][0]}[owner]
    engine.admit(definition.from_mapping(values))
    del of[field]

    with pytest.raises(InvalidFieldError):
        engine.admit(definition.from_mapping(values))


@pytest.mark.parametrize(
    "path", [path for path, bound in BOUNDS.items() if "maxLength" in bound or "maxItems" in bound]
)
def test_what_the_schema_bounds_the_core_bounds(path: str) -> None:
    """As many are allowed, and one more is refused."""
    owner, field = path.split(".")
    most = int(str(next(iter(BOUNDS[path].values()))))

    def values(count: int) -> dict[str, object]:
        made = json.loads(json.dumps({**MINIMAL, "metrics": [METRIC]}))
        of = {"Experiment": made, "Variant": made["control"], "Metric": made["metrics"][0]}[owner]
        items = {
            "variants": [{"id": f"v{number}"} for number in range(count)],
            "metrics": [{**METRIC, "name": f"m{number}"} for number in range(count)],
        }
        of[field] = items.get(field, "x" * count)
        return dict(made)

    assert [] == faults(dict(values(most)))
    assert [] != faults(dict(values(most + 1)))
    engine.admit(definition.from_mapping(values(most)))
    with pytest.raises(InvalidFieldError):
        engine.admit(definition.from_mapping(values(most + 1)))
