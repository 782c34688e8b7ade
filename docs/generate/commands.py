"""docs/commands.md: every command with its arguments, options, defaults and examples."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import click

from klero.cli.commands import SECTIONS
from klero.cli.main import PROGRAM
from klero.cli.main import klero as root

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD = """\
# Commands

<!-- Made by `make docs` from the command line itself. -->

`klero COMMAND --help` says the same in the terminal.
Every command has `--json`: its answer is JSON then, and so are its errors, on stderr.
There are no colours where output is piped or `NO_COLOR` is set.
The exit code is 0 if it is done, 1 if it failed, 2 if it was called wrongly, and 130 after Ctrl-C.
"""


def commands_page() -> str:
    """The whole page."""
    context = click.Context(root, info_name=PROGRAM)
    parts = [_HEAD, *_overview()]
    for title, section in SECTIONS.items():
        parts.append(f"## {title}\n")
        for name in section:
            command = root.get_command(context, name)
            if command is not None:
                parts.extend(_command(command, click.Context(command, parent=context, info_name=name)))
    return "\n".join(parts)


def _overview() -> Iterator[str]:
    yield "| command | what it does |"
    yield "|---|---|"
    for section in SECTIONS.values():
        for name, listed in section.items():
            yield f"| [`{PROGRAM} {name}`](#{PROGRAM}-{name}) | {listed.summary} |"
    yield ""


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f"### {context.command_path}\n"
    yield f"{inspect.cleandoc(command.help or '')}\n"
    if isinstance(command, click.Group):
        for name, subcommand in sorted(command.commands.items()):
            yield from _command(subcommand, click.Context(subcommand, parent=context, info_name=name))
        return
    yield "```console"
    yield f"$ {context.command_path} {' '.join(command.collect_usage_pieces(context))}"
    yield "```\n"
    # What an argument is stands in the text above.
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    records = [record for option in options if (record := option.get_help_record(context)) is not None]
    for names, meaning in records:
        yield f"- `{names}`: {' '.join(meaning.split())}"
    if records:
        yield ""
    examples = [line.strip() for line in (command.epilog or "").splitlines() if line.startswith("  ")]
    if examples:
        yield "Example:\n" if len(examples) == 1 else "Examples:\n"
        yield "```console"
        yield from (f"$ {example}" for example in examples)
        yield "```\n"
