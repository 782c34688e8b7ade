"""`klero completion`: commands, options and ids of experiments at the press of a key."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from klero.cli.common import json_option, print_json

_SHELLS: dict[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


@click.command("completion")
@click.argument("shell", type=click.Choice(list(_SHELLS)))
@json_option
@click.pass_context
def completion_command(ctx: click.Context, shell: str, as_json: bool) -> None:
    """Print a script for SHELL; ids of experiments are asked of the server, for a second at most.

    bash and zsh: put `eval "$(klero completion bash)"` into ~/.bashrc, or the same with zsh into
    ~/.zshrc. fish: write it to ~/.config/fish/completions/klero.fish.
    """
    root = ctx.find_root()
    program = root.info_name or ""
    # The variable with which click lets the program itself complete.
    complete = _SHELLS[shell](root.command, {}, program, f"_{program.upper()}_COMPLETE")
    # Not `source()`, which would first look for a bash on this machine.
    script = complete.source_template % complete.source_vars()
    if as_json:
        print_json({"shell": shell, "script": script})
    else:
        click.echo(script)
