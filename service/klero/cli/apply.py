"""`klero apply`: from a file to a stored definition."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from klero.audit import field_changes
from klero.cli.common import calling, print_json, print_warnings
from klero.definition import parse
from klero.errors import WireError
from klero.v1.experiment_pb2 import Experiment
from klero.v1.experiment_service_pb2 import CreateExperimentRequest, GetExperimentRequest

if TYPE_CHECKING:
    from klero.client.remote import Remote


@click.command("apply")
@click.option("-f", "--file", "path", type=click.Path(path_type=Path), required=True, help="YAML or JSON.")
@click.option("--reason", default="", help="Why, for the audit trail.")
@calling
def apply_command(remote: Remote, path: Path, reason: str, namespace: str, as_json: bool) -> None:
    """Store the experiment of a file as a draft; twice is no change, and it never starts by itself."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path} cannot be read: {error.strerror if isinstance(error, OSError) else 'not UTF-8'}"
        raise click.ClickException(message) from error
    definition = parse(text, source_name=str(path))
    definition.namespace = definition.namespace or namespace
    try:
        created = remote.experiments("CreateExperiment", CreateExperimentRequest(experiment=definition, reason=reason))
    except WireError as error:
        if error.wire_reason != "ERROR_REASON_ALREADY_EXISTS":
            raise
        _compare(remote, definition, as_json=as_json)
        return
    if as_json:
        print_json(created)
        return
    print_warnings(created.warnings)
    click.echo(f"created `{created.experiment.id}` as a draft; `klero start {created.experiment.id}` starts it")


def _compare(remote: Remote, definition: Experiment, *, as_json: bool) -> None:
    """Say that nothing changed, or fail with what would: this version does not change definitions."""
    stored = remote.experiments(
        "GetExperiment", GetExperimentRequest(id=definition.id, namespace=definition.namespace)
    ).experiment
    # The server's own reading of the file, so that spelling makes no difference.
    meant = remote.experiments(
        "CreateExperiment", CreateExperimentRequest(experiment=definition, validate_only=True)
    ).experiment
    changed = [change.path for change in field_changes(_authored(stored), _authored(meant))]
    if changed:
        message = (
            f"experiment `{definition.id}` exists and differs in {', '.join(changed)}; "
            "changing a definition is not supported by this version: store it under another id"
        )
        raise click.ClickException(message)
    if as_json:
        print_json({"experiment": {"id": stored.id}, "unchanged": True})
    else:
        click.echo(f"`{definition.id}` is unchanged")


def _authored(experiment: Experiment) -> Experiment:
    """What the author wrote, without what the server set."""
    authored = Experiment()
    authored.CopyFrom(experiment)
    authored.ClearField("status")
    authored.ClearField("started_at")
    authored.ClearField("ended_at")
    authored.ClearField("iteration")
    authored.ClearField("allocation")
    authored.ClearField("status_reason")
    authored.ClearField("shipped_variant_id")
    authored.ClearField("closed_early")
    authored.analysis_plan.ClearField("frozen_at")
    authored.analysis_plan.ClearField("digest")
    return authored
