"""What the logs of the clients say must be there, and what they were told that cannot be true."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from klero.v1.decision_service_pb2 import RecordRequest
from tests.drill.batches import OutcomeRow, rows

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# How a call may fail when the server is killed.
_KILLED = "UNAVAILABLE"


@dataclass(slots=True)
class Logs:
    """The logs of all clients, read when every batch has been answered."""

    outcomes: Counter[OutcomeRow] = field(default_factory=Counter)
    """Rows that must be there, each as often as it was meant."""

    variants: dict[str, str] = field(default_factory=dict)
    """Variant by entity."""

    position: int = 0
    """Last one that was acknowledged."""

    faults: list[str] = field(default_factory=list)
    """Answers that cannot be true, and batches without any."""


def read_logs(paths: Iterable[Path]) -> Logs:
    """Read the logs at `paths`."""
    found = Logs()
    event_ids: set[str] = set()
    for path in paths:
        sent, acknowledged = _read(path, found)
        for request in sent.values():
            found.variants |= {exposure.entity_id: exposure.variant_id for exposure in request.exposures}
            new = [row for row in rows(request) if not row.event_id or row.event_id not in event_ids]
            event_ids |= {row.event_id for row in new}
            found.outcomes.update(new)
        found.faults += [f"batch {each} was never answered" for each in sent.keys() - acknowledged]
    return found


def _read(path: Path, found: Logs) -> tuple[dict[str, RecordRequest], set[str]]:
    """Batches by request id, and the ids of those that were acknowledged; adds faults and the position."""
    sent: dict[str, RecordRequest] = {}
    acknowledged: set[str] = set()
    for line in path.read_text(encoding="utf-8").splitlines():
        word, _, rest = line.partition(" ")
        if word == "sent":
            request = RecordRequest.FromString(bytes.fromhex(rest))
            sent[request.request_id] = request
        elif word == "failed":
            if not rest.startswith(_KILLED):
                found.faults.append(f"a call failed: {rest}")
        else:
            request_id, accepted, position = rest.split()
            items = len(sent[request_id].exposures) + len(sent[request_id].outcomes)
            if word == "stored" and request_id in acknowledged:
                found.faults.append(f"batch {request_id} was acknowledged, and stored again when it was repeated")
            if int(accepted) != items:
                found.faults.append(f"batch {request_id} has {items} items, {accepted} were accepted")
            acknowledged.add(request_id)
            found.position = max(found.position, int(position))
    return sent, acknowledged
