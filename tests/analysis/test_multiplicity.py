"""Holm's correction."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from klero.analysis.multiplicity import holm
from tests.analysis.known import GOLDEN, values

P_VALUES = next(e for e in GOLDEN["published"] if e["id"] == "benjamini_hochberg_1995")["values"]["p_values"]


def test_known_answers() -> None:
    """The fifteen p-values that every package is tried on."""
    assert pytest.approx(values("multiplicity_BH1995")["holm"]["adjusted"], rel=1e-12) == holm(P_VALUES)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_correction_keeps_the_order_and_never_helps(p_values: list[float]) -> None:
    """A variant with more evidence must not look worse after correction."""
    adjusted = [value for value in holm(p_values) if value is not None]

    assert all(p_value <= value <= 1 for p_value, value in zip(p_values, adjusted, strict=True))
    in_order = [value for _, value in sorted(zip(p_values, adjusted, strict=True))]
    assert sorted(adjusted) == in_order


def test_missing_p_values_count_but_stay_missing() -> None:
    """A variant that has too few entities today must not loosen the test of the others."""
    assert [0.03, None, 0.04] == holm([0.01, None, 0.02])
    assert holm([]) == []
