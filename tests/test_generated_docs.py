"""The generated references are those of this program and this contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.generate import PAGES, api_page, commands_page
from docs.generate.descriptors import contract
from klero.v1 import (
    analysis_service_pb2,
    decision_pb2,
    decision_service_pb2,
    error_reason_pb2,
    events_pb2,
    experiment_pb2,
    experiment_service_pb2,
    results_pb2,
)

ROOT = Path(__file__).parents[1]
FILES = [
    module.DESCRIPTOR
    for module in (
        analysis_service_pb2,
        decision_pb2,
        decision_service_pb2,
        error_reason_pb2,
        events_pb2,
        experiment_pb2,
        experiment_service_pb2,
        results_pb2,
    )
]


@pytest.mark.parametrize("name", PAGES)
def test_page_is_up_to_date(name: str) -> None:
    """Whoever changes an option or a comment runs `make docs`."""
    assert PAGES[name]() == (ROOT / name).read_text(encoding="utf-8"), "run `make docs`"


def test_everything_of_the_contract_is_there() -> None:
    """By the generated stubs, another way than that of the page."""
    lines = set(api_page().splitlines())
    rows = {tuple(cell.strip() for cell in line.split("|")[1:3]) for line in lines if line.startswith("| `")}

    assert {f"{source.file.name}" for source in contract()} == {file.name for file in FILES}
    for file in FILES:
        for service in file.services_by_name.values():
            assert f"### {service.name}" in lines
            assert {f"#### {method.name}" for method in service.methods} <= lines
        for message in file.message_types_by_name.values():
            assert f"### {message.name}" in lines
            assert {(f"`{field.name}`", str(field.number)) for field in message.fields} <= rows
        for enum in file.enum_types_by_name.values():
            assert f"### {enum.name}" in lines
            assert {(f"`{value.name}`", str(value.number)) for value in enum.values} <= rows


def test_rows_have_type_and_comment() -> None:
    """Some rows of each kind, as they are read."""
    page = api_page()

    for row in (
        "| `entity_id` | 2 | string | As in Context. |",
        "| `entities` | 4 | map of string to string | As in Context. |",
        "| `decisions` | 1 | repeated [Decision](#decision) | In the order of contexts,",
        "| `value` | 3 | optional double | Finite. Unset: 1. |",
        "| `string_value` | 1 | string | One of `kind`. CEL string. |",
        "| `DURABILITY_DISK` | 2 | Kill and power loss of the machine, not loss of its disk. |",
        "[WatchSnapshotRequest](#watchsnapshotrequest) → a stream of [WatchSnapshotResponse](#watchsnapshotresponse)",
    ):
        assert row in page


def test_links_lead_somewhere() -> None:
    """Every heading is an anchor, and every link names one."""
    for page in (api_page(), commands_page()):
        anchors = {
            line.lstrip("# ").lower().replace(" ", "-").replace(".", "")
            for line in page.splitlines()
            if line[:1] == "#"
        }
        linked = {part.split(")")[0] for part in page.split("](#")[1:]}

        assert linked
        assert linked <= anchors
