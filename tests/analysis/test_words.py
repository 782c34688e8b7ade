"""Numbers as people read them."""

from __future__ import annotations

import pytest

from klero.analysis import words
from klero.analysis.bounds import Bounds
from klero.v1.experiment_pb2 import Metric, MetricType, Variant
from tests.analysis.known import metric


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (18.2757, "18.3"),
        (82.0, "82.0"),
        (9.999, "10.0"),
        (0.0057264, "0.00573"),
        (21307.0, "21,307"),
        (-1234.5, "-1,234"),
        (100.0, "100"),
        (3.2e-12, "3.2e-12"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    """Three digits are what an experiment can tell; more would look like precision."""
    assert text == words.number(value)


@pytest.mark.parametrize(
    ("p_value", "text"), [(0.5, "p = 0.500"), (0.0123, "p = 0.0123"), (2.7e-109, "p = 2.7e-109"), (0.0, "p < 1e-300")]
)
def test_p_values(p_value: float, text: str) -> None:
    """No p-value is ever shown as 0."""
    assert text == words.probability(p_value)


def test_values_and_differences() -> None:
    """Rates are percent and their differences percentage points; others have their unit."""
    spend = Metric(name="spend", type=MetricType.METRIC_TYPE_CONTINUOUS, unit="USD")

    assert words.value_of(metric(), 0.182757) == "18.3 %"
    assert words.difference_of(metric(), 0.0766) == "7.66 percentage points"
    assert words.value_of(spend, 1.4226) == "1.42 USD"
    assert words.difference_of(Metric(type=MetricType.METRIC_TYPE_CONTINUOUS), -2.0) == "-2.00"


def test_ranges_may_be_open() -> None:
    """An unbounded lift is said in words, not as infinity."""
    assert words.span(Bounds(0.631, 0.82), scale=100, unit="%") == "63.1 % to 82.0 %"
    assert words.span(Bounds(0.031, None), scale=100, unit="%") == "at least 3.10 %"
    assert words.span(Bounds(None, 2.0), unit="ms") == "at most 2.00 ms"
    assert words.span(Bounds(None, None)) == "unbounded"


def test_names() -> None:
    """People know names, programs ids."""
    assert words.name(Variant(id="b", name="Größer")) == "`Größer`"
    assert words.name(Variant(id="b")) == "`b`"
    assert ["a", "a and b", "a, b and c"] == [words.listed(list(names)) for names in ("a", "ab", "abc")]
