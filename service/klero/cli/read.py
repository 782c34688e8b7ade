"""`klero list` and `klero show`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from klero.cli.common import calling, print_json
from klero.definition import to_mapping, to_yaml
from klero.v1.experiment_service_pb2 import GetExperimentRequest, ListExperimentsRequest

if TYPE_CHECKING:
    from klero.client.remote import Remote
    from klero.v1.experiment_pb2 import Experiment


@click.command("list")
@calling
def list_command(remote: Remote, namespace: str, as_json: bool) -> None:
    """List the experiments of a namespace."""
    experiments: list[Experiment] = []
    token = ""
    while True:
        page = remote.experiments("ListExperiments", ListExperimentsRequest(namespace=namespace, page_token=token))
        experiments.extend(page.experiments)
        token = page.next_page_token
        if not token:
            break
    if as_json:
        print_json({"experiments": [to_mapping(experiment) for experiment in experiments]})
        return
    if not experiments:
        click.echo("no experiments; `klero apply -f FILE` stores one")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("id", "type", "status", "iteration", "variants"):
        table.add_column(column, justify="right" if column == "iteration" else "left", overflow="fold")
    for experiment in experiments:
        plain = to_mapping(experiment)
        variants = ", ".join(variant.id for variant in (experiment.control, *experiment.variants))
        table.add_row(experiment.id, str(plain["type"]), str(plain["status"]), str(experiment.iteration), variants)
    Console(highlight=False).print(table)


@click.command("show")
@click.argument("experiment_id", metavar="EXPERIMENT")
@calling
def show_command(remote: Remote, experiment_id: str, namespace: str, as_json: bool) -> None:
    """Show an experiment as it is stored, in the form that `apply` reads."""
    experiment = remote.experiments(
        "GetExperiment", GetExperimentRequest(id=experiment_id, namespace=namespace)
    ).experiment
    if as_json:
        print_json(experiment)
    else:
        click.echo(to_yaml(experiment), nl=False)
