"""`klero results`: what was measured and what follows from it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from klero.cli.common import calling, experiment_argument, print_json
from klero.v1.experiment_service_pb2 import GetExperimentRequest, GetExperimentResultsRequest
from klero.v1.results_pb2 import ResultsView

if TYPE_CHECKING:
    from klero.client.remote import Remote

_INTERVAL_S = 2.0
_VIEWS = {"settled": ResultsView.RESULTS_VIEW_SETTLED, "live": ResultsView.RESULTS_VIEW_LIVE}


@click.command("results")
@experiment_argument
@click.option(
    "--iteration", type=click.IntRange(min=0), default=0, metavar="NUMBER", help="Counts starts. Default: the latest."
)
@click.option(
    "--min-position",
    type=click.IntRange(min=0),
    default=0,
    metavar="POSITION",
    help="Wait until this journal position is counted, as `klero record` printed it; at most 30 s.",
)
@click.option(
    "--view",
    type=click.Choice(list(_VIEWS)),
    default="settled",
    show_default=True,
    help="Entities whose window has closed, or all with what they have so far.",
)
@click.option(
    "--dimension", "dimensions", multiple=True, metavar="NAME", help="Break down by this attribute; up to 4 times."
)
@click.option("--follow", is_flag=True, help="Look again and again until the results are final; Ctrl-C ends it.")
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(min=0.1),
    metavar="SECONDS",
    help=f"Between two looks of --follow. Default: {_INTERVAL_S:g}.",
)
@calling
def results_command(
    remote: Remote,
    experiment_id: str,
    iteration: int,
    min_position: int,
    view: str,
    dimensions: tuple[str, ...],
    follow: bool,
    interval_s: float | None,
    namespace: str,
    as_json: bool,
) -> None:
    """Show verdict, estimates and health of an experiment.

    --follow redraws them in place on a terminal. Piped, or with --json, it prints one line of JSON for
    each change.
    """
    if interval_s is not None and not follow:
        message = "--interval goes with --follow"
        raise click.UsageError(message)
    request = GetExperimentResultsRequest(
        id=experiment_id,
        namespace=namespace,
        iteration=iteration,
        min_position=min_position,
        view=_VIEWS[view],
        dimensions=dimensions,
    )
    if follow:
        _follow(remote, request, interval_s=interval_s or _INTERVAL_S, as_json=as_json)
        return
    results = remote.experiments("GetExperimentResults", request).results
    if as_json:
        print_json(results)
        return
    from rich.console import Console

    from klero.report.tables import results_table

    experiment = remote.experiments(
        "GetExperiment", GetExperimentRequest(id=experiment_id, namespace=namespace)
    ).experiment
    Console(highlight=False).print(results_table(experiment, results))


def _follow(remote: Remote, request: GetExperimentResultsRequest, *, interval_s: float, as_json: bool) -> None:
    from klero.cli.following import follow_as_json, follow_on_terminal, looks

    found = looks(remote, request, interval_s=interval_s)
    if as_json or not sys.stdout.isatty():
        follow_as_json(found)
    else:
        follow_on_terminal(found, interval_s=interval_s)
