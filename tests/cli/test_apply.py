"""What `klero apply` says and does, against a service whose updates the test answers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from klero import definition
from klero.cli import main
from tests.cli.fake_experiments import FakeExperiments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
DEFINITION = """\
id: {id}
type: ab_test
control: {{id: plain, weight: {plain}}}
variants: [{{id: stepwise, weight: {stepwise}}}]
metrics: [{{name: success, type: conversion, goal: increase, primary: true}}]
"""


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeExperiments]:
    """A service in memory, which the command line calls."""
    with FakeExperiments() as fake:
        monkeypatch.setenv("KLERO_ADDRESS", fake.address)
        yield fake


@pytest.fixture
def apply(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs apply in a directory of its own; returns what it printed, errors last, and fails on another exit code."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, code: int = 0) -> str:
        found = main(["apply", *arguments])
        printed = capsys.readouterr()
        assert code == found, printed
        return printed.out + printed.err

    return run


def write(name: str, *, identifier: str = "", plain: int = 50, stepwise: int = 50) -> str:
    """A definition file."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = DEFINITION.format(id=identifier or path.stem, plain=plain, stepwise=stepwise)
    path.write_text(text, encoding="utf-8")
    return name


def test_a_change_says_so_if_it_concerns_only_those_who_come_new(
    service: FakeExperiments, apply: Callable[..., str]
) -> None:
    """Nobody holds a change back for entities that keep what they have."""
    apply("-f", write("prompt.yaml"))
    service.run("prompt")
    service.keeps_variants = True
    write("prompt.yaml", plain=80, stepwise=20)

    assert "opens epoch 3; 30 % of those who come new get another variant\n" in apply("-f", "prompt.yaml")


def test_a_change_says_what_it_does_to_entities(service: FakeExperiments, apply: Callable[..., str]) -> None:
    """Nobody moves running entities without having been told."""
    apply("-f", write("prompt.yaml"))
    service.run("prompt")
    write("prompt.yaml", plain=80, stepwise=20)
    said = (
        "`prompt`: weight of `plain` from 50 to 80; weight of `stepwise` from 50 to 20; "
        "opens epoch 3; 30 % of the enrolled get another variant\n"
    )

    dry = apply("-f", "prompt.yaml", "--dry-run")
    assert f"would change {said}1 experiment: 1 updated; a dry run, nothing was done\n" == dry
    assert ["create prompt"] == service.changing
    assert f"changed {said}" == apply("-f", "prompt.yaml")
    assert "`prompt` is unchanged\n" == apply("-f", "prompt.yaml")
    assert ["create prompt", "update prompt"] == service.changing
    assert 20 == service.stored["prompt"].variants[0].weight


def test_what_moves_nobody_says_so(service: FakeExperiments, apply: Callable[..., str]) -> None:
    """A new name is no reason to worry; a draft has nobody to move."""
    name = write("prompt.yaml")
    apply("-f", name)
    with Path(name).open("a", encoding="utf-8") as file:
        file.write("name: Prompts\nconfig: {trafficPercentage: 20}\n")
    draft = apply("-f", name, "--dry-run")
    service.run("prompt")
    running = apply("-f", name)

    assert "name set to `Prompts`" in draft
    assert "another variant" not in draft
    assert "config.trafficPercentage set to 20; nobody gets another variant" in running


def test_nothing_is_done_when_one_file_is_wrong(service: FakeExperiments, apply: Callable[..., str]) -> None:
    """Half of a folder applied is a state that nobody has written down."""
    write("all/a.yaml")
    write("all/deep/b.yml", plain=10)
    Path("all/deep/c.json").write_text('{"id": "c",\n "nam": 1}', encoding="utf-8")
    write("all/.git/d.yaml", plain=1)
    Path("all/.hidden.yaml").write_text("no: definition", encoding="utf-8")
    Path("all/notes.txt").write_text("no definition", encoding="utf-8")
    said = apply("-f", "all", code=1).splitlines()

    assert [] == service.changing
    assert "error: 2 faults, nothing was changed" == said[0]
    assert said[1].startswith("  all/deep/b.yml:4:1: variants: weights are percent of the enrolled and must sum to 100")
    assert "  all/deep/c.json:2:2: nam: unknown field, did you mean `name`?" == said[2]


def test_several_definitions_are_summed_up(service: FakeExperiments, apply: Callable[..., str]) -> None:
    """One file or many, the last line says what became of all."""
    write("a.yaml")
    write("b.yaml")
    both = Path("a.yaml").read_text(encoding="utf-8") + "---\n" + Path("b.yaml").read_text(encoding="utf-8") + "---\n"
    Path("both.yaml").write_text(both, encoding="utf-8-sig")
    apply("-f", "a.yaml")
    said = apply("-f", "both.yaml").splitlines()

    assert ["`a` is unchanged", "created `b` as a draft; `klero start b` starts it"] == said[:2]
    assert "2 experiments: 1 created, 1 unchanged" == said[2]
    assert {"a", "b"} == set(service.stored)


def test_a_change_of_somebody_else_is_not_lost(service: FakeExperiments, apply: Callable[..., str]) -> None:
    """The file is compared with what was stored then, so it may only replace that."""
    apply("-f", write("a.yaml"), "-f", write("b.yaml"))
    service.changed_meanwhile = True
    said = apply("-f", write("a.yaml", plain=40, stepwise=60), "-f", write("c.yaml"), code=1)

    assert "read it again" in said
    assert "c" not in service.stored


def test_an_etag_of_a_file_is_no_obstacle(service: FakeExperiments, apply: Callable[..., str]) -> None:
    """What `klero show` printed stays usable after the next change."""
    apply("-f", write("a.yaml"))
    Path("shown.yaml").write_text(definition.to_yaml(service.stored["a"]), encoding="utf-8")
    apply("-f", write("a.yaml", plain=40, stepwise=60))

    assert "weight of `plain` from 40 to 50" in apply("-f", "shown.yaml")


def test_programs_read_the_same_as_data(service: FakeExperiments, apply: Callable[..., str]) -> None:
    """A build comments a change request with it."""
    apply("-f", write("a.yaml"))
    service.run("a")
    said = json.loads(apply("-f", write("a.yaml", plain=40, stepwise=60), "-f", write("b.yaml"), "--json"))

    first, second = said["experiments"]
    assert {"created": 1, "updated": 1, "unchanged": 0} == said["summary"]
    assert ("a.yaml", 1, "a", "updated", 30) == (
        first["file"],
        first["line"],
        first["id"],
        first["action"],
        first["reassignedPercent"],
    )
    assert {"path": "control.weight", "before": 50, "after": 40} == first["changes"][0]
    assert {"path": "variants[0].weight", "before": 50, "after": 60} == first["changes"][1]
    assert ("b", "created", []) == (second["id"], second["action"], second["changes"])
    Path("b.yaml").write_text("id: b\nvariants: 7\n", encoding="utf-8")
    refused = json.loads(apply("-f", "b.yaml", "--json", code=1))["error"]
    assert [("b.yaml", 2, 1, "variants")] == [
        (found["file"], found["line"], found["column"], found["field"]) for found in refused["violations"]
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "a.yaml: no such file or folder"),
        (b"", "a.yaml: the file is empty, write a definition such as `id: my-experiment`"),
        (b"# later\n", "a.yaml:1:1: only comments, write a definition such as `id: my-experiment`"),
        (b"id: a\nname: \xe4\n", "a.yaml:2:7: the byte 0xe4 is not UTF-8, save the file as UTF-8"),
        (b"\xef\xbb\xbfid: \xff", "a.yaml:1:5: the byte 0xff is not UTF-8, save the file as UTF-8"),
        ("id: a".encode("utf-16"), "a.yaml: UTF-16 is not allowed, save the file as UTF-8"),
        (b"x" * 2**21, "a.yaml: 2097152 bytes, at most 1048576 (1 MiB) are allowed in one file"),
        (
            b"variants: [" + b"{id: a}," * 60_000 + b"]",
            "a.yaml:1:133337: more than 50000 keys and values in one file are not allowed",
        ),
        (b"id: a\nnam: b\n---\nid: b\nnam: c\n", "a.yaml:2:1: nam: unknown field, did you mean `name`?"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(
    service: FakeExperiments, apply: Callable[..., str], content: bytes | None, said: str
) -> None:
    """One sentence with the place, and never a traceback."""
    if content is not None:
        Path("a.yaml").write_bytes(content)

    assert f"  {said}\n" in apply("-f", "a.yaml", code=1)
    assert {} == service.stored


def test_a_huge_file_is_refused_before_it_is_read(apply: Callable[..., str]) -> None:
    """Somebody names a dump by mistake."""
    with Path("huge.yaml").open("wb") as file:
        file.truncate(100 * 2**20)

    assert "huge.yaml: 104857600 bytes, at most 1048576 (1 MiB)" in apply("-f", "huge.yaml", code=1)


def test_many_faults_are_found_at_once_and_said_in_part(apply: Callable[..., str]) -> None:
    """A file of another program has a fault in every line."""
    Path("other.yaml").write_text("".join(f"x{number}: 1\n" for number in range(10_000)), encoding="utf-8")
    said = apply("-f", "other.yaml", code=1).splitlines()

    assert "error: 10,000 faults, nothing was changed" == said[0]
    assert said[100].startswith("  other.yaml:100:1: x99: unknown field")
    assert ["  ... and 9,900 more"] == said[101:]


def test_what_is_no_file_and_what_is_twice(apply: Callable[..., str]) -> None:
    """Folders and devices are named by mistake, and files are copied."""
    Path("empty").mkdir()
    os.mkfifo("pipe")
    said = apply(
        "-f", "empty", "-f", "pipe", "-f", write("one.yaml"), "-f", write("two.yaml", identifier="one"), code=1
    )

    assert "empty: no definition files in this folder, their names end in .yaml, .yml, .json\n" in said
    assert "pipe: neither a file nor a folder\n" in said
    assert "two.yaml:1:1: id: `one` is defined in one.yaml:1 too\n" in said


def test_a_repeated_control_does_not_shift_the_places(service: FakeExperiments, apply: Callable[..., str]) -> None:
    """The server drops the copy and counts the others from 0."""
    text = "id: a\ntype: ab_test\ncontrol: {id: x}\nvariants:\n  - {id: x}\n  - {id: y}\n  - {id: 'z z'}\n"
    Path("a.yaml").write_text(text, encoding="utf-8")

    assert "a.yaml:7:6: variants[2].id: `z z`" in apply("-f", "a.yaml", code=1)
    assert {} == service.stored


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_unchanged_when_shown_and_applied(
    service: FakeExperiments, apply: Callable[..., str], example: Path
) -> None:
    """File, store, and file again say the same."""
    apply("-f", str(example))
    (stored,) = service.stored.values()
    Path("shown.yaml").write_text(definition.to_yaml(definition.authored(stored)), encoding="utf-8")

    assert f"`{stored.id}` is unchanged\n" == apply("-f", "shown.yaml")
    assert f"`{stored.id}` is unchanged\n" == apply("-f", str(example))
