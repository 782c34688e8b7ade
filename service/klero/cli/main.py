"""The group of all commands, and what becomes of errors.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import difflib
import importlib
import json
import os
import sys
from typing import TYPE_CHECKING, cast

import click

from klero.errors import KleroError, WireError
from klero.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Sequence

_FAILED, _USAGE, _INTERRUPTED = 1, 2, 130

# Modules are imported for the command that is called: most need neither grpc nor tables.
_COMMANDS = {
    "apply": "klero.cli.apply",
    "archive": "klero.cli.transitions",
    "assign": "klero.cli.assign",
    "audit": "klero.cli.audit",
    "delete": "klero.cli.transitions",
    "demo": "klero.cli.demo.command",
    "export": "klero.cli.export",
    "forget": "klero.cli.forget",
    "history": "klero.cli.history",
    "import": "klero.cli.import_data",
    "journal": "klero.cli.journal",
    "list": "klero.cli.read",
    "override": "klero.cli.override",
    "record": "klero.cli.record",
    "report": "klero.cli.report",
    "results": "klero.cli.results",
    "schema": "klero.cli.schema",
    "serve": "klero.cli.serve",
    "show": "klero.cli.read",
    "start": "klero.cli.transitions",
    "status": "klero.cli.status",
    "stop": "klero.cli.transitions",
}


class _Commands(click.Group):
    """Commands that are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(_COMMANDS[cmd_name])
        return cast("click.Command", getattr(module, f"{cmd_name}_command"))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        near = difflib.get_close_matches(name, _COMMANDS, n=1)
        if name not in _COMMANDS and not name.startswith("-") and near:
            ctx.fail(f"no command `{name}`, did you mean `{near[0]}`?")
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="klero", prog_name="klero")
def _klero() -> None:
    """Klero decides which variant of an experiment each entity gets and learns which one is better."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return int(_klero.main(given, prog_name="klero", standalone_mode=False) or 0)
    except click.UsageError as error:
        error.show()
        return _USAGE
    except click.ClickException as error:
        error.show()
        return _FAILED
    except KleroError as error:
        _show(error, as_json="--json" in given)
        return _FAILED
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough; what is still buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED


def _show(error: KleroError, *, as_json: bool) -> None:
    if as_json:
        reason = error.wire_reason if isinstance(error, WireError) else ErrorReason.Name(error.reason)
        violations = [{"field": found.field, "description": found.description} for found in error.violations]
        shown = {"reason": reason, "message": str(error), "violations": violations}
        click.echo(json.dumps({"error": {key: value for key, value in shown.items() if value}}), err=True)
    elif error.violations:
        count = len(error.violations)
        click.echo(f"error: {count} {'field is' if count == 1 else 'fields are'} invalid", err=True)
        for violation in error.violations:
            place = f"{violation.field}: " if violation.field else ""
            click.echo(f"  {place}{violation.description}", err=True)
    else:
        click.echo(f"error: {error}", err=True)
