"""`klero start`, `stop`, `archive` and `delete`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from klero.cli.common import calling, print_json, print_warnings
from klero.v1.experiment_service_pb2 import (
    ArchiveExperimentRequest,
    DeleteExperimentRequest,
    StartExperimentRequest,
    StopExperimentRequest,
)

if TYPE_CHECKING:
    from klero.client.remote import Remote

_reason_option = click.option("--reason", default="", help="Why, for the audit trail.")


@click.command("start")
@click.argument("experiment_id", metavar="EXPERIMENT")
@_reason_option
@calling
def start_command(remote: Remote, experiment_id: str, reason: str, namespace: str, as_json: bool) -> None:
    """Begin an iteration: freeze the plan and let entities in."""
    started = remote.experiments(
        "StartExperiment", StartExperimentRequest(id=experiment_id, namespace=namespace, reason=reason)
    )
    if as_json:
        print_json(started)
        return
    print_warnings(started.warnings)
    experiment = started.experiment
    shares = ", ".join(
        f"{variant.id} {experiment.allocation.weights[variant.id]:g} %"
        for variant in (experiment.control, *experiment.variants)
    )
    traffic = experiment.allocation.traffic_percentage
    click.echo(f"started `{experiment.id}`, iteration {experiment.iteration}: {shares}; {traffic:g} % of the traffic")


@click.command("stop")
@click.argument("experiment_id", metavar="EXPERIMENT")
@click.option("--ship", "variant_id", default="", metavar="VARIANT", help="What everyone gets. Default: the control.")
@click.option("--immediate", is_flag=True, help="Close open outcome windows now, and leave their entities out.")
@_reason_option
@calling
def stop_command(
    remote: Remote,
    experiment_id: str,
    variant_id: str,
    immediate: bool,
    reason: str,
    namespace: str,
    as_json: bool,
) -> None:
    """End the iteration and decide what everyone gets from now on."""
    stopped = remote.experiments(
        "StopExperiment",
        StopExperimentRequest(
            id=experiment_id, namespace=namespace, reason=reason, ship_variant_id=variant_id, immediate=immediate
        ),
    )
    if as_json:
        print_json(stopped)
    else:
        click.echo(f"`{stopped.experiment.id}` is {stopped.experiment.status_reason}")


@click.command("archive")
@click.argument("experiment_id", metavar="EXPERIMENT")
@_reason_option
@calling
def archive_command(remote: Remote, experiment_id: str, reason: str, namespace: str, as_json: bool) -> None:
    """Put an ended experiment away, for good: code that asks for it learns that there is none."""
    archived = remote.experiments(
        "ArchiveExperiment", ArchiveExperimentRequest(id=experiment_id, namespace=namespace, reason=reason)
    )
    if as_json:
        print_json(archived)
    else:
        click.echo(f"`{experiment_id}` is archived")


@click.command("delete")
@click.argument("experiment_id", metavar="EXPERIMENT")
@_reason_option
@calling
def delete_command(remote: Remote, experiment_id: str, reason: str, namespace: str, as_json: bool) -> None:
    """Delete a draft. What was ever started can be archived instead."""
    deleted = remote.experiments(
        "DeleteExperiment", DeleteExperimentRequest(id=experiment_id, namespace=namespace, reason=reason)
    )
    if as_json:
        print_json(deleted)
    else:
        click.echo(f"`{experiment_id}` is deleted")
