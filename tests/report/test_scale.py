"""Places and round numbers on an axis."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klero.report.scale import Scale, covering, tick_labels

FINITE = st.floats(min_value=-1e12, max_value=1e12)


def test_places_are_shares_of_the_way() -> None:
    """A plot is as wide as the page of whoever looks at it."""
    scale = Scale(-10, 30)

    assert [0, 25, 100, 150] == [scale.place(value) for value in (-10, 0, 30, 50)]


@given(st.lists(FINITE, min_size=1, max_size=20))
def test_an_axis_holds_its_values_and_has_room(values: list[float]) -> None:
    """A mark at the edge would be cut in half."""
    scale = covering([*values, math.inf, -math.inf, math.nan])

    assert scale.lowest < scale.highest
    assert all(0 < scale.place(value) < 100 for value in values)


@given(st.lists(FINITE, min_size=2, max_size=5), st.integers(min_value=2, max_value=8))
def test_ticks_are_few_even_and_inside(values: list[float], most: int) -> None:
    """Whatever the numbers, an axis can be read and does not run over."""
    scale = covering(values)
    ticks = scale.ticks(most)

    assert len(ticks) <= most + 1
    assert all(-1e-6 <= scale.place(tick) <= 100 + 1e-6 for tick in ticks)


@pytest.mark.parametrize(
    ("ends", "labels"),
    [
        ((-1.2, 2.1), ["-1", "0", "+1", "+2"]),
        ((-0.03, 0.05), ["-0.02", "0", "+0.02", "+0.04"]),
        ((-0.0000004, 0.0000012), ["0", "+5e-07", "+1e-06"]),
        ((900, 4100), ["+1,000", "+2,000", "+3,000", "+4,000"]),
        ((-3e9, 1e9), ["-3e+09", "-2e+09", "-1e+09", "0", "+1e+09"]),
    ],
)
def test_labels_tell_neighbours_apart(ends: tuple[float, float], labels: list[str]) -> None:
    """Metrics are anything from shares of a cent to billions of bytes."""
    assert labels == tick_labels(Scale(*ends).ticks(5), signed=True)


def test_counts_have_no_sign() -> None:
    """Nobody enrols +500 entities."""
    assert ["0", "500", "1,000"] == tick_labels(Scale(0, 1100).ticks(4), signed=False)
