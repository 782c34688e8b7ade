"""`klero history`: how an estimate has developed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from klero import lifecycle
from klero.cli.common import calling, experiment_argument, plural, print_json
from klero.v1.experiment_service_pb2 import GetExperimentHistoryRequest, GetExperimentRequest
from klero.v1.results_pb2 import ResultsView

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from klero.client.remote import Remote
    from klero.v1.experiment_pb2 import Experiment
    from klero.v1.results_pb2 import HistoryPoint

_VIEWS = {"settled": ResultsView.RESULTS_VIEW_SETTLED, "live": ResultsView.RESULTS_VIEW_LIVE}


@click.command("history")
@experiment_argument
@click.option("--metric", default="", metavar="NAME", help="Default: the primary metric, else the first one.")
@click.option("--iteration", type=click.IntRange(min=0), default=0, help="Counts starts. Default: the latest.")
@click.option(
    "--view",
    type=click.Choice(list(_VIEWS)),
    default="settled",
    help="Entities whose window has closed, or all with what they had by then. Default: settled.",
)
@click.option(
    "--rows",
    type=click.IntRange(min=2),
    default=20,
    show_default=True,
    help="Looks to show at the most, the first and the last one included. --json has all of them.",
)
@calling
def history_command(
    remote: Remote,
    experiment_id: str,
    metric: str,
    iteration: int,
    view: str,
    rows: int,
    namespace: str,
    as_json: bool,
) -> None:
    """Show one metric at the looks that the server took from time to time, and as it is now."""
    history = remote.experiments(
        "GetExperimentHistory",
        GetExperimentHistoryRequest(
            id=experiment_id, namespace=namespace, metric=metric, iteration=iteration, view=_VIEWS[view]
        ),
    )
    if as_json:
        print_json(history)
        return
    if not history.points:
        click.echo(f"`{experiment_id}` was never started; `klero start {experiment_id}` starts it")
        return
    from rich.console import Console

    experiment = remote.experiments(
        "GetExperiment", GetExperimentRequest(id=experiment_id, namespace=namespace)
    ).experiment
    shown = spread(history.points, rows)
    looks = plural(len(history.points), "look")
    some = f"{len(shown)} of {looks}" if len(shown) < len(history.points) else looks
    console = Console(highlight=False)
    last = "now" if iteration in {0, experiment.iteration} and experiment.status in lifecycle.MEASURING else "the end"
    title = f"{history.metric or 'enrolment, as there is no metric'}: {some}, the last one is {last}"
    console.print(title, style="bold")
    console.print(_table(experiment, shown))
    level = next((found.result for point in shown for found in point.comparisons), None)
    if level is not None and not level.always_valid:
        console.print("Intervals with a fixed horizon: right at the planned end only, not at each look.", style="dim")


def spread(points: Sequence[HistoryPoint], most: int) -> list[HistoryPoint]:
    """At most `most` of the points, at even distances in their order, the first and the last one included."""
    if len(points) <= most:
        return list(points)
    return [points[round(index * (len(points) - 1) / (most - 1))] for index in range(most)]


def _table(experiment: Experiment, points: Sequence[HistoryPoint]) -> Table:
    """A row a look and variant, the control first."""
    from rich.table import Table

    from klero.report.rows import comparison_cells

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("time (UTC)", no_wrap=True)
    table.add_column("variant", overflow="ellipsis", no_wrap=True, min_width=7)
    for column in ("entities", "lift", "interval", "p"):
        table.add_column(column, justify="right", no_wrap=True)
    for point in points:
        at = point.looked_at.ToDatetime().isoformat(" ", "seconds")
        compared = {found.variant_id: found for found in point.comparisons}
        for variant in (experiment.control, *experiment.variants):
            cells = comparison_cells(compared.get(variant.id))
            table.add_row(at, variant.name or variant.id, f"{point.sample_sizes[variant.id]:,}", *cells)
            # Written once: the rows below belong to it.
            at = ""
    return table
