"""`klero forget`: an entity of which nothing may be known any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from klero.cli.common import calling, print_answer, reason_option
from klero.v1.experiment_service_pb2 import ForgetEntityRequest

if TYPE_CHECKING:
    from klero.client.remote import Remote


@click.command("forget")
@click.argument("entity_id", metavar="ENTITY")
@reason_option
@calling
def forget_command(remote: Remote, entity_id: str, reason: str, namespace: str, as_json: bool) -> None:
    """Have nothing known of ENTITY any more: it leaves all results, and the export.

    This cannot be undone. Older backups, and the files of earlier exports, still have it.
    """
    forgotten = remote.experiments(
        "ForgetEntity", ForgetEntityRequest(namespace=namespace, entity_id=entity_id, reason=reason)
    )
    print_answer(
        forgotten,
        f"forgot `{entity_id}`; results from journal position {forgotten.position} on lack it",
        as_json=as_json,
    )
