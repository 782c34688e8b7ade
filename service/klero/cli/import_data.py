"""`klero import`: finished or foreign data into an experiment that another system assigns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from klero.cli.common import calling, plural, print_json
from klero.v1.experiment_service_pb2 import GetExperimentRequest

if TYPE_CHECKING:
    from klero.cli.importing import ImportPlan, ImportReport
    from klero.client.remote import Remote
    from klero.v1.experiment_pb2 import Experiment

_PROBLEMS_SHOWN = 10


@click.command("import")
@click.argument("experiment_id", metavar="EXPERIMENT")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--variant", "variant_column", required=True, metavar="COLUMN", help="Which variant the row's entity had."
)
@click.option(
    "--entity", "entity_column", metavar="COLUMN", help="Id of the entity. Default: rows are numbered from 1."
)
@click.option(
    "--map",
    "mapped",
    multiple=True,
    metavar="VALUE=VARIANT",
    help="A value of that column and its variant. Ids and names of variants are known.",
)
@click.option(
    "--event",
    "events",
    multiple=True,
    metavar="EVENT=COLUMN",
    help="An event and the column of its values. Default: the column of the same name for the event of each metric.",
)
@calling
def import_command(
    remote: Remote,
    experiment_id: str,
    path: Path,
    variant_column: str,
    entity_column: str | None,
    mapped: tuple[str, ...],
    events: tuple[str, ...],
    namespace: str,
    as_json: bool,
) -> int:
    """Import FILE (CSV with a header, .gz or not) into EXPERIMENT: a row is an entity with its outcomes."""
    from klero.cli.importing import ImportPlan

    experiment = remote.experiments(
        "GetExperiment", GetExperimentRequest(id=experiment_id, namespace=namespace)
    ).experiment
    plan = ImportPlan(
        experiment=experiment,
        path=path,
        entity_column=entity_column,
        variant_column=variant_column,
        variants=variants_by_value(experiment) | _pairs("--map", mapped),
        events=_pairs("--event", events) or events_by_name(experiment),
    )
    report = import_with_progress(remote, plan)
    if as_json:
        print_json(
            {
                "rows": report.rows,
                "accepted": report.accepted,
                "rejected": report.rejected,
                "problems": report.problems,
                "position": report.position,
                "rowsPerSecond": round(report.rows / report.elapsed_s),
            }
        )
    else:
        _print(report)
    return 1 if report.rejected else 0


def variants_by_value(experiment: Experiment) -> dict[str, str]:
    """Variant ids by what a file may call them: their names, and their ids before those."""
    variants = (experiment.control, *experiment.variants)
    names = {variant.name: variant.id for variant in variants if variant.name}
    return names | {variant.id: variant.id for variant in variants}


def events_by_name(experiment: Experiment) -> dict[str, str]:
    """Events of the metrics, each read from the column of its name."""
    return {event: event for event in (metric.event or metric.name for metric in experiment.metrics)}


def import_with_progress(remote: Remote, plan: ImportPlan) -> ImportReport:
    """Import with a progress bar on the terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from klero.cli.importing import count_rows, import_file

    columns = (TextColumn("importing"), BarColumn(), MofNCompleteColumn(), TextColumn("rows"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=count_rows(plan.path))
        report = import_file(remote, plan, progress=lambda rows: progress.update(task, completed=rows))
        progress.update(task, completed=report.rows, total=report.rows)
    return report


def _pairs(option: str, given: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for pair in given:
        left, equals, right = pair.rpartition("=")
        if not equals or not left or not right:
            message = f"{option} `{pair}` must be two names with `=` between"
            raise click.UsageError(message)
        pairs[left] = right
    return pairs


def _print(report: ImportReport) -> None:
    rate = round(report.rows / report.elapsed_s)
    click.echo(f"imported {plural(report.rows, 'row')}: {report.accepted:,} exposures and outcomes, {rate:,} rows/s")
    for problem in report.problems[:_PROBLEMS_SHOWN]:
        click.echo(f"  left out: {problem}", err=True)
    if report.rejected > _PROBLEMS_SHOWN:
        click.echo(f"  ... and {report.rejected - _PROBLEMS_SHOWN:,} more", err=True)
