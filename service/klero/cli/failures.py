"""What becomes of errors: a sentence for people or JSON for programs, on stderr, and an exit code."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from klero.errors import KleroError

FAILED = 1
INTERRUPTED = 130


class Interrupted(click.ClickException):
    """Ctrl-C."""

    exit_code = INTERRUPTED

    def __init__(self) -> None:
        """Say so."""
        super().__init__("interrupted")


def failure(error: Exception, *, as_json: bool) -> int | None:
    """Show `error` and return the exit code; None if it is a fault in the program, which nothing is said of."""
    if isinstance(error, click.Abort):
        error = Interrupted()
    if isinstance(error, click.ClickException):
        if as_json:
            _show_json({"message": error.format_message()})
        elif isinstance(error, Interrupted):
            # A terminal shows `^C` before it.
            newline = "\n" if sys.stderr.isatty() else ""
            click.echo(f"{newline}{error.message}", err=True)
        elif isinstance(error, click.exceptions.NoArgsIsHelpError):
            click.echo(error.message, err=True)
        elif isinstance(error, click.UsageError):
            _show_usage(error)
        else:
            click.echo(f"error: {error.format_message()}", err=True)
        return error.exit_code
    # Not at the top: `--help` has no use for the contract's errors.
    from klero.errors import KleroError

    if not isinstance(error, KleroError):
        return None
    if as_json:
        _show_json(_plain(error))
    else:
        _show(error)
    return FAILED


def _show_usage(error: click.UsageError) -> None:
    click.echo(f"error: {error.format_message()}", err=True)
    if error.ctx is not None:
        click.echo(error.ctx.get_usage(), err=True)
        click.echo(f"`{error.ctx.command_path} --help` says more", err=True)


def _show(error: KleroError) -> None:
    if not error.violations:
        click.echo(f"error: {error}", err=True)
        return
    count = len(error.violations)
    click.echo(f"error: {count} {'field is' if count == 1 else 'fields are'} invalid", err=True)
    for violation in error.violations:
        place = f"{violation.field}: " if violation.field else ""
        click.echo(f"  {place}{violation.description}", err=True)


def _plain(error: KleroError) -> dict[str, Any]:
    from klero.errors import WireError
    from klero.v1.error_reason_pb2 import ErrorReason

    reason = error.wire_reason if isinstance(error, WireError) else ErrorReason.Name(error.reason)
    violations = [{"field": found.field, "description": found.description} for found in error.violations]
    shown = {"reason": reason, "message": str(error), "violations": violations}
    return {key: value for key, value in shown.items() if value}


def _show_json(plain: dict[str, Any]) -> None:
    click.echo(json.dumps({"error": plain}, ensure_ascii=False), err=True)
