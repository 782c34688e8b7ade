"""`klero doctor`: look for what is wrong and say what to do."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from klero.cli.common import address_option, json_option, namespace_option, plural, print_json, table_console
from klero.cli.doctor.finding import Finding, State
from klero.cli.local import data_dir_option
from klero.data_directory import DataDirectory
from klero.errors import StartupError
from klero.settings import chosen_address

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_STYLES = {State.OK: "green", State.WARNING: "yellow", State.FAILED: "red"}


@click.command("doctor")
@data_dir_option
@address_option
@namespace_option
@json_option
def doctor_command(data_dir: Path, address: str | None, namespace: str, as_json: bool) -> int:
    """Check data directory, disk, events, core, server, versions and clocks; nothing is changed.

    Each line is ok, a warning or failed, and says what to do. The exit code is 1 if something failed.
    """
    findings = list(_findings(DataDirectory(data_dir), chosen_address(address), namespace))
    failed = sum(finding.state is State.FAILED for finding in findings)
    if as_json:
        print_json({"findings": [asdict(finding) for finding in findings], "failed": failed})
    else:
        _print(findings)
    return 1 if failed else 0


def _findings(directory: DataDirectory, address: str, namespace: str) -> Iterator[Finding]:
    from klero.cli.doctor import events, local, server
    from klero.engine import PROFILE

    yield from local.check_directory(directory)
    yield from local.check_disk(directory)
    yield from local.check_journal_time(directory, now_ms=time.time_ns() // 1_000_000)
    if directory.journal.exists():
        try:
            yield from events.check_events(events.journal_events(directory))
        except (StartupError, click.ClickException) as error:
            yield Finding("events", State.FAILED, f"cannot be read: {error}", "look with `klero journal check`")
    yield from local.check_core(PROFILE)
    yield from server.check_server(address, namespace=namespace, used_by=local.owner(directory.path))


def _print(findings: list[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column("state", no_wrap=True)
    table.add_column("check", no_wrap=True)
    table.add_column("found", overflow="fold")
    for finding in findings:
        table.add_row(Text(finding.state, style=_STYLES[finding.state]), finding.check, finding.sentence)
        if finding.advice:
            table.add_row("", "", f"-> {finding.advice}")
    table_console().print(table)
    counts = [
        plural(sum(finding.state is state for finding in findings), word)
        for state, word in ((State.WARNING, "warning"), (State.FAILED, "failure"))
    ]
    click.echo(f"{plural(len(findings), 'check')}, {', '.join(counts)}")
