"""Pages of a list: how many items one has, and the token that leads to the next."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

from klero.errors import FieldViolation, InvalidFieldError

if TYPE_CHECKING:
    from google.protobuf.message import Message

_DEFAULT = 100
_MOST = 1000
_DIGEST_CHARS = 8


class Page(NamedTuple):
    """The part of a list that is asked for."""

    size: int
    """Most items."""

    last: str
    """The last item of the page before. Empty: this is the first."""


def page_of(request: Any) -> Page:  # noqa: ANN401  # every list has the fields
    """Read which page is asked for.

    Raises:
        InvalidFieldError: The size is none, or no answer to a request with the same other fields has given the token.
    """
    violations = []
    if not 0 <= request.page_size <= _MOST:
        violations.append(FieldViolation("pageSize", f"{request.page_size} must be from 0 to {_MOST}"))
    digest, _, last = request.page_token.partition("-")
    if request.page_token and digest != _digest(request):
        why = "belongs to another list: send what an answer gave, with the same other fields"
        violations.append(FieldViolation("pageToken", why))
    if violations:
        raise InvalidFieldError(tuple(violations))
    return Page(request.page_size or _DEFAULT, last)


def page_token(request: Message, last: str) -> str:
    """Leads to the items after `last`, for requests that otherwise equal `request`."""
    return f"{_digest(request)}-{last}"


def _digest(request: Message) -> str:
    same = type(request)()
    same.CopyFrom(request)
    same.ClearField("page_token")
    same.ClearField("page_size")
    return hashlib.sha256(same.SerializeToString(deterministic=True)).hexdigest()[:_DIGEST_CHARS]
