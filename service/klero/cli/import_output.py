"""What `klero import` shows: progress, what was left out, and what an import would send."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from klero.cli.common import plural, print_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from klero.cli.importing import ImportPlan, ImportReport, Survey
    from klero.client.remote import Remote

_PROBLEMS_SHOWN = 10


def import_with_progress(remote: Remote, plan: ImportPlan) -> ImportReport:
    """Import with a progress bar on the terminal.

    Raises:
        ImportFileError: The file cannot be read, or lacks a column.
        WireError: The server refused a batch whole.
    """
    from klero.cli.importing import ImportReport, import_file

    report = ImportReport()
    try:
        with _progress(plan.path, "importing") as progress:
            import_file(remote, plan, report=report, progress=progress)
    except KeyboardInterrupt:
        message = f"stopped after {plural(report.rows, 'row')}; the same import again goes on, nothing counts twice"
        click.echo(message, err=True)
        raise
    return report


def survey_with_progress(plan: ImportPlan) -> Survey:
    """Read the file with a progress bar on the terminal.

    Raises:
        ImportFileError: The file cannot be read, or lacks a column.
    """
    from klero.cli.importing import survey

    with _progress(plan.path, "reading") as progress:
        return survey(plan, progress=progress)


def print_survey(plan: ImportPlan, found: Survey, *, as_json: bool) -> int:
    """Say what would be imported; returns the exit code."""
    report = found.report
    variants = {variant: found.of_variant[variant] for variant in dict.fromkeys(plan.variants.values())}
    events = {event: found.of_event[event] for event in plan.events}
    if as_json:
        print_json(
            {
                "dryRun": True,
                "rows": report.rows,
                "entities": found.entities,
                "variants": variants,
                "outcomes": events,
                "severalVariants": found.several_variants,
                "rejected": report.rejected,
                "problems": report.problems,
            }
        )
        return 1 if report.rejected else 0
    click.echo(f"would import {plural(report.rows, 'row')} into `{plan.experiment.id}`; a dry run, nothing was sent")
    click.echo(f"  entities: {found.entities:,}, {_source(plan.entity_column, 'numbered by row')}")
    shares = ", ".join(f"{variant} {count:,}" for variant, count in variants.items())
    click.echo(f"  variants: {shares}; {_source(plan.variant_column)}")
    for event, count in events.items():
        read_by = [
            metric.name
            for metric in plan.experiment.metrics
            if event in {metric.event or metric.name, metric.denominator_event}
        ]
        metrics = f"for {', '.join(read_by)}" if read_by else "no metric reads it"
        click.echo(f"  event {event}: {plural(count, 'outcome')}, {_source(plan.events[event])}, {metrics}")
    click.echo(f"  time: {_source(plan.time_column, 'now')}")
    if found.several_variants:
        click.echo(
            f"  entities with rows of several variants: {found.several_variants:,}, the first row counts", err=True
        )
    print_problems(report)
    return 1 if report.rejected else 0


def print_problems(report: ImportReport) -> None:
    """Name the first rows and cells that are left out."""
    for problem in report.problems[:_PROBLEMS_SHOWN]:
        click.echo(f"  left out: {problem}", err=True)
    if report.rejected > _PROBLEMS_SHOWN:
        click.echo(f"  ... and {report.rejected - _PROBLEMS_SHOWN:,} more", err=True)


@contextmanager
def _progress(path: Path, action: str) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from klero.cli.import_rows import count_rows

    total = count_rows(path)
    columns = (TextColumn(action), BarColumn(), MofNCompleteColumn(), TextColumn("rows"), TimeRemainingColumn())
    # Gone at the end: what stays is one sentence about the result.
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda rows: bar.update(task, completed=rows)
        bar.update(task, completed=total)


def _source(column: str | None, without: str = "") -> str:
    return without if column is None else f"from column `{column}`"
