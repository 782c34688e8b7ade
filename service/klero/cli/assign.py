"""`klero assign`: decisions from the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from klero.cli.common import calling, experiment_argument, print_json
from klero.definition import to_mapping
from klero.v1.decision_pb2 import ExposureMode
from klero.v1.decision_service_pb2 import AssignRequest

if TYPE_CHECKING:
    from klero.client.remote import Remote


@click.command("assign")
@experiment_argument
@click.argument("entity_ids", metavar="ENTITY...", nargs=-1, required=True)
@click.option("--no-exposure", is_flag=True, help="Only look: do not record that the entity was given its variant.")
@calling
def assign_command(
    remote: Remote,
    experiment_id: str,
    entity_ids: tuple[str, ...],
    no_exposure: bool,
    namespace: str,
    as_json: bool,
) -> None:
    """Decide which variant each ENTITY gets."""
    exposure = ExposureMode.EXPOSURE_MODE_NONE if no_exposure else ExposureMode.EXPOSURE_MODE_AUTO
    decisions = [
        remote.decisions(
            "Assign",
            AssignRequest(experiment_id=experiment_id, entity_id=entity_id, exposure=exposure, namespace=namespace),
        ).decision
        for entity_id in entity_ids
    ]
    plain = [to_mapping(decision) for decision in decisions]
    if as_json:
        print_json({"decisions": plain})
        return
    for entity_id, decision in zip(entity_ids, plain, strict=True):
        config = f"  {json.dumps(decision['config'], ensure_ascii=False)}" if "config" in decision else ""
        click.echo(f"{entity_id}: {decision['variantId']} ({decision['reason']}){config}")
