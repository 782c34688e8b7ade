"""The audit trail over gRPC: in pages, by time and by actor."""

from __future__ import annotations

from klero.v1.experiment_service_pb2 import ListAuditEntriesRequest
from tests.rpc.calls import Client, ab_test, refused


def test_the_trail_is_read_page_by_page(client: Client, namespace: str) -> None:
    """A page says where the next one begins, and the last one that it is the last."""
    for number in range(3):
        client.start(ab_test(namespace, f"exp-{number}"))
    found, token = [], ""
    for _ in range(3):
        page = client.experiments.ListAuditEntries(
            ListAuditEntriesRequest(namespace=namespace, page_size=2, page_token=token)
        )
        found += [(entry.action, entry.resource_id) for entry in page.entries]
        token = page.next_page_token

    expected = [(action, f"exp-{n}") for n in (2, 1, 0) for action in ("StartExperiment", "CreateExperiment")]
    assert (expected, "") == (found, token)


def test_the_trail_is_cut_by_time_and_actor(client: Client, namespace: str) -> None:
    """From a time on it is in, and before another one; who did nothing has no entries."""
    client.start(ab_test(namespace))
    last = client.experiments.ListAuditEntries(ListAuditEntriesRequest(namespace=namespace)).entries[0]

    def actions(**fields: object) -> list[str]:
        request = ListAuditEntriesRequest(namespace=namespace, **fields)  # type: ignore[arg-type]  # by name
        return [entry.action for entry in client.experiments.ListAuditEntries(request).entries]

    assert "StartExperiment" in actions(since=last.occurred_at)
    assert "StartExperiment" not in actions(until=last.occurred_at)
    assert [] == actions(actor="controller")
    assert [] == actions(resource_id="other")
    assert 2 == len(actions(resource_id="exp", actor="anonymous"))


def test_pages_that_cannot_be_are_refused(client: Client, namespace: str) -> None:
    """All bad fields at once, each with what is allowed."""
    request = ListAuditEntriesRequest(namespace=namespace, page_size=1001, page_token="-1")  # noqa: S106  # no secret
    found = refused(client.experiments.ListAuditEntries, request)

    assert "INVALID_FIELD" == found.reason
    assert {
        "pageSize": "1001 must be from 0 to 1000",
        "pageToken": "belongs to another list: send what an answer gave, with the same other fields",
    } == found.fields
