"""What people type, from a file to a verdict."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from klero import definition
from klero.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Klero

DEFINITION = """
id: {id}
type: ab_test
control: {{id: short}}
variants: [{{id: long, config: {{words: 300}}}}]
metrics: [{{name: success, type: conversion, goal: increase, primary: true}}]
{more}
"""


@pytest.fixture
def write(tmp_path: Path) -> Path:
    """Where files of a test go."""
    return tmp_path


def file(directory: Path, identifier: str, more: str = "") -> str:
    """A definition file; returns its name."""
    path = directory / f"{identifier}.yaml"
    path.write_text(DEFINITION.format(id=identifier, more=more), encoding="utf-8")
    return str(path)


def test_an_experiment_from_file_to_stop(klero: Klero, write: Path) -> None:
    """The first five minutes of a new user."""
    applied = klero("apply", "-f", file(write, "first"))
    started = klero("start", "first", "--reason", "go")
    assigned = klero("assign", "first", "run-1", "run-2", "--json")
    recorded = klero("record", "run-1", "success")
    shown = klero("results", "first", "--json")
    stopped = klero("stop", "first", "--ship", "long")

    assert [0] * 6 == [done.code for done in (applied, started, assigned, recorded, shown, stopped)]
    assert "created `first` as a draft; `klero start first` starts it\n" == applied.output
    assert "started `first`, iteration 1: short 50 %, long 50 %; 100 % of the traffic\n" == started.output
    assert ["run-1", "run-2"] == [found["entityId"] for found in json.loads(assigned.output)["decisions"]]
    assert "durability disk" in recorded.output
    assert 2 == json.loads(shown.output)["progress"]["enrolled"]
    assert "`first` is stopped, everyone gets `long`\n" == stopped.output


WINDOWED = """
id: {id}
type: ab_test
control: {{id: short}}
variants: [{{id: long}}]
metrics: [{{name: success, type: conversion, goal: increase, primary: true, window: 1h}}]
analysisPlan: {{dimensions: [country]}}
"""


def test_a_stop_waits_for_windows_unless_it_is_told_not_to(klero: Klero, write: Path) -> None:
    """Who has no time for the last hour says so, and sees what that costs."""
    path = write / "windowed.yaml"
    path.write_text(WINDOWED.format(id="windowed"), encoding="utf-8")
    klero("apply", "-f", str(path))
    klero("start", "windowed")
    klero("assign", "windowed", "run-1")
    position = json.loads(klero("record", "run-1", "success", "--json").output)["position"]

    live = klero("results", "windowed", "--view", "live", "--dimension", "country", "--min-position", str(position))
    draining = klero("stop", "windowed", "--ship", "long")
    again = klero("stop", "windowed")
    stopped = klero("stop", "windowed", "--immediate")

    assert "1 of 1" in live.output
    assert "success by country" in live.output
    assert "`windowed` is draining until the last window has closed, everyone gets `long`\n" == draining.output
    assert "draining with `immediate`" in again.errors
    assert "`windowed` is stopped with open windows left out, everyone gets `long`\n" == stopped.output


def test_views_have_names(klero: Klero) -> None:
    """A misspelt one is told what there is."""
    assert "'settled', 'live'" in klero("results", "any", "--view", "all").errors


def test_applying_twice_changes_nothing(klero: Klero, write: Path) -> None:
    """Definitions live in repositories and are applied by every build."""
    path = file(write, "twice")
    klero("apply", "-f", path)
    klero("start", "twice")

    assert "`twice` is unchanged\n" == klero("apply", "-f", path).output


def test_what_show_prints_can_be_applied(klero: Klero, write: Path) -> None:
    """People copy an experiment by saving and changing it."""
    klero("apply", "-f", file(write, "original"))
    shown = klero("show", "original").output
    (write / "copy.yaml").write_text(shown.replace("id: original", "id: copy"), encoding="utf-8")

    assert 0 == klero("apply", "-f", str(write / "copy.yaml")).code
    again = definition.parse(klero("show", "copy").output, source_name="copy.yaml")
    assert "copy" == again.id
    assert 300 == again.variants[0].config["words"]


def test_list_shows_what_there_is(klero: Klero, write: Path) -> None:
    """The first look of an operator."""
    klero("apply", "-f", file(write, "listed"))
    printed = klero("list")
    plain = json.loads(klero("list", "--json").output)

    assert "listed  " in printed.output
    assert "\x1b" not in printed.output
    assert "listed" in [experiment["id"] for experiment in plain["experiments"]]
    assert "no experiments" in klero("list", "--namespace", "nobody").output


def test_a_piped_list_has_a_line_for_each_experiment(klero: Klero, write: Path) -> None:
    """`grep` finds an id whatever its length."""
    identifier = "piped-" + "x" * 110
    klero("apply", "-f", file(write, identifier))

    (line,) = [line for line in klero("list").output.splitlines() if identifier in line]
    assert line.rstrip().endswith("short, long")


def test_what_show_says_beside_the_file_is_a_comment(klero: Klero, write: Path) -> None:
    """A file has what its author wrote, and nothing that the server sets."""
    klero("apply", "-f", file(write, "shown"))
    klero("start", "shown")
    shown, only_file = klero("show", "shown").output, klero("show", "shown", "--yaml").output
    everything = json.loads(klero("show", "shown", "--json").output)

    assert shown.startswith("# `shown` is running (started)\n# iteration 1, started ")
    assert shown.endswith(only_file)
    assert only_file.startswith("id: shown\n")
    written = {"id", "type", "control", "variants", "metrics", "namespace"}
    assert written == {line.split(":")[0] for line in only_file.splitlines() if line[0] not in " -"}
    (write / "again.yaml").write_text(shown, encoding="utf-8")
    assert 0 == klero("apply", "-f", str(write / "again.yaml")).code
    assert {"status", "iteration", "etag", "revision", "allocation"} <= everything.keys()


def test_every_fault_of_a_file_is_named(klero: Klero, write: Path) -> None:
    """Nobody mends a file fault by fault."""
    done = klero("apply", "-f", file(write, "bad", "config: {trafficPercentage: 120, confidenceLevel: 2}"))

    assert 1 == done.code
    assert done.errors.startswith("error: 2 faults, nothing was changed\n")
    assert "bad.yaml:7:10: config.trafficPercentage: 120 must be from 0 to 100\n" in done.errors
    assert "bad.yaml:7:34: config.confidenceLevel: 2 must be above 0 and below 1\n" in done.errors


def test_warnings_do_not_stop(klero: Klero, write: Path) -> None:
    """A percentage that looks like a fraction is taken as written, and pointed out."""
    done = klero("apply", "-f", file(write, "warned", "config: {trafficPercentage: 0.5}"))

    assert 0 == done.code
    assert "warned.yaml:7:10: config.trafficPercentage: 0.5 means 0.5 percent" in done.errors


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["lst"], 2, "no command `lst`, did you mean `list`?"),
        (["list", "--jsn"], 2, "--json"),
        (["start"], 2, "Missing argument 'EXPERIMENT'"),
        (["record", "run-1"], 2, "give ENTITY and EVENT, or --file"),
        (["import", "x", "f.csv"], 2, "--variant"),
        (["apply", "-f", "nowhere.yaml"], 1, "nowhere.yaml: no such file or folder"),
        (["show", "nothing-like-it"], 1, "error: no experiment `nothing-like-it` in namespace `default`"),
        (["record", "run-1", "success", "nan"], 1, "value: "),
        (["record", "run-1", "success", "--at", "yesterday"], 1, "occurredAt: "),
        (["record", "run-1", "x\ny"], 1, "event must have 1 to 128 bytes"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(klero: Klero, arguments: list[str], code: int, said: str) -> None:
    """Scripts read the exit code, people the sentence; nobody a traceback."""
    done = klero(*arguments)

    assert code == done.code
    assert said in done.errors
    assert "Traceback" not in done.errors


def test_errors_are_json_where_output_is(klero: Klero) -> None:
    """Programs read both."""
    error = json.loads(klero("show", "nothing-like-it", "--json").errors)["error"]

    assert "ERROR_REASON_EXPERIMENT_NOT_FOUND" == error["reason"]


def test_without_a_server_the_message_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """The most frequent mistake of a first day."""
    code = main(["list", "--address", "127.0.0.1:1"])

    assert 1 == code
    assert "no server answers at 127.0.0.1:1: start one with `klero serve`" in capsys.readouterr().err


def test_rejected_outcomes_are_json_where_output_is(klero: Klero, write: Path) -> None:
    """A program sends again what it can mend, by line."""
    path = write / "outcomes.jsonl"
    path.write_text('{"entityId": "r1", "event": "success"}\n{"entityId": "", "event": "x"}\n', encoding="utf-8")
    done = klero("record", "--file", str(path), "--json")
    found = json.loads(done.output)

    assert (1, "") == (done.code, done.errors)
    assert (1, 1) == (found["accepted"], found["rejectedCount"])
    assert [(2, "ERROR_REASON_ENTITY_ID_INVALID")] == [(item["line"], item["reason"]) for item in found["rejected"]]


def test_outcomes_of_a_file_are_recorded_and_bad_ones_named(klero: Klero, write: Path) -> None:
    """Logs of agents are JSON, one event a line."""
    path = write / "outcomes.jsonl"
    path.write_text(
        '{"entityId": "r1", "event": "success"}\n\n{"entityId": "", "event": "success"}\n'
        '{"entityId": "r2", "event": "cost_usd", "value": 0.5, "occurredAt": "2026-01-01T00:00:00Z"}\n',
        encoding="utf-8",
    )
    done = klero("record", "--file", str(path))

    assert 1 == done.code
    assert "recorded 2 outcomes" in done.output
    assert "rejected, line 3: entity id is empty" in done.errors


def test_help_names_every_command(klero: Klero) -> None:
    """People begin with `klero --help`."""
    printed = klero("--help").output

    for command in ("apply", "assign", "demo", "import", "list", "record", "results", "serve", "show", "start", "stop"):
        assert f"  {command} " in printed


def test_status_names_what_was_not_counted(klero: Klero, write: Path) -> None:
    """Who misses outcomes in the results must find where they went."""
    assert klero("apply", "-f", file(write, "with-status")).code == 0
    assert klero("start", "with-status").code == 0
    assert klero("record", "stranger", "success").code == 0

    plain, found = klero("status", "with-status"), json.loads(klero("status", "with-status", "--json").output)

    assert "`with-status` is running, iteration 1: 0 enrolled, 0 of them settled" in plain.output
    assert "other counters are 0." in plain.output
    by_name = {counter["name"]: counter for counter in found["counters"]}
    assert int(by_name["unmatched"]["value"]) >= 1
    assert by_name["unmatched"]["description"] in " ".join(plain.output.split())
    assert {"late", "early", "conflicting", "rejected_items", "repeated_batches", "quarantined"} <= by_name.keys()


def test_drafts_are_deleted_and_ended_experiments_archived(klero: Klero, write: Path) -> None:
    """What was started has results that rest on it; what was not may go."""
    klero("apply", "-f", file(write, "to-delete"))
    klero("apply", "-f", file(write, "to-archive"))
    assert klero("start", "to-archive").code == 0

    refused = klero("delete", "to-archive")
    assert (1, True) == (refused.code, "draft" in refused.errors)
    assert klero("archive", "to-archive").code == 1
    assert klero("stop", "to-archive").code == 0
    assert "`to-archive` is archived\n" == klero("archive", "to-archive").output
    assert "`to-delete` is deleted\n" == klero("delete", "to-delete").output
    listed = klero("list").output
    assert "to-delete" not in listed
    assert "to-archive" not in listed
    assert klero("assign", "to-archive", "run-1").code == 1
    # The id of a draft is free again, and that of an archived experiment is not.
    assert klero("apply", "-f", file(write, "to-delete")).code == 0


def test_the_trail_says_who_did_what_and_why(klero: Klero, write: Path) -> None:
    """Whoever comes later can see how it came to this."""
    klero("apply", "-f", file(write, "with-trail"))
    klero("start", "with-trail", "--reason", "the team agreed")
    plain = klero("audit", "with-trail").output
    found = json.loads(klero("audit", "with-trail", "--json").output)["entries"]

    assert ["StartExperiment", "CreateExperiment"] == [entry["action"] for entry in found]
    assert "anonymous  StartExperiment `with-trail`: the team agreed" in plain
    assert '  status: "EXPERIMENT_STATUS_DRAFT" -> "EXPERIMENT_STATUS_RUNNING"' in plain
    assert "no changes\n" == klero("audit", "with-trail", "--actor", "nobody").output
    assert klero("audit", "--limit", "1").output.splitlines()[-1].startswith("... and older ones")
    assert 1 == len(json.loads(klero("audit", "--limit", "1", "--json").output)["entries"])
