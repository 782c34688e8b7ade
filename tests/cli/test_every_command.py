"""What holds for every command, whatever it does."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from klero.cli.commands import COMMANDS
from klero.cli.main import klero as root
from klero.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Klero

NOBODY = "127.0.0.1:1"
# They go on, and are started in tests of their own.
ENDLESS = {"serve", "demo"}


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something, with the words by which it is called."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


LEAVES = dict(leaves(root))
ENDING = [path for path in LEAVES if path[0] not in ENDLESS]
every_command = pytest.mark.parametrize("path", LEAVES, ids=" ".join)
every_ending_command = pytest.mark.parametrize("path", ENDING, ids=" ".join)


def arguments(command: click.Command, directory: Path) -> list[str]:
    """A value for each argument and option that must be there; files are not."""
    given = []
    for parameter in command.params:
        if not parameter.required:
            continue
        kind = parameter.type
        if isinstance(kind, click.Choice):
            value = str(kind.choices[0])
        elif isinstance(kind, click.Path):
            value = str(directory / "missing")
        else:
            value = "nothing-like-it"
        given += [value] if isinstance(parameter, click.Argument) else [parameter.opts[0], value]
    return given


def called(example: str) -> tuple[click.Command, list[str]]:
    """The command of an example, and the words behind its name."""
    words = shlex.split(example.removeprefix('eval "$(').removesuffix(')"').split(" > ")[0])
    assert "klero" == words.pop(0)
    command: click.Command = root
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words.pop(0))
        assert found is not None
        command = found
    return command, words


def options(command: click.Command) -> set[str]:
    """Names of its options."""
    return {name for parameter in command.params for name in parameter.opts}


OF_AN_EXPERIMENT = [
    path
    for path in ENDING
    if "experiment_id" in {parameter.name for parameter in LEAVES[path].params} and "--address" in options(LEAVES[path])
]


@every_command
def test_help_has_options_and_an_example(klero: Klero, path: tuple[str, ...]) -> None:
    """Nobody should have to guess, or to look up twice."""
    done = klero(*path, "--help")

    assert 0 == done.code
    assert f"klero {' '.join(path)}" in done.output.split("Example", 1)[1]
    undescribed = [
        option.opts
        for option in LEAVES[path].params
        if isinstance(option, click.Option) and option.opts != ["--help"] and not option.help
    ]
    assert [] == undescribed


@every_command
def test_output_can_be_json(klero: Klero, path: tuple[str, ...]) -> None:
    """Programs call every command that people call; one that only prints JSON needs no option for it."""
    if "--json" not in options(LEAVES[path]):
        json.loads(klero(*path).output)


@every_command
def test_a_wrong_option_is_named(klero: Klero, path: tuple[str, ...]) -> None:
    """In a sentence, or for programs as JSON."""
    plain, as_json = klero(*path, "--no-such-option"), klero(*path, "--no-such-option", "--json")

    assert (2, 2) == (plain.code, as_json.code)
    assert plain.errors.startswith("error: No such option '--no-such-option'")
    assert f"`klero {' '.join(path)} --help` says more" in plain.errors
    assert "--no-such-option" in json.loads(as_json.errors)["error"]["message"]


@every_ending_command
def test_nothing_breaks_without_server_files_and_data(
    klero: Klero, path: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the first day nothing is there yet, and no traceback says so."""
    monkeypatch.chdir(tmp_path)
    command = LEAVES[path]
    given = [*path, *arguments(command, tmp_path)]
    if "--address" in options(command):
        given += ["--address", NOBODY]
    plain = klero(*given)
    as_json = klero(*given, "--json") if "--json" in options(command) else plain

    assert plain.code == as_json.code
    assert plain.code in {0, 1, 2}
    for printed in (plain.output, plain.errors, as_json.output, as_json.errors):
        assert "Traceback" not in printed
        assert "\x1b" not in printed
    if plain.code:
        assert plain.errors.startswith("error: ")
        assert json.loads(as_json.errors)["error"]["message"]


@pytest.mark.parametrize("path", OF_AN_EXPERIMENT, ids=" ".join)
def test_an_unknown_experiment_is_named(klero: Klero, path: tuple[str, ...]) -> None:
    """Whoever misspells an id reads it once more in the answer."""
    example = next(line for line in COMMANDS[path[0]].examples if f"{line} ".startswith(f"klero {' '.join(path)} "))
    command, words = called(example)
    with command.make_context(command.name, list(words)) as context:
        known = context.params["experiment_id"]
    done = klero(*path, *("nothing-like-it" if word == known else word for word in words))

    assert 1 == done.code
    assert "Traceback" not in done.errors
    if "is not supported by this version" in done.errors:
        pytest.skip("the server refuses the method itself")
    assert "nothing-like-it" in done.errors


@pytest.mark.parametrize("example", [line for listed in COMMANDS.values() for line in listed.examples])
def test_examples_can_be_called(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """People copy them."""
    monkeypatch.chdir(tmp_path)
    Path("outcomes.jsonl").touch()
    command, words = called(example)

    with command.make_context(command.name, words):
        pass


def test_help_is_by_what_people_do(klero: Klero) -> None:
    """A newcomer reads it from top to bottom and has met everything in the order of use."""
    printed = klero("--help").output

    titles = [printed.index(f"{title}:\n") for title in ("Define", "Run", "Watch", "Data", "Operate")]
    assert sorted(titles) == titles
    for name, listed in COMMANDS.items():
        assert f"  {name} " in printed
        assert listed.summary in printed


def test_help_and_completion_import_no_command() -> None:
    """They are quick because the table is all that they need."""
    code = (
        "import sys\n"
        "from klero.cli.main import main\n"
        "main(['--help'])\n"
        "heavy = {'grpc', 'google.protobuf', 'yaml', 'rich', 'sqlite3'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "[]" == done.stdout.splitlines()[-1]


def test_a_command_that_is_near_is_offered(capsys: pytest.CaptureFixture[str]) -> None:
    """Typing errors are the most frequent ones."""
    assert 2 == main(["resutls"])
    assert "no command `resutls`, did you mean `results`?" in capsys.readouterr().err
    assert 2 == main(["xyz"])
    assert "`klero --help` lists them all" in capsys.readouterr().err


def test_no_command_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    """The first thing that anyone types."""
    assert 2 == main([])
    printed = capsys.readouterr().err
    assert "Define:" in printed
    assert "error" not in printed
