"""`klero status`: how an experiment goes, and what was counted beside its results."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from klero.cli.common import calling, experiment_argument, print_json
from klero.lifecycle import status_name
from klero.v1.experiment_service_pb2 import GetExperimentStatusRequest

if TYPE_CHECKING:
    from klero.client.remote import Remote
    from klero.v1.experiment_service_pb2 import GetExperimentStatusResponse


@click.command("status")
@experiment_argument
@calling
def status_command(remote: Remote, experiment_id: str, namespace: str, as_json: bool) -> None:
    """Show how an experiment goes, and every outcome and exposure that took another way than into it."""
    status = remote.experiments(
        "GetExperimentStatus", GetExperimentStatusRequest(id=experiment_id, namespace=namespace)
    )
    if as_json:
        print_json(status)
        return
    from rich.console import Console
    from rich.table import Table

    from klero.report.tables import health_lines

    console = Console(highlight=False)
    console.print(_progress(experiment_id, status))
    for line in health_lines(status.health):
        console.print(line)
    counted = [counter for counter in status.counters if counter.value]
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column("counter", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("meaning", style="dim")
    for counter in counted:
        table.add_row(counter.name, f"{counter.value:,}", counter.description)
    if counted:
        console.print()
        console.print(table)
    rest = len(status.counters) - len(counted)
    console.print(f"{rest} other counters are 0." if counted else f"All {rest} counters beside it are 0.", style="dim")


def _progress(experiment_id: str, status: GetExperimentStatusResponse) -> str:
    words = f"`{experiment_id}` is {status_name(status.status)}"
    if status.iteration:
        progress = status.progress
        words += f", iteration {status.iteration}: {progress.enrolled:,} enrolled, {progress.settled:,} of them settled"
    return f"{words} ({status.status_reason})" if status.status_reason else words
