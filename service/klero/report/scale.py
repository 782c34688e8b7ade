"""Places on an axis: values as percent of the way along it, and round numbers to write beside it.

Plots are sized by whoever looks at them, so every place is a share of the plot and none is a pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_MARGIN = 0.06
_FIXED_DECIMALS, _FIXED_DIGITS = 6, 7
_STEPS = (1, 2, 5, 10)


@dataclass(frozen=True, slots=True)
class Scale:
    """A stretch of numbers from `lowest` to `highest`, which is more."""

    lowest: float
    highest: float

    def place(self, value: float) -> float:
        """Percent of the way from `lowest` to `highest`; outside 0 to 100 for what lies outside."""
        return round(100 * (value - self.lowest) / (self.highest - self.lowest), 3)

    def ticks(self, most: int) -> list[float]:
        """Multiples of 1, 2 or 5 times a power of ten, at most `most` of them, lowest first."""
        rough = (self.highest - self.lowest) / most
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in _STEPS if factor * power >= rough * (1 - 1e-9))
        first, last = math.ceil(self.lowest / step), math.floor(self.highest / step)
        return [index * step for index in range(first, last + 1)]


def covering(values: Iterable[float]) -> Scale:
    """The stretch that holds the finite ones of `values`, at least one, with some room at both ends."""
    finite = [value for value in values if math.isfinite(value)]
    lowest, highest = min(finite), max(finite)
    # Without any spread there is still an axis around the value.
    room = _MARGIN * (highest - lowest) or abs(highest) or 1.0
    return Scale(lowest - room, highest + room)


def tick_labels(ticks: list[float], *, signed: bool) -> list[str]:
    """Write ticks with as many decimals as tell neighbours apart; `signed` ones have a plus above 0."""
    step = ticks[1] - ticks[0] if len(ticks) > 1 else max((abs(tick) for tick in ticks), default=1.0) or 1.0
    decimals = max(0, -math.floor(math.log10(step * (1 + 1e-9))))
    largest = max((abs(tick) for tick in ticks), default=0.0)
    fixed = decimals <= _FIXED_DECIMALS and largest < 10.0**_FIXED_DIGITS
    sign = "+" if signed else ""
    return [
        "0" if abs(tick) < step / 2 else f"{tick:{sign},.{decimals}f}" if fixed else f"{tick:{sign}.3g}"
        for tick in ticks
    ]
