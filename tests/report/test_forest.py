"""The plot of estimates: what is drawn lies where the numbers say, read back from the finished SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from klero.report.page import page
from klero.v1.experiment_pb2 import EffectScale, MetricGoal
from tests.report import made, parsed

if TYPE_CHECKING:
    from collections.abc import Callable

    from klero.report.data import ReportData
    from tests.report.parsed import Element


def percent(text: str) -> float:
    """A place in an SVG."""
    return float(text.removesuffix("%"))


def plot_of(data: ReportData) -> Element:
    """The plot of the first metric."""
    return parsed.read(page(data)).all("section", id="estimates")[0].all("svg", role="img")[0]


def ruler(plot: Element) -> Callable[[float], float]:
    """From a place to the value there, by the first and the last tick."""
    ticks = [(percent(tick.attributes["x"]), float(tick.text)) for tick in plot.all("text", class_="tick")]
    (left, lowest), (right, highest) = ticks[0], ticks[-1]
    return lambda place: lowest + (highest - lowest) * (place - left) / (right - left)


def test_marks_lie_where_the_axis_says_their_values_are() -> None:
    """The picture and the table tell the same story, in percentage points for a rate."""
    data = made.data(made.experiment(treatments=4, metrics=1))
    plot = plot_of(data)
    value_at = ruler(plot)
    drawn = [
        (percent(line.attributes["x1"]), percent(mark.attributes["x"]), percent(line.attributes["x2"]))
        for row in plot.all("g")
        for line, mark in zip(row.all("line", class_="whisker"), row.all("svg", class_="mark"), strict=True)
    ]
    results = [found.result for found in data.results.comparisons]

    assert 4 == len(drawn)
    for places, result in zip(drawn, results, strict=True):
        interval = result.simultaneous_interval
        expected = [100 * value for value in (interval.lower, result.effect, interval.upper)]
        assert pytest.approx(expected, abs=1e-3) == [value_at(place) for place in places]


@pytest.mark.parametrize(
    ("scale", "minimum"), [(EffectScale.EFFECT_SCALE_ABSOLUTE, 2.0), (EffectScale.EFFECT_SCALE_RELATIVE, 0.8)]
)
def test_the_shade_is_the_minimum_effect_on_both_sides(scale: EffectScale.ValueType, minimum: float) -> None:
    """2 % of a rate of 40 % are 0.8 percentage points; 0.02 of the rate itself are 2."""
    data = made.data(made.experiment(metrics=1))
    data.experiment.metrics[0].min_effect_scale = scale
    data.results.variant_results["plain"].metric_results["metric_0"].value = 0.4
    plot = plot_of(data)
    shade = plot.all("rect", class_="shade")[0].attributes
    value_at = ruler(plot)
    left = percent(shade["x"])

    assert pytest.approx(-minimum, abs=1e-3) == value_at(left)
    assert pytest.approx(minimum, abs=1e-3) == value_at(left + percent(shade["width"]))


@pytest.mark.parametrize("minimum", [0.0, 0.02])
def test_without_a_known_minimum_effect_there_is_no_shade(minimum: float) -> None:
    """A share of a control's value of 0 is nothing that could be drawn."""
    data = made.data(made.experiment(metrics=1))
    data.experiment.metrics[0].min_effect = minimum
    data.results.variant_results["plain"].metric_results["metric_0"].value = 0

    assert [] == plot_of(data).all("rect")
    assert "Shaded" not in page(data)


@pytest.mark.parametrize(
    ("goal", "hints", "up", "down"),
    [
        (MetricGoal.METRIC_GOAL_INCREASE, ["← worse", "better →"], "better", "worse"),
        (MetricGoal.METRIC_GOAL_DECREASE, ["← better", "worse →"], "worse", "better"),
        (MetricGoal.METRIC_GOAL_UNSPECIFIED, [], "different", "different"),
    ],
)
def test_the_better_direction_is_said(goal: MetricGoal.ValueType, hints: list[str], up: str, down: str) -> None:
    """More errors to the right must not look like a success."""
    data = made.data(made.experiment(treatments=3, metrics=1))
    metric = data.experiment.metrics[0]
    metric.goal = goal
    for found, effect in zip(data.results.comparisons, (0.05, -0.05, 0.001), strict=True):
        found.CopyFrom(made.comparison(metric, found.variant_id, effect, 0.01))
    plot = plot_of(data)

    assert hints == [hint.text for hint in plot.all("text", class_="hint")]
    assert [up, down, "undecided"] == [row.attributes["class"] for row in plot.all("g")]
    assert [up, down, "undecided"] == [text.text.split()[-1] for text in plot.all("text", class_="reading")]
    assert f"Variant 1: +5.00 (+4.00 to +6.00), {up}. Variant 2: -5.00" in plot.all("desc")[0].text


def test_an_end_without_bound_is_an_arrow_at_the_edge() -> None:
    """A line that just ended there would claim a bound."""
    data = made.data(made.experiment(treatments=3, metrics=1))
    intervals = [found.result.simultaneous_interval for found in data.results.comparisons]
    intervals[0].ClearField("lower")
    intervals[1].ClearField("upper")
    rows = plot_of(data).all("g")
    ends = [[end.all("path")[0].attributes["d"] for end in row.all("svg", class_="mark end")] for row in rows]
    arrow_left, arrow_right, bar = "M8-5 0 0 8 5", "M-8-5 0 0-8 5", "M0-5V5"

    assert [[arrow_left, bar], [bar, arrow_right], [bar, bar]] == ends
    assert "0.0%" == rows[0].all("line", class_="whisker")[0].attributes["x1"]
    assert "100.0%" == rows[1].all("line", class_="whisker")[0].attributes["x2"]


def test_without_any_estimate_the_reason_stands_in_place_of_the_plot() -> None:
    """Below the minimum sample there is nothing to draw."""
    data = made.data(made.experiment(treatments=1, metrics=1))
    result = data.results.comparisons[0].result
    explanation = "Not computed: a variant has too few entities."
    result.Clear()
    result.explanation = explanation
    document = parsed.read(page(data))

    assert f"No plot: {explanation}" in document.all("section", id="estimates")[0].text


def test_one_variant_without_estimate_leaves_the_others_drawn() -> None:
    """It has a row that says so, and no mark."""
    data = made.data(made.experiment(treatments=2, metrics=1))
    for field in ("effect", "interval", "simultaneous_interval"):
        data.results.comparisons[0].result.ClearField(field)
    rows = plot_of(data).all("g")

    assert [] == rows[0].all("line") + rows[0].all("svg")
    assert "not computed" == rows[0].all("text", class_="reading")[0].text
    assert 1 == len(rows[1].all("line", class_="whisker"))


@pytest.mark.parametrize(
    ("name", "shown"),
    [("x" * 128, "x" * 22 + "…"), ("長" * 40, "長" * 11 + "…"), ("x" * 22, "x" * 22), ("Grüße", "Grüße")],
)
def test_long_names_are_cut_in_the_plot_alone(name: str, shown: str) -> None:
    """Names can have any length, and the table has them whole."""
    data = made.data(made.experiment(treatments=1, metrics=1))
    data.experiment.variants[0].name = name
    section = parsed.read(page(data)).all("section", id="estimates")[0]

    assert [shown] == [text.text for text in section.all("text", class_="name")]
    assert name == section.all("tbody")[0].all("th")[1].text
