"""`klero export`: everything that was recorded, as tables for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from klero.cli.common import json_option, plural, print_json
from klero.cli.local import data_dir_option
from klero.cli.row_files import FORMATS

if TYPE_CHECKING:
    from klero.cli.exporting import ExportPlan, ExportReport

_DEFAULT_NAMESPACE = "default"


@click.command("export")
@data_dir_option
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="FOLDER",
    help="Where the files go; made if it is missing. Files of an earlier export are replaced.",
)
@click.option(
    "--format", "file_format", type=click.Choice(FORMATS), default="csv", show_default=True, help="Of the files."
)
@click.option(
    "--namespace", default="", metavar="NAME", help="Only this one. Default: all; `default` with --experiment."
)
@click.option(
    "--experiment", "experiment_id", default="", metavar="ID", help="Only its exposures and its entities' outcomes."
)
@json_option
def export_command(
    data_dir: Path, output: Path, file_format: str, namespace: str, experiment_id: str, as_json: bool
) -> None:
    """Write every exposure and outcome to FOLDER, also beside a running server.

    Batches that were sent twice are written once, forgotten entities not at all. docs/export.md has the columns.
    """
    from klero.cli.exporting import ExportPlan

    plan = ExportPlan(
        data_dir=data_dir,
        output=output,
        file_format=file_format,
        namespace=namespace or (_DEFAULT_NAMESPACE if experiment_id else ""),
        experiment_id=experiment_id,
    )
    written = _export_with_progress(plan)
    if as_json:
        print_json(
            {
                "position": written.position,
                "exposures": written.exposures,
                "outcomes": written.outcomes,
                "files": [str(path) for path in written.files],
            }
        )
    else:
        click.echo(
            f"exported {plural(written.exposures, 'exposure')} and {plural(written.outcomes, 'outcome')} up to journal "
            f"position {written.position}: {', '.join(str(path) for path in written.files)}"
        )


def _export_with_progress(plan: ExportPlan) -> ExportReport:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from klero.cli.exporting import export

    columns = (TextColumn("exporting"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    # A bar is for eyes: programs that read stderr get errors there and nothing else.
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)
        return export(plan, progress=lambda read, total: progress.update(task, completed=read, total=total))
