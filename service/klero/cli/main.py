"""The group of all commands.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any, cast

import click
from click.shell_completion import CompletionItem

from klero.cli.commands import COMMANDS, SECTIONS
from klero.cli.failures import FAILED, Interrupted, failure

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = "klero"


class _Commands(click.Group):
    """Commands that are imported when they are called: most need neither grpc nor tables."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        listed = COMMANDS[cmd_name]
        module = importlib.import_module(listed.module)
        command = cast("click.Command", getattr(module, f"{cmd_name}_command"))
        _show_examples(command, f"{PROGRAM} {cmd_name}", listed.examples)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if name not in COMMANDS and not name.startswith("-"):
            import difflib

            near = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"`{PROGRAM} --help` lists them all"
            ctx.fail(f"no command `{name}`, {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        width = max(map(len, COMMANDS))
        for title, section in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), listed.summary) for name, listed in section.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        found = [
            CompletionItem(name, help=listed.summary)
            for name, listed in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401  # what the command returns
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            # Before click sees it, which would say so in a line of its own.
            raise Interrupted from error


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=f"`{PROGRAM} COMMAND --help` has options, defaults and examples. Every command has --json.",
)
@click.version_option(package_name="klero", prog_name=PROGRAM)
def klero() -> None:
    """Klero decides which variant of an experiment each entity gets and learns which one is better."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return int(klero.main(given, prog_name=PROGRAM, standalone_mode=False) or 0)
    except BrokenPipeError:
        # Whoever read our output has seen enough; what is still buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        code = failure(error, as_json="--json" in given)
        if code is None:
            raise
        return code


def _show_examples(command: click.Command, path: str, examples: Sequence[str]) -> None:
    """Put examples at the end of a command's help; a group's also at that of the subcommand they call."""
    lines = [f"  {example}" for example in examples]
    command.epilog = "\n".join(["\b", "Examples:" if len(lines) > 1 else "Example:", *lines])
    if isinstance(command, click.Group):
        for name, subcommand in command.commands.items():
            called = f"{path} {name}"
            _show_examples(
                subcommand, called, [example for example in examples if f"{example} ".startswith(f"{called} ")]
            )
