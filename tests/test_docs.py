"""The pages of `docs`: examples are computed, definitions are checked, links lead somewhere, pictures are as drawn."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import yaml

from docs.images.draw import pictures
from docs.images.sequence import ALPHA, LOOKS, simulate, telling
from klero import lifecycle
from klero.definition import parse
from klero.engine import admit
from klero.v1.decision_pb2 import DecisionReason
from klero.v1.experiment_pb2 import ExperimentStatus
from tests.docs_examples import Example, compute, examples, rows

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
CONCEPTS = (ROOT / "docs" / "concepts.md").read_text(encoding="utf-8")
EXAMPLES = list(examples((ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")))
READERS: dict[str, Callable[[str], object]] = {"yaml": yaml.safe_load, "json": json.loads, "python": ast.parse}

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def blocks(text: str, language: str) -> list[str]:
    """Code blocks of a language."""
    return [body for found, body in _BLOCK.findall(text) if found == language]


def anchors(page: Path) -> set[str]:
    """Targets of links into a page: its headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def shown_as(shown: str, value: float) -> str:
    """`value` with as many decimals as `shown` has."""
    return f"{value:.{len(shown.partition('.')[2])}f}"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_numbers_of_an_example(example: Example) -> None:
    """Who does the sums of a page by hand must get what the page and the server say."""
    computed = compute(example)

    assert example.metrics or example.counters
    for row in example.metrics:
        results = computed.views[row.get("view", "settled")]
        assert row["metric"] in {metric.name for metric in example.definition.metrics}
        found = results.variant_results["a"].metric_results[row["metric"]]
        assert (row["metric"], row["entities"]) == (row["metric"], str(found.sample_size))
        assert (row["metric"], row["value"]) == (row["metric"], shown_as(row["value"], found.value))
        assert row.get("missing", str(found.missing)) == str(found.missing)
    for row in example.counters:
        assert (row["counter"], row["value"]) == (row["counter"], str(getattr(computed.tally, row["counter"])))


def test_every_definition_of_metrics_belongs_to_an_example() -> None:
    """One outside would be checked by nobody."""
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")

    assert len(EXAMPLES) == len(blocks(page, "yaml")) >= 8


@pytest.mark.parametrize("text", blocks(CONCEPTS, "yaml"))
def test_definitions_of_concepts_can_be_applied(text: str) -> None:
    """People begin by copying."""
    assert admit(parse(text, source_name="concepts.md"))[0].id


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_can_be_read(page: Path) -> None:
    """A misplaced quote costs a reader an hour."""
    for language, body in _BLOCK.findall(page.read_text(encoding="utf-8")):
        READERS.get(language, str)(body)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """To a file of the repository, and to a heading in it."""
    for link in _LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


def test_reasons_of_decisions_have_their_names() -> None:
    """The reasons in the table are those of the answers."""
    tables = [rows(table) for table in re.findall(r"(?:^\|.*\|\n)+", CONCEPTS, re.MULTILINE)]
    (gates,) = [found for first, found in tables if first == "gate"]

    named = {reason for row in gates for reason in re.findall(r"[A-Z]{2,}(?:_[A-Z]+)*", row["reason"])}
    assert named <= {name.removeprefix("DECISION_REASON_") for name in DecisionReason.keys()}  # noqa: SIM118  # no dict
    assert {"SPLIT", "NOT_IN_TRAFFIC", "SHIPPED"} <= named


def test_every_status_is_explained() -> None:
    """Whoever meets a status finds it on the page."""
    tables = [rows(table) for table in re.findall(r"(?:^\|.*\|\n)+", CONCEPTS, re.MULTILINE)]
    (statuses,) = [found for first, found in tables if first == "status"]

    known = [number for number in ExperimentStatus.values() if number]
    assert [lifecycle.status_name(number) for number in known] == [row["status"] for row in statuses]


@pytest.mark.parametrize(("name", "drawn"), pictures().items())
def test_pictures_are_as_drawn(name: str, drawn: str) -> None:
    """`python -m docs.images.draw` draws them again, after the life cycle has changed for example."""
    assert drawn == (ROOT / "docs" / "images" / name).read_text(encoding="utf-8")
    assert f"images/{name}" in CONCEPTS


def test_the_simulation_shows_what_the_page_says() -> None:
    """Another seed or another sequence could make the words beside the picture wrong."""
    simulated = simulate()
    shown = telling(simulated)
    outside = {kind: np.abs(simulated.effects[shown]) > half[shown] for kind, half in simulated.half_widths.items()}

    assert f"looked at {len(LOOKS)} times each" in CONCEPTS
    assert outside["variant"].any()
    assert not outside["variant"][[0, -1]].any()
    assert not outside["control"].any()
    assert simulated.claimed("control")[-1] <= ALPHA < 5 * ALPHA < simulated.claimed("variant")[-1]
