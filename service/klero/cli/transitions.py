"""`klero start`, `pause`, `resume`, `stop`, `archive` and `delete`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from klero.cli.common import calling, experiment_argument, print_answer, print_json, print_warnings, reason_option
from klero.lifecycle import SCHEDULED
from klero.v1.experiment_service_pb2 import (
    ArchiveExperimentRequest,
    DeleteExperimentRequest,
    PauseExperimentRequest,
    ResumeExperimentRequest,
    StartExperimentRequest,
    StopExperimentRequest,
)

if TYPE_CHECKING:
    from klero.client.remote import Remote
    from klero.v1.experiment_pb2 import Experiment


@click.command("start")
@experiment_argument
@reason_option
@calling
def start_command(remote: Remote, experiment_id: str, reason: str, namespace: str, as_json: bool) -> None:
    """Begin an iteration: freeze the plan and let entities in.

    A draft is started, and so is a stopped experiment again, with empty results. One with
    `schedule.startAt` ahead waits for it.
    """
    started = remote.experiments(
        "StartExperiment", StartExperimentRequest(id=experiment_id, namespace=namespace, reason=reason)
    )
    if as_json:
        print_json(started)
        return
    print_warnings(started.warnings)
    experiment = started.experiment
    if experiment.status == SCHEDULED:
        click.echo(f"scheduled `{experiment.id}`: it starts at {experiment.schedule.start_at.ToJsonString()}")
    else:
        click.echo(f"started `{experiment.id}`, {_in_force(experiment)}")


@click.command("pause")
@experiment_argument
@reason_option
@calling
def pause_command(remote: Remote, experiment_id: str, reason: str, namespace: str, as_json: bool) -> None:
    """Give everyone the control until `klero resume`.

    Outcomes still count. Entities whose window overlaps the pause are left out of the results, in all
    variants alike.
    """
    paused = remote.experiments(
        "PauseExperiment", PauseExperimentRequest(id=experiment_id, namespace=namespace, reason=reason)
    )
    control = paused.experiment.control.id
    print_answer(
        paused,
        f"paused `{experiment_id}`: everyone gets `{control}` until `klero resume {experiment_id}`",
        as_json=as_json,
    )


@click.command("resume")
@experiment_argument
@reason_option
@calling
def resume_command(remote: Remote, experiment_id: str, reason: str, namespace: str, as_json: bool) -> None:
    """Go on after a pause, in a new epoch of the same iteration."""
    resumed = remote.experiments(
        "ResumeExperiment", ResumeExperimentRequest(id=experiment_id, namespace=namespace, reason=reason)
    )
    print_answer(resumed, f"resumed `{experiment_id}`, {_in_force(resumed.experiment)}", as_json=as_json)


@click.command("stop")
@experiment_argument
@click.option("--ship", "variant_id", default="", metavar="VARIANT", help="What everyone gets. Default: the control.")
@click.option("--immediate", is_flag=True, help="Close open outcome windows now, and leave their entities out.")
@reason_option
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
    """End the iteration and decide what everyone gets from now on.

    Where metrics have windows the experiment is `draining` until the last one has closed; results are
    final then.
    """
    stopped = remote.experiments(
        "StopExperiment",
        StopExperimentRequest(
            id=experiment_id, namespace=namespace, reason=reason, ship_variant_id=variant_id, immediate=immediate
        ),
    )
    print_answer(stopped, f"`{stopped.experiment.id}` is {stopped.experiment.status_reason}", as_json=as_json)


@click.command("archive")
@experiment_argument
@reason_option
@calling
def archive_command(remote: Remote, experiment_id: str, reason: str, namespace: str, as_json: bool) -> None:
    """Put an ended experiment away, for good: code that asks for it learns that there is none.

    Its results stay readable, and its id stays taken.
    """
    archived = remote.experiments(
        "ArchiveExperiment", ArchiveExperimentRequest(id=experiment_id, namespace=namespace, reason=reason)
    )
    print_answer(archived, f"`{experiment_id}` is archived", as_json=as_json)


@click.command("delete")
@experiment_argument
@reason_option
@calling
def delete_command(remote: Remote, experiment_id: str, reason: str, namespace: str, as_json: bool) -> None:
    """Delete a draft. What was ever started can be archived instead."""
    deleted = remote.experiments(
        "DeleteExperiment", DeleteExperimentRequest(id=experiment_id, namespace=namespace, reason=reason)
    )
    print_answer(deleted, f"`{experiment_id}` is deleted", as_json=as_json)


def _in_force(experiment: Experiment) -> str:
    """Who gets what from now on."""
    allocation = experiment.allocation
    shares = ", ".join(
        f"{variant.id} {allocation.weights[variant.id]:g} %" for variant in (experiment.control, *experiment.variants)
    )
    return f"iteration {experiment.iteration}: {shares}; {allocation.traffic_percentage:g} % of the traffic"
