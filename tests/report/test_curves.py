"""Plots over time, read back from the finished SVG."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from klero.report.page import page
from tests.report import made, parsed

if TYPE_CHECKING:
    from klero.report.data import ReportData
    from tests.report.parsed import Element


def plots(data: ReportData, section: str) -> list[Element]:
    """The plots of a section."""
    return parsed.read(page(data)).all("section", id=section)[0].all("svg", role="img")


def places(path: Element) -> list[tuple[float, float]]:
    """The corners of a path."""
    numbers = [float(number) for number in re.findall(r"-?[0-9.e-]+", path.attributes["d"])]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def value_at(plot: Element, top: float) -> float:
    """The value at a height, by the grid line and the label of the first and the last tick."""
    lines = [float(line.attributes["y1"]) for line in plot.all("line", class_="grid")]
    labels = [tick.text for tick in plot.all("text", class_="tick")][: len(lines)]
    lowest, highest = (float(label.replace(",", "")) for label in (labels[0], labels[-1]))
    return lowest + (highest - lowest) * (top - lines[0]) / (lines[-1] - lines[0])


def test_the_last_look_lies_where_the_axis_says() -> None:
    """What people read off at the right edge is what holds now."""
    data = made.data(made.experiment(treatments=2))
    assert data.history is not None
    last = data.history.points[-1].comparisons
    for plot, found in zip(plots(data, "over-time"), last, strict=True):
        line = places(plot.all("path", class_="curve colour-0 dashes-0")[0])
        band = places(plot.all("path", class_="band")[0])
        interval = found.result.simultaneous_interval

        assert 100 == line[-1][0]
        assert 40 == len(line)
        assert pytest.approx(100 * found.result.effect, abs=1e-3) == value_at(plot, line[-1][1])
        assert pytest.approx(100 * interval.upper, abs=1e-3) == value_at(plot, band[39][1])
        assert pytest.approx(100 * interval.lower, abs=1e-3) == value_at(plot, band[40][1])


def test_a_look_without_bound_runs_out_of_the_plot() -> None:
    """Nothing was excluded at that look, so the band has no edge to see."""
    data = made.data(made.experiment(treatments=1))
    assert data.history is not None
    interval = data.history.points[5].comparisons[0].result.simultaneous_interval
    interval.ClearField("lower")
    interval.ClearField("upper")
    band = places(plots(data, "over-time")[0].all("path", class_="band")[0])

    assert [-100, 200] == [band[5][1], band[-6][1]]


def test_without_a_bounded_last_interval_the_estimates_make_the_axis() -> None:
    """A young experiment has a line and no band that could be seen."""
    data = made.data(made.experiment(treatments=1))
    assert data.history is not None
    for point in data.history.points:
        point.comparisons[0].result.simultaneous_interval.ClearField("lower")
    plot = plots(data, "over-time")[0]
    line = places(plot.all("path", class_="curve colour-0 dashes-0")[0])

    assert all(0 < top < 100 for _, top in line)


def test_looks_before_there_was_an_estimate_are_left_out_of_the_line() -> None:
    """A line begins where there is something to say, and a variant without any has none."""
    data = made.data(made.experiment(treatments=2))
    assert data.history is not None
    for point in data.history.points:
        del point.comparisons[1]
    for point in data.history.points[:10]:
        del point.comparisons[:]
    found = plots(data, "over-time")

    assert 1 == len(found)
    assert 30 == len(places(found[0].all("path", class_="curve colour-0 dashes-0")[0]))
    assert "metric_0: Variant 1 against Plain over time" == found[0].all("title")[0].text


def test_the_description_says_where_it_came_to() -> None:
    """For who does not see the plot this is the plot."""
    data = made.data(made.experiment(treatments=1))
    assert data.history is not None
    data.history.points[-1].comparisons[0].CopyFrom(made.comparison(data.experiment.metrics[0], "v1", 0.05, 0.01))

    assert (
        "From 2026-09-21 14:14:16 to 2026-09-22 15:13:20 the difference came to "
        "+5.00 (+4.00 to +6.00) percentage points."
    ) == plots(data, "over-time")[0].all("desc")[0].text


def test_enrolment_has_a_line_a_variant_told_apart_without_colour() -> None:
    """Printed in black, the lines differ still, and each is in the legend as it is drawn."""
    data = made.data(made.experiment(treatments=7))
    assert data.history is not None
    section = parsed.read(page(data)).all("section", id="enrolment")[0]
    plot = section.all("svg", role="img")[0]
    drawn = [path.attributes["class"] for path in plot.all("path")]
    legend = [entry.all("path")[0].attributes["class"] for entry in section.all("li")]

    assert 8 == len(set(drawn))
    assert drawn == legend
    assert ["Plain", *(f"Variant {number}" for number in range(1, 8))] == [item.text for item in section.all("li")]
    assert pytest.approx(8000, rel=1e-4) == value_at(plot, places(plot.all("path")[0])[-1][1])


def test_more_is_further_up_and_later_is_further_right() -> None:
    """Enrolment only grows, so its line only climbs."""
    line = places(plots(made.data(), "enrolment")[0].all("path")[0])

    assert sorted(line, key=lambda place: place[0]) == line
    assert sorted(line, key=lambda place: -place[1]) == line
    assert line[-1][1] < line[0][1]


def test_all_looks_at_one_time_are_still_a_plot() -> None:
    """A clock that stood still divides nothing by zero."""
    data = made.data(history=made.history(made.experiment(), seconds=0))

    assert 2 == len(plots(data, "over-time"))
