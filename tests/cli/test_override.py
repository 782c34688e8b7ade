"""Forcing a variant from the command line."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from klero.cli.override import in_words

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Klero

FLAG = """
id: {id}
type: feature_flag
control: {{id: dark}}
variants: [{{id: bright}}]
"""
UNTIL = r"until 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ"


def created(klero: Klero, directory: Path, identifier: str) -> str:
    """Store a flag; returns its id."""
    path = directory / f"{identifier}.yaml"
    path.write_text(FLAG.format(id=identifier), encoding="utf-8")
    assert 0 == klero("apply", "-f", str(path)).code
    return identifier


def decided(klero: Klero, identifier: str, *entity_ids: str) -> list[str]:
    """Variant and reason of each."""
    found = json.loads(klero("assign", identifier, *entity_ids, "--no-exposure", "--json").output)["decisions"]
    return [f"{each['variantId']} {each['reason']}" for each in found]


def test_a_flag_is_switched_and_given_back(klero: Klero, tmp_path: Path) -> None:
    """An incident, from the first command to the last."""
    name = created(klero, tmp_path, "incident")
    on = klero("override", "set", name, "--entity", "me", "--on", "--for", "90m")
    off = klero("override", "set", name, "--everyone", "--off", "--reason", "provider [P1] is down")
    kept = klero("override", "set", name, "--entity", "qa", "--variant", "bright", "--permanent")
    found = decided(klero, name, "me", "you")
    listed = klero("override", "list", name).output.splitlines()
    removed = klero("override", "remove", name, "--everyone", "--reason", "over")
    again = klero("override", "remove", name, "--everyone")

    assert [0, 0, 0, 0] == [done.code for done in (on, off, kept, removed)]
    is_added = "added to the analysis meanwhile\n"
    assert re.fullmatch(
        rf"entity `me` gets `bright` of `incident` {UNTIL} \(90 minutes\); it is not {is_added}", on.output
    )
    assert re.fullmatch(rf"everyone gets `dark` of `incident` {UNTIL} \(24 hours\); nobody is {is_added}", off.output)
    assert f"entity `qa` gets `bright` of `incident` until that is removed; it is not {is_added}" == kept.output
    assert ["bright entity_override", "dark experiment_override"] == found
    assert [
        "incident everyone dark 24 hours provider [P1] is down",
        "incident me bright 90 minutes",
        "incident qa bright never",
    ] == [" ".join(line.split()) for line in listed[1:]]
    assert "the override of `incident` for everyone is removed\n" == removed.output
    assert (1, "error: experiment `incident` in namespace `default` has no override for everyone\n") == (
        again.code,
        again.errors,
    )


def test_programs_get_the_messages(klero: Klero, tmp_path: Path) -> None:
    """Scripts read what people read, with every field."""
    name = created(klero, tmp_path, "scripted")
    stored = json.loads(klero("override", "set", name, "--everyone", "--on", "--permanent", "--json").output)
    listed = json.loads(klero("override", "list", name, "--json").output)
    removed = json.loads(klero("override", "remove", name, "--everyone", "--json").output)

    assert [stored["override"]] == listed["overrides"]
    assert ("scripted", "bright") == (stored["override"]["experimentId"], stored["override"]["variantId"])
    assert {} == removed
    assert "no overrides; `klero override set` forces a variant\n" == klero("override", "list", name).output
    assert {"overrides": []} == json.loads(klero("override", "list", name, "--json").output)


def test_a_long_list_is_shown_whole(klero: Klero, tmp_path: Path) -> None:
    """The server answers a hundred at a time."""
    name = created(klero, tmp_path, "many")
    for number in range(101):
        klero("override", "set", name, "--entity", f"u{number}", "--on")

    assert 101 == len(json.loads(klero("override", "list", name, "--json").output)["overrides"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["set", "x", "--on"], "exactly one of `--entity`, `--everyone` is needed"),
        (["set", "x", "--entity", "", "--on"], "exactly one of `--entity`, `--everyone` is needed"),
        (["set", "x", "--entity", "u", "--everyone", "--on"], "exactly one of `--entity`, `--everyone` is needed"),
        (["remove", "x"], "exactly one of `--entity`, `--everyone` is needed"),
        (["set", "x", "--everyone"], "exactly one of `--variant`, `--on`, `--off` is needed"),
        (["set", "x", "--everyone", "--on", "--off"], "exactly one of `--variant`, `--on`, `--off` is needed"),
        (["set", "x", "--everyone", "--on", "--for", "2h", "--permanent"], "`--permanent` has no end"),
        (["set", "x", "--everyone", "--on", "--for", "2"], "write `7d`, `36h` or `90s`"),
        (["set", "x", "--everyone", "--on", "--for", "0s"], "no duration above 0"),
        (["set", "x", "--everyone", "--on", "--for", "3651d"], "up to 3650d"),
    ],
)
def test_what_is_missing_or_too_much_is_named(klero: Klero, arguments: list[str], said: str) -> None:
    """Everyone is never forced by an option that was forgotten."""
    done = klero("override", *arguments)

    assert 2 == done.code
    assert said in done.errors


@pytest.mark.parametrize(
    ("left_ms", "said"),
    [
        (86_399_950, "24 hours"),
        (-5, "0 seconds"),
        (1_100, "1 second"),
        (119_000, "119 seconds"),
        (120_000, "2 minutes"),
        (5_400_000, "90 minutes"),
        (86_400_000, "24 hours"),
        (172_800_000, "2 days"),
        (3650 * 86_400_000, "3,650 days"),
    ],
)
def test_what_is_left_is_told_in_one_unit(left_ms: int, said: str) -> None:
    """People read it at a glance, and a day is 24 hours also when a moment of it has passed."""
    assert said == in_words(left_ms)
