"""`klero record`: outcomes from the command line or a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

import click

from klero.cli.common import calling, plural, print_json
from klero.client.batches import uuid7
from klero.definition import message_from_mapping, to_mapping
from klero.definition.text import load
from klero.errors import InvalidFieldError
from klero.v1.decision_pb2 import Outcome
from klero.v1.decision_service_pb2 import RecordRequest, RecordResponse
from klero.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from klero.client.remote import Remote

_BATCH = 1000


@click.command("record")
@click.argument("entity_id", metavar="[ENTITY", required=False)
@click.argument("event", metavar="EVENT", required=False)
@click.argument("value", metavar="[VALUE]]", required=False, type=float)
@click.option("--at", metavar="TIME", help="When it happened, such as 2027-01-31T09:00:00Z. Default: now.")
@click.option(
    "--file", "lines", type=click.File(encoding="utf-8"), help="Outcomes as JSON, one a line; `-` reads stdin."
)
@calling
def record_command(
    remote: Remote,
    entity_id: str | None,
    event: str | None,
    value: float | None,
    at: str | None,
    lines: TextIO | None,
    namespace: str,
    as_json: bool,
) -> int:
    """Record an outcome of ENTITY, or those of a file.

    EVENT is what metrics refer to. VALUE is a number; left out it is 1. A line of --file has the fields of
    an Outcome: {"entityId": "run-1", "event": "success", "value": 1}.
    """
    if (lines is None) == (entity_id is None or event is None):
        message = "give ENTITY and EVENT, or --file, and not both"
        raise click.UsageError(message)
    if lines is None:
        fields = {"entityId": entity_id, "event": event, "value": value, "occurredAt": at}
        given = {key: value for key, value in fields.items() if value is not None}
        batches = iter([[(0, message_from_mapping(given, Outcome))]])
    else:
        batches = _batches(lines)
    total = RecordResponse()
    rejected: list[dict[str, object]] = []
    for batch in batches:
        answer = remote.decisions(
            "Record",
            RecordRequest(namespace=namespace, request_id=uuid7(), outcomes=[outcome for _, outcome in batch]),
        )
        total.accepted += answer.accepted
        total.rejected_count += answer.rejected_count
        total.position, total.durability = answer.position, answer.durability
        for item in answer.rejected:
            line, _ = batch[item.index]
            if as_json:
                place = {"line": line} if line else {}
                rejected.append(place | {"reason": ErrorReason.Name(item.reason), "message": item.message})
            else:
                click.echo(f"rejected{f', line {line}' if line else ''}: {item.message}", err=True)
    if as_json:
        print_json(to_mapping(total) | ({"rejected": rejected} if rejected else {}))
    else:
        plain = to_mapping(total)
        click.echo(
            f"recorded {plural(total.accepted, 'outcome')}, durability {plain.get('durability', 'none')}, "
            f"position {total.position}"
        )
    return 1 if total.rejected_count else 0


def _batches(lines: TextIO) -> Iterator[list[tuple[int, Outcome]]]:
    """Outcomes with the number of their line, a thousand at a time; a bad line stops before its batch is sent."""
    batch: list[tuple[int, Outcome]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            batch.append((number, message_from_mapping(load(line, source_name=f"line {number}"), Outcome)))
        except InvalidFieldError as error:
            message = f"line {number}: {error}"
            raise click.ClickException(message) from error
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
