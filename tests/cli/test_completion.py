"""What the tab key finds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.shell_completion import ShellComplete

from klero.cli.main import klero as root

if TYPE_CHECKING:
    from tests.cli.conftest import Klero

EXAMPLE = Path(__file__).parents[2] / "examples" / "agent-prompt.yaml"


def completed(words: list[str], incomplete: str) -> list[str]:
    """What could stand in the place of `incomplete` behind `klero WORDS`."""
    found = ShellComplete(root, {}, "klero", "_KLERO_COMPLETE").get_completions(words, incomplete)
    return [item.value for item in found]


def test_commands_are_completed() -> None:
    """In the order of use."""
    assert ["start", "stop", "status"] == completed([], "st")
    assert ["check"] == completed(["journal"], "ch")


def test_options_and_their_values_are_completed() -> None:
    """Without a server."""
    assert ["--follow"] == completed(["results", "x"], "--fo")
    assert ["live"] == completed(["results", "x", "--view"], "l")


def test_ids_are_those_of_the_server(klero: Klero) -> None:
    """Nobody types them twice."""
    klero("apply", "-f", str(EXAMPLE))

    assert ["agent-prompt"] == completed(["results"], "agent-")
    assert [] == completed(["results", "--namespace", "elsewhere"], "agent-")


def test_without_a_server_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the line that is being typed stays as it is."""
    monkeypatch.setenv("KLERO_ADDRESS", "127.0.0.1:1")

    assert [] == completed(["results"], "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_completes_through_the_program(klero: Klero, shell: str) -> None:
    """It is made once and stays right when commands are added."""
    plain, found = klero("completion", shell).output, json.loads(klero("completion", shell, "--json").output)

    assert f"_KLERO_COMPLETE={shell}_complete" in plain
    assert {"shell": shell, "script": plain.removesuffix("\n")} == found


def test_bash_runs_the_script(tmp_path: Path) -> None:
    """The shell itself is asked, as far as it goes without a keyboard."""
    program = tmp_path / "klero"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m klero.cli "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    script = (
        'PATH="$1:$PATH"; eval "$(klero completion bash)"; COMP_WORDS=(klero pau); COMP_CWORD=1\n'
        '_klero_completion klero; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["/bin/bash", "-c", script, "bash", tmp_path], capture_output=True, text=True, check=True)

    assert "pause" == done.stdout.strip()
