"""`klero results`: what was measured and what follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from klero.cli.common import calling, print_json
from klero.v1.experiment_service_pb2 import GetExperimentRequest, GetExperimentResultsRequest
from klero.v1.results_pb2 import ResultsView

if TYPE_CHECKING:
    from klero.client.remote import Remote

_VIEWS = {"settled": ResultsView.RESULTS_VIEW_SETTLED, "live": ResultsView.RESULTS_VIEW_LIVE}


@click.command("results")
@click.argument("experiment_id", metavar="EXPERIMENT")
@click.option("--iteration", type=click.IntRange(min=0), default=0, help="Counts starts. Default: the latest.")
@click.option(
    "--min-position", type=click.IntRange(min=0), default=0, help="Wait until this journal position is counted."
)
@click.option(
    "--view",
    type=click.Choice(list(_VIEWS)),
    default="settled",
    help="Entities whose window has closed, or all with what they have so far. Default: settled.",
)
@click.option(
    "--dimension", "dimensions", multiple=True, metavar="NAME", help="Break down by this attribute; up to 4 times."
)
@calling
def results_command(
    remote: Remote,
    experiment_id: str,
    iteration: int,
    min_position: int,
    view: str,
    dimensions: tuple[str, ...],
    namespace: str,
    as_json: bool,
) -> None:
    """Show verdict, estimates and health of an experiment."""
    results = remote.experiments(
        "GetExperimentResults",
        GetExperimentResultsRequest(
            id=experiment_id,
            namespace=namespace,
            iteration=iteration,
            min_position=min_position,
            view=_VIEWS[view],
            dimensions=dimensions,
        ),
    ).results
    if as_json:
        print_json(results)
        return
    from rich.console import Console

    from klero.report.tables import results_table

    experiment = remote.experiments(
        "GetExperiment", GetExperimentRequest(id=experiment_id, namespace=namespace)
    ).experiment
    Console(highlight=False).print(results_table(experiment, results))
