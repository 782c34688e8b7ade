"""`klero import`: finished or foreign data into an experiment that another system assigns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from klero.cli.common import calling, plural, print_json
from klero.cli.import_output import import_with_progress, print_problems, print_survey, survey_with_progress
from klero.v1.experiment_service_pb2 import GetExperimentRequest

if TYPE_CHECKING:
    from klero.client.remote import Remote
    from klero.v1.experiment_pb2 import Experiment


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
    "--time",
    "time_column",
    metavar="COLUMN",
    help="When the entity got its variant and its outcomes happened, such as 2026-01-31T09:00:00Z. Default: now.",
)
@click.option(
    "--map",
    "mapped",
    multiple=True,
    metavar="VALUE=VARIANT",
    help="A value of the variant column and its variant. Ids and names of variants are known.",
)
@click.option(
    "--event",
    "events",
    multiple=True,
    metavar="EVENT=COLUMN",
    help="An event and the column of its values. Default: the column of the same name for each event of a metric.",
)
@click.option("--encoding", default="utf-8", show_default=True, metavar="NAME", help="Of a CSV file, such as latin-1.")
@click.option("--dry-run", is_flag=True, help="Read the whole file, say what would be imported, and send nothing.")
@calling
def import_command(
    remote: Remote,
    experiment_id: str,
    path: Path,
    variant_column: str,
    entity_column: str | None,
    time_column: str | None,
    mapped: tuple[str, ...],
    events: tuple[str, ...],
    encoding: str,
    dry_run: bool,
    namespace: str,
    as_json: bool,
) -> int:
    """Import FILE into EXPERIMENT, which another system assigns: a row is an entity with its outcomes.

    FILE is CSV with a header, separated by commas, semicolons, tabs or bars, .gz or not; or Parquet.
    The same rows twice count once.
    """
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
        time_column=time_column,
        encoding=encoding,
    )
    if dry_run:
        return print_survey(plan, survey_with_progress(plan), as_json=as_json)
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
        rate = round(report.rows / report.elapsed_s)
        counts = f"{plural(report.rows, 'row')}: {report.accepted:,} exposures and outcomes"
        click.echo(f"imported {counts}, {rate:,} rows/s")
        print_problems(report)
    return 1 if report.rejected else 0


def variants_by_value(experiment: Experiment) -> dict[str, str]:
    """Variant ids by what a file may call them: their names, and their ids before those."""
    variants = (experiment.control, *experiment.variants)
    names = {variant.name: variant.id for variant in variants if variant.name}
    return names | {variant.id: variant.id for variant in variants}


def events_by_name(experiment: Experiment) -> dict[str, str]:
    """Events of the metrics, each read from the column of its name."""
    read = [metric.event or metric.name for metric in experiment.metrics]
    divided_by = [metric.denominator_event for metric in experiment.metrics if metric.denominator_event]
    return {event: event for event in read + divided_by}


def _pairs(option: str, given: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for pair in given:
        left, equals, right = pair.rpartition("=")
        if not equals or not left or not right:
            message = f"{option} `{pair}` must be two names with `=` between"
            raise click.UsageError(message)
        pairs[left] = right
    return pairs
