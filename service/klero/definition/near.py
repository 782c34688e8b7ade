"""What someone probably meant."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# Letters; who writes `trafic` means `trafficPercentage`.
_SAME_BEGIN = 4


def did_you_mean(found: str, allowed: Iterable[str]) -> str:
    """`, did you mean ...?` with the nearest of `allowed`, to end a message with; empty if none is near."""
    names = {name.lower().replace("_", ""): name for name in allowed}
    wanted = found.lower().replace("_", "")
    begin_alike = (
        [name for name in names if name.startswith(wanted[:_SAME_BEGIN])] if len(wanted) >= _SAME_BEGIN else []
    )
    near = difflib.get_close_matches(wanted, names, n=1) or begin_alike
    return f", did you mean `{names[near[0]]}`?" if near else ""
