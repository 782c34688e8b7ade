"""`klero list` and `klero show`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from klero import lifecycle
from klero.cli.common import all_experiments, calling, experiment_argument, print_json, table_console
from klero.definition import authored, to_mapping, to_yaml
from klero.v1.experiment_service_pb2 import GetExperimentRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from klero.client.remote import Remote
    from klero.v1.experiment_pb2 import Experiment


@click.command("list")
@click.option(
    "--filter",
    "filter_text",
    default="",
    metavar="CONDITION",
    help="Only these: AIP-160 over status, type, owner, layer_id, entity_type and labels.KEY. "
    "Default: all but archived ones.",
)
@calling
def list_command(remote: Remote, filter_text: str, namespace: str, as_json: bool) -> None:
    """List the experiments of a namespace, by id, however many there are."""
    experiments = list(all_experiments(remote, namespace, filter_text=filter_text))
    if as_json:
        print_json({"experiments": [to_mapping(experiment) for experiment in experiments]})
        return
    if not experiments:
        click.echo("no experiments like that" if filter_text else "no experiments; `klero apply -f FILE` stores one")
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("id", "type", "status", "iteration", "variants"):
        table.add_column(column, justify="right" if column == "iteration" else "left", overflow="fold")
    for experiment in experiments:
        plain = to_mapping(experiment)
        variants = ", ".join(variant.id for variant in (experiment.control, *experiment.variants))
        table.add_row(experiment.id, str(plain["type"]), str(plain["status"]), str(experiment.iteration), variants)
    table_console().print(table)


@click.command("show")
@experiment_argument
@click.option("--yaml", "only_file", is_flag=True, help="Leave out the comment on how it stands.")
@calling
def show_command(remote: Remote, experiment_id: str, only_file: bool, namespace: str, as_json: bool) -> None:
    """Show the definition as a file that `apply` reads, below a comment on how it stands.

    With --json there is everything that is stored, also what the server set.
    """
    experiment = remote.experiments(
        "GetExperiment", GetExperimentRequest(id=experiment_id, namespace=namespace)
    ).experiment
    if as_json:
        print_json(experiment)
        return
    if not only_file:
        for line in _state(experiment):
            click.echo(f"# {line}")
    click.echo(to_yaml(authored(experiment)), nl=False)


def _state(experiment: Experiment) -> Iterator[str]:
    """How an experiment stands, in lines."""
    reason = f" ({experiment.status_reason})" if experiment.status_reason else ""
    yield f"`{experiment.id}` is {lifecycle.status_name(experiment.status)}{reason}"
    if experiment.iteration:
        ended = f", ended {experiment.ended_at.ToJsonString()}" if experiment.HasField("ended_at") else ""
        yield f"iteration {experiment.iteration}, started {experiment.started_at.ToJsonString()}{ended}"
    yield f"changed {experiment.updated_at.ToJsonString()}, revision {experiment.revision}"
