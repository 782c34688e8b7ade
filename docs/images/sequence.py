"""Picture: what happens to two kinds of intervals when someone looks all the time and nothing is there."""

# ruff: noqa: INP001  # programs beside the pictures they draw, no package

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from docs.images.svg import Picture
from klero.analysis.sequence import DEFAULT_PLANNED_ENTITIES, Mixture, mixing_rate

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from docs.images.svg import Point

SEED = 9
RATE = 0.4
ALPHA = 0.05
EXPERIMENTS = 1_000
# Entities of both variants at each look: the first at 200, as a claim needs 100 of each.
LOOKS = np.arange(200, 10_001, 100)

_LEFT, _RIGHT = 64, 740
_NAMES = {"variant": "95 % interval of a fixed horizon", "control": "95 % confidence sequence"}


@dataclass(frozen=True, slots=True)
class Simulated:
    """A/A experiments: both variants convert at the same rate, so that every claim is false."""

    effects: NDArray[np.float64]
    """Difference of the two rates, shape (experiments, looks)."""

    half_widths: dict[str, NDArray[np.float64]]
    """Of the two intervals, by kind, same shape."""

    def claimed(self, kind: str) -> NDArray[np.float64]:
        """Share of experiments that have had an interval without 0 by each look."""
        outside = np.abs(self.effects) > self.half_widths[kind]
        share: NDArray[np.float64] = np.maximum.accumulate(outside, axis=1).mean(axis=0)
        return share


def simulate() -> Simulated:
    """Simulate with Klero's own confidence sequence."""
    chance = np.random.default_rng(SEED)
    steps = np.diff(LOOKS, prepend=0) // 2
    converted = chance.binomial(steps, RATE, size=(2, EXPERIMENTS, len(LOOKS))).cumsum(axis=2)
    of_each = LOOKS / 2
    rates = converted / of_each
    errors = np.sqrt((rates * (1 - rates)).sum(axis=0) / of_each)
    rho = mixing_rate(ALPHA, DEFAULT_PLANNED_ENTITIES)
    multipliers = np.array([Mixture(int(entities), rho).multiplier(ALPHA) for entities in LOOKS])
    fixed = NormalDist().inv_cdf(1 - ALPHA / 2)
    return Simulated(rates[1] - rates[0], {"variant": fixed * errors, "control": multipliers * errors})


def sequence() -> str:
    """One experiment above, the share of misled experimenters below."""
    simulated = simulate()
    picture = Picture(760, 520, "Intervals while an experiment without any difference runs, and how often they mislead")
    shown = telling(simulated)
    picture.text((16, 28), "One experiment in which the variants are alike", "strong")
    _intervals(picture, simulated, shown)
    picture.text((16, 300), "Of 1,000 such experiments: share that found a difference at any look so far", "strong")
    _shares(picture, simulated)
    picture.text((_RIGHT, 510), "entities", "small faint", "end")
    return picture.render()


def telling(simulated: Simulated) -> int:
    """Index of the first experiment that misleads in its middle and only there, for a while."""
    outside = np.abs(simulated.effects) > simulated.half_widths["variant"]
    middle = (LOOKS > 2_000) & (LOOKS < 7_000)  # noqa: PLR2004  # of 10,000
    telling = outside[:, middle].sum(axis=1).clip(max=8) * ~outside[:, ~middle].any(axis=1)
    return int(telling.argmax())


def _x(entities: float) -> float:
    return _LEFT + (_RIGHT - _LEFT) * entities / float(LOOKS[-1])


def _intervals(picture: Picture, simulated: Simulated, shown: int) -> None:
    largest = 0.12
    y = _scale(top=48, bottom=262, lowest=-largest, highest=largest)
    effect = simulated.effects[shown]
    for kind in ("control", "variant"):
        half = simulated.half_widths[kind][shown]
        upper = _points(np.minimum(effect + half, largest), y)
        lower = _points(np.maximum(effect - half, -largest), y)
        picture.path([*upper, *lower[::-1]], f"{kind}-fill band", closed=True)
        for edge in (upper, lower):
            picture.path(edge, kind)
    picture.path([(_LEFT, y(0)), (_RIGHT, y(0))], "ink dashed")
    picture.path(_points(effect, y), "ink")
    for value in (-0.1, -0.05, 0, 0.05, 0.1):
        picture.text((_LEFT - 8, y(value) + 4), f"{100 * value:+.0f}" if value else "0", "small faint", "end")
    picture.text((_LEFT, 44), "difference, percentage points", "small faint")
    for row, kind in enumerate(("control", "variant")):
        picture.rectangle((_RIGHT - 232, 54 + 20 * row), (14, 12), f"{kind}-fill")
        picture.text((_RIGHT - 212, 64 + 20 * row), _NAMES[kind], "small")


def _shares(picture: Picture, simulated: Simulated) -> None:
    y = _scale(top=322, bottom=480, lowest=0, highest=0.5)
    for value in (0, 0.1, 0.2, 0.3, 0.4, 0.5):
        picture.text((_LEFT - 8, y(value) + 4), f"{100 * value:.0f} %", "small faint", "end")
        picture.path([(_LEFT, y(value)), (_RIGHT, y(value))], "line" if value == 0 else "grid")
    picture.path([(_LEFT, y(ALPHA)), (_RIGHT, y(ALPHA))], "ink dashed")
    picture.text((_x(1_000), y(ALPHA) - 5), "5 %, as promised", "small")
    for kind, (name, below) in {"variant": (_NAMES["variant"], 20), "control": (_NAMES["control"], -19)}.items():
        claimed = simulated.claimed(kind)
        picture.path(_points(claimed, y), kind)
        end = f"{name}: {100 * claimed[-1]:.1f} %"
        picture.text((_RIGHT, y(float(claimed[-1])) + below), end, f"small {kind}-text", "end")
    for entities in range(0, 10_001, 2_000):
        picture.text((_x(entities), 496), f"{entities:,}", "small faint", "middle")


def _scale(*, top: float, bottom: float, lowest: float, highest: float) -> Callable[[float], float]:
    return lambda value: bottom - (bottom - top) * (value - lowest) / (highest - lowest)


def _points(values: NDArray[np.float64], y: Callable[[float], float]) -> list[Point]:
    return [(_x(float(entities)), y(float(value))) for entities, value in zip(LOOKS, values, strict=True)]
