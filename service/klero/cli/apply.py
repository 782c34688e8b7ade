"""`klero apply`: from files to stored definitions."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from klero.cli.applying import CREATED, UNCHANGED, UPDATED, Planned, carry_out, plan
from klero.cli.common import calling, plural, print_json, reason_option
from klero.cli.definition_files import print_faults, read_definitions
from klero.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from klero.client.remote import Remote


@click.command("apply")
@click.option(
    "-f",
    "--file",
    "paths",
    type=click.Path(path_type=Path),
    required=True,
    multiple=True,
    metavar="PATH",
    help="A YAML or JSON file, a folder with such files, or `-` for standard input. May be given several times.",
)
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@reason_option
@calling
def apply_command(
    remote: Remote, paths: tuple[Path, ...], dry_run: bool, reason: str, namespace: str, as_json: bool
) -> int:
    """Store the experiments of files: new ones as drafts, changed ones as the files have them now.

    Everything is checked before the first change. Applying twice changes nothing, and no experiment
    is ever started, stopped or deleted.
    """
    found, faults = read_definitions(paths, namespace=namespace)
    planned: list[Planned] = []
    try:
        planned, refused = plan(remote, found)
        faults += refused
    except WireError:
        # What is wrong in the files can be said without the server.
        if not faults:
            raise
    if faults:
        print_faults(faults, "nothing was changed", as_json=as_json)
        return 1
    for done, each in enumerate(planned):
        if not dry_run:
            _carry_out(remote, each, reason=reason, done=done)
        if not as_json:
            _print(each, dry_run=dry_run)
    if as_json:
        experiments = [each.as_mapping() for each in planned]
        print_json({"dryRun": dry_run, "experiments": experiments, "summary": _counts(planned)})
    elif len(planned) > 1 or dry_run:
        counts = ", ".join(f"{count} {action}" for action, count in _counts(planned).items() if count)
        click.echo(
            f"{plural(len(planned), 'experiment')}: {counts}{'; a dry run, nothing was done' if dry_run else ''}"
        )
    return 0


def _carry_out(remote: Remote, planned: Planned, *, reason: str, done: int) -> None:
    try:
        carry_out(remote, planned, reason=reason)
    except WireError:
        if done:
            message = f"{plural(done, 'experiment')} of these files had been applied before; applying again goes on"
            click.echo(message, err=True)
        raise


def _print(planned: Planned, *, dry_run: bool) -> None:
    identifier = planned.found.experiment.id
    for warning in planned.warnings:
        click.echo(f"warning: {planned.found.fault(warning.message, warning.field)}", err=True)
    if planned.action == UNCHANGED:
        click.echo(f"`{identifier}` is unchanged")
    elif planned.action == UPDATED:
        click.echo(f"{'would change' if dry_run else 'changed'} `{identifier}`: {planned}")
    elif dry_run:
        click.echo(f"would create `{identifier}` as a draft")
    else:
        click.echo(f"created `{identifier}` as a draft; `klero start {identifier}` starts it")


def _counts(planned: Sequence[Planned]) -> dict[str, int]:
    counts = Counter(each.action for each in planned)
    return {action: counts[action] for action in (CREATED, UPDATED, UNCHANGED)}
