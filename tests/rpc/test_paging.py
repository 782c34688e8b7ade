"""Pages of lists."""

from __future__ import annotations

import pytest

from klero.errors import InvalidFieldError
from klero.rpc.paging import page_of, page_token
from klero.v1.experiment_service_pb2 import ListAuditEntriesRequest, ListExperimentsRequest


@pytest.mark.parametrize(("asked", "size"), [(0, 100), (1, 1), (1000, 1000)])
def test_a_first_page_begins_at_the_begin(asked: int, size: int) -> None:
    """Who names no size gets one that fits a screen."""
    assert (size, "") == page_of(ListExperimentsRequest(page_size=asked))


@pytest.mark.parametrize("last", ["exp", "a-b", "-", "x.y_z-1", "größe"])
def test_a_token_leads_behind_the_last_item(last: str) -> None:
    """Whatever ids look like; the size may change on the way."""
    request = ListExperimentsRequest(namespace="n", filter="owner = a", page_size=5)
    token = page_token(request, last)
    request.page_token, request.page_size = token, 7

    assert (7, last) == page_of(request)
    assert token == page_token(request, last)


@pytest.mark.parametrize(
    "request_",
    [
        ListExperimentsRequest(namespace="other", filter="owner = a"),
        ListExperimentsRequest(namespace="n", filter="owner = b"),
        ListExperimentsRequest(namespace="n"),
        ListAuditEntriesRequest(namespace="n"),
    ],
)
def test_a_token_of_another_list_is_refused(request_: ListExperimentsRequest | ListAuditEntriesRequest) -> None:
    """Its pages would miss items, and nobody would see that."""
    request_.page_token = page_token(ListExperimentsRequest(namespace="n", filter="owner = a"), "exp")

    with pytest.raises(InvalidFieldError) as caught:
        page_of(request_)
    assert ["pageToken"] == [violation.field for violation in caught.value.violations]


@pytest.mark.parametrize("size", [-1, 1001, -(2**31)])
def test_a_size_that_cannot_be_and_a_token_that_is_none_are_named_together(size: int) -> None:
    """All that is wrong at once."""
    with pytest.raises(InvalidFieldError) as caught:
        page_of(ListExperimentsRequest(page_size=size, page_token="exp"))  # noqa: S106  # no password

    assert [("pageSize", f"{size} must be from 0 to 1000")] == [
        (violation.field, violation.description) for violation in caught.value.violations[:1]
    ]
    assert ["pageSize", "pageToken"] == [violation.field for violation in caught.value.violations]
