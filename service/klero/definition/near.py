"""What someone probably meant."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def did_you_mean(found: str, allowed: Iterable[str]) -> str:
    """`, did you mean ...?` with the nearest of `allowed`, to end a message with; empty if none is near."""
    names = {name.lower().replace("_", ""): name for name in allowed}
    near = difflib.get_close_matches(found.lower().replace("_", ""), names, n=1)
    return f", did you mean `{names[near[0]]}`?" if near else ""
