"""The sequential test of the split."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from klero.analysis.sample_ratio import CONCENTRATION, log_evidence, p_value, single_look_p_value
from tests.analysis.known import GOLDEN


def _numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"[\d.]+", text)]


CASES = [
    (_numbers(counts.group(1)), _numbers(weights.group(1)), entry["values"])
    for entry in GOLDEN["cases"]["ssrm.batch"]
    if (counts := re.search(r"\(\[\[\[(.*?)\]", entry["call"]))
    and (weights := re.search(r"null=\[(.*?)\]", entry["call"]))
    and f"concentration={CONCENTRATION:.0f})" in entry["call"]
]


@pytest.mark.parametrize(("counts", "weights", "expected"), CASES)
def test_known_answers(counts: list[float], weights: list[float], expected: dict[str, float]) -> None:
    """The answers of the package of the method's authors."""
    evidence = log_evidence([int(count) for count in counts], weights)

    assert pytest.approx(expected["log_bayes_factor"], rel=1e-7, abs=1e-7) == evidence
    assert pytest.approx(expected["p_value"], rel=1e-6) == p_value(evidence)


def test_there_are_known_answers() -> None:
    """The cases above are found by their text."""
    assert len(CASES) >= 4


@given(st.lists(st.integers(0, 10_000), min_size=2, max_size=5))
def test_scale_and_order_of_weights_change_nothing(counts: list[int]) -> None:
    """Weights are percent in definitions and shares elsewhere."""
    weights = [1.0 + index for index in range(len(counts))]
    percent = [100 * weight / sum(weights) for weight in weights]

    evidence = log_evidence(counts, weights)

    assert pytest.approx(evidence, rel=1e-9, abs=1e-7) == log_evidence(counts, percent)
    assert pytest.approx(evidence, rel=1e-9, abs=1e-7) == log_evidence(counts[::-1], weights[::-1])


def test_variants_of_weight_zero_count_on_neither_side() -> None:
    """A retired variant keeps its entities without being an error of the split."""
    assert log_evidence([5_200, 4_800], [50, 50]) == log_evidence([5_200, 700, 4_800], [50, 0, 50])


def test_overwhelming_evidence_is_no_overflow() -> None:
    """A split gone completely wrong must say so, not fail."""
    assert p_value(log_evidence([1_000_000, 0], [50, 50])) < 1e-300
    assert p_value(-math.inf) == 1.0


@pytest.mark.parametrize(
    ("counts", "weights"),
    [((5012, 4988), (50, 50)), ((20_310, 79_690), (20, 80)), ((33, 40, 27), (1, 1, 1)), ((10, 0), (0.5, 0.5))],
)
def test_a_single_look_is_pearson(counts: tuple[int, ...], weights: tuple[float, ...]) -> None:
    """Simulations are looked at once."""
    expected = [sum(counts) * weight / sum(weights) for weight in weights]

    assert single_look_p_value(counts, weights) == pytest.approx(stats.chisquare(counts, expected).pvalue, rel=1e-9)


def test_a_variant_that_gets_nobody_is_left_out_of_a_single_look() -> None:
    """Weight 0 expects nobody, so that nothing can be divided by it."""
    assert single_look_p_value([48, 52], [1, 1]) == single_look_p_value([48, 7, 52], [1, 0, 1])
