"""Results by the values of an attribute."""

from __future__ import annotations

import dataclasses

import pytest
from scipy import stats

from klero.analysis.judge import judge
from klero.analysis.segments import MAX_VALUES, OTHER
from klero.storage.v1.tally_pb2 import Breakdown, IterationTally
from klero.v1.results_pb2 import ExperimentResults, ResultsView
from tests.analysis.known import OPTIONS, definition, filling, metric, visits

Counts = dict[str, tuple[int, int]]


def _breakdown(counts: dict[str, Counts]) -> Breakdown:
    found = Breakdown()
    for value, by_variant in counts.items():
        found.segments.add(value=value, arms=visits(by_variant).arms)
    return found


def _judged(breakdowns: dict[str, Breakdown]) -> ExperimentResults:
    return judge(definition("t"), IterationTally(), options=OPTIONS, breakdowns=breakdowns)


def test_segments_are_judged_like_the_whole() -> None:
    """By dimension in the order asked for, then by size."""
    country = _breakdown({"at": {"c": (100, 1_000), "t": (150, 1_000)}, "de": {"c": (300, 3_000), "t": (310, 3_000)}})
    device = _breakdown({"phone": {"c": (10, 400), "t": (10, 400)}})
    found = _judged({"device": device, "country": country}).segments

    assert [("device", "phone"), ("country", "de"), ("country", "at")] == [
        (each.dimension, each.value) for each in found
    ]
    assert 0.15 == found[2].variant_results["t"].metrics["visit"]
    assert pytest.approx(0.05) == found[2].comparisons[0].result.effect
    assert {"c", "t"} == set(found[0].variant_results)


def test_p_values_are_corrected_within_the_dimension() -> None:
    """Twenty segments without any effect would show one otherwise."""
    counts = {str(each): {"c": (100, 1_000), "t": (100 + 25 * each, 1_000)} for each in range(4)}
    found = _judged({"country": _breakdown(counts)}).segments
    results = [segment.comparisons[0].result for segment in found]
    expected = stats.false_discovery_control([result.p_value for result in results], method="bh")

    assert pytest.approx(expected.tolist()) == [result.adjusted_p_value for result in results]
    assert not any(result.HasField("simultaneous_interval") for result in results)


def test_what_is_too_small_to_show_is_gathered() -> None:
    """Ids as a dimension give a thousand segments of one entity, and no entity may be lost in them."""
    counts = {f"v{each:02}": {"c": (0, 100 - each), "t": (0, 100 - each)} for each in range(MAX_VALUES + 2)}
    counts |= {"": {"c": (0, 500)}, OTHER: {"t": (0, 7)}}
    found = _judged({"country": _breakdown(counts)}).segments

    assert [f"v{each:02}" for each in range(MAX_VALUES)] + [OTHER] == [each.value for each in found]
    assert 500 + 80 + 79 == found[-1].variant_results["c"].enrolled
    assert 7 + 80 + 79 == found[-1].variant_results["t"].enrolled


def test_without_entities_there_are_no_segments() -> None:
    """Asked right after Start."""
    assert [] == list(_judged({"country": Breakdown()}).segments)
    assert [] == list(_judged({}).segments)


def test_segments_have_the_view_of_the_whole() -> None:
    """Live segments claim nothing either."""
    breakdown = Breakdown()
    counted = filling({"c": (300, 1_000), "t": (500, 1_000)}, {"c": (300, 900), "t": (300, 900)})
    breakdown.segments.add(value="at", arms=counted.arms)
    live = dataclasses.replace(OPTIONS, view=ResultsView.RESULTS_VIEW_LIVE)
    found = judge(
        definition("t", metrics=[metric(primary=True)]), counted, options=live, breakdowns={"country": breakdown}
    )
    result = found.segments[0].comparisons[0].result

    assert pytest.approx(0.2) == result.effect
    assert "still filling" in result.explanation
    assert not result.HasField("p_value")
