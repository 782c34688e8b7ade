"""Corrections for several comparisons."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from klero.analysis.multiplicity import benjamini_hochberg, holm
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


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_benjamini_hochberg_is_that_of_scipy(p_values: list[float]) -> None:
    """Segments are many, and readers recompute them."""
    assert pytest.approx(stats.false_discovery_control(p_values, method="bh")) == benjamini_hochberg(p_values)


def test_known_answers_of_benjamini_hochberg() -> None:
    """The fifteen p-values of the paper, by scipy 1.17.1."""
    expected = [
        0.0015, 0.003, 0.0095, 0.035625, 0.0603, 0.06385714285714286, 0.06385714285714286, 0.0645,
        0.07650000000000001, 0.486, 0.5811818181818181, 0.7148749999999999, 0.7532307692307693, 0.8132142857142857, 1.0,
    ]  # fmt: skip

    assert pytest.approx(expected, rel=1e-12) == benjamini_hochberg(P_VALUES)


def test_segments_without_p_value_count_in_the_family() -> None:
    """A segment that has too few entities today must not loosen the test of the others."""
    assert [pytest.approx(0.03), None, pytest.approx(0.03)] == benjamini_hochberg([0.01, None, 0.02])
    assert benjamini_hochberg([]) == []
