"""Pages of a list: how many items one has, and the token that leads to the next."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from klero.errors import FieldViolation, InvalidFieldError

if TYPE_CHECKING:
    from google.protobuf.message import Message

_DEFAULT = 100
_MOST = 1000
_DIGEST_CHARS = 8


def page_size_faults(requested: int) -> list[FieldViolation]:
    """What is wrong with `page_size` of a request."""
    if 0 <= requested <= _MOST:
        return []
    return [FieldViolation("pageSize", f"{requested} must be from 0 to {_MOST}")]


def page_size(requested: int) -> int:
    """Items of a page, for a size without faults; 0 asks for the default."""
    return requested or _DEFAULT


def page_token(request: Message, last: str) -> str:
    """Leads to the items after `last`, for requests that otherwise equal `request`."""
    return f"{_digest(request)}-{last}"


def after(request: Message, token: str) -> str:
    """The last item of the page before; empty for the first page.

    Raises:
        InvalidFieldError: No answer to a request with the same other fields has given the token.
    """
    if not token:
        return ""
    digest, dash, last = token.partition("-")
    if not dash or digest != _digest(request):
        raise InvalidFieldError(
            (FieldViolation("pageToken", "belongs to a list with other fields: send it with the same ones"),)
        )
    return last


def _digest(request: Message) -> str:
    same = type(request)()
    same.CopyFrom(request)
    same.ClearField("page_token")
    same.ClearField("page_size")
    return hashlib.sha256(same.SerializeToString(deterministic=True)).hexdigest()[:_DIGEST_CHARS]
