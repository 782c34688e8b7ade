"""`klero audit`: who changed what, when and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click
from google.protobuf import json_format

from klero.cli.common import ExperimentId, calling, print_json
from klero.definition import to_mapping
from klero.v1.experiment_service_pb2 import ListAuditEntriesRequest

if TYPE_CHECKING:
    from klero.client.remote import Remote
    from klero.v1.events_pb2 import AuditEntry, FieldChange

# Characters of a value.
_SHOWN = 60
# The most that the server gives at once.
_PAGE = 1000


@click.command("audit")
@click.argument("resource_id", metavar="[EXPERIMENT]", type=ExperimentId(), required=False, default="")
@click.option("--actor", default="", metavar="NAME", help="Only what this one did.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, metavar="NUMBER", show_default=True, help="Entries at the most."
)
@calling
def audit_command(remote: Remote, resource_id: str, actor: str, limit: int, namespace: str, as_json: bool) -> None:
    """Show every change of definitions and their status, newest first."""
    entries: list[AuditEntry] = []
    token = ""
    while len(entries) < limit:
        page = remote.experiments(
            "ListAuditEntries",
            ListAuditEntriesRequest(
                namespace=namespace,
                resource_id=resource_id,
                actor=actor,
                page_size=min(limit - len(entries), _PAGE),
                page_token=token,
            ),
        )
        entries.extend(page.entries)
        token = page.next_page_token
        if not token:
            break
    if as_json:
        print_json({"entries": [to_mapping(entry) for entry in entries]})
        return
    for entry in entries:
        click.echo(_line(entry))
        for change in entry.changes:
            click.echo(f"  {change.path}: {_value(change, 'before')} -> {_value(change, 'after')}")
    if token:
        click.echo(f"... and older ones; `--limit` says how many are shown, here {limit}")
    elif not entries:
        click.echo("no changes")


def _line(entry: AuditEntry) -> str:
    reason = f": {entry.reason}" if entry.reason else ""
    at = entry.occurred_at.ToJsonString()
    return f"{entry.revision}  {at}  {entry.actor}  {entry.action} `{entry.resource_id}`{reason}"


def _value(change: FieldChange, side: Literal["before", "after"]) -> str:
    if not change.HasField(side):
        return "unset"
    text = json_format.MessageToJson(getattr(change, side), indent=None)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
