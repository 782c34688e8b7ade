"""From YAML or JSON text to plain values, within bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klero.definition import json_text, yaml_text
from klero.definition.json_text import NotJsonError
from klero.definition.places import Document, Place, TextError, place_at

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BYTES = 1024 * 1024
"""Longest text that is read, in UTF-8."""

_BOMS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


def decoded(content: bytes, *, source_name: str) -> str:
    """The text of a file; a mark of UTF-8 at its begin is dropped.

    Raises:
        TextError: It is too long or not UTF-8; says where.
    """
    if len(content) > MAX_BYTES:
        raise too_long(source_name, len(content))
    if content[:2] in _BOMS:
        raise TextError(source_name, f"{_BOMS[content[:2]]} is not allowed, save the file as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # Offsets are counted behind the mark; without it there is nothing to skip.
        begin = error.object[: error.start].decode("utf-8-sig")
        problem = f"the byte 0x{error.object[error.start]:02x} is not UTF-8, save the file as UTF-8"
        raise TextError(source_name, problem, place_at(begin, len(begin))) from error


def too_long(source_name: str, size: int) -> TextError:
    """That a text has `size` bytes, which is too much."""
    return TextError(source_name, f"{size} bytes, at most {MAX_BYTES} (1 MiB) are allowed in one file")


def documents(text: str, *, source_name: str) -> list[Document]:
    """The definitions of a text, at least one: JSON has one, YAML one or several with `---` between.

    Args:
        text: YAML or JSON of at most `MAX_BYTES`.
        source_name: Names the text in errors; `*.json` is read as JSON only.

    Raises:
        TextError: It cannot be read, or holds something else than mappings; says where.
    """
    size = len(text.encode(errors="surrogatepass"))
    if size > MAX_BYTES:
        raise too_long(source_name, size)
    if not text.strip():
        raise TextError(source_name, "the file is empty, write a definition such as `id: my-experiment`")
    if source_name.endswith(".json"):
        return json_text.documents(text, source_name)
    if text.lstrip().startswith("{"):
        try:
            return json_text.documents(text, source_name)
        except NotJsonError:
            # A flow mapping of YAML begins like JSON.
            pass
    found = yaml_text.documents(text, source_name)
    if not found:
        raise TextError(source_name, "only comments, write a definition such as `id: my-experiment`", Place(1, 1))
    return found


def load(text: str, *, source_name: str) -> Mapping[object, object]:
    """The one mapping that a text holds.

    Args:
        text: As for `documents`.
        source_name: As for `documents`.

    Raises:
        TextError: As `documents`, or there are several.
    """
    found = documents(text, source_name=source_name)
    if len(found) > 1:
        raise TextError(source_name, "one definition is expected here, and this begins another", found[1].start)
    return found[0].values
