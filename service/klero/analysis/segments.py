"""Results by the values of attributes that entities had at their first exposure: always exploratory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klero.analysis import tallied
from klero.analysis.comparisons import compare_all, of_dimension
from klero.analysis.variants import variant_results
from klero.v1.results_pb2 import Segment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from klero.analysis.basis import Basis
    from klero.storage.v1.tally_pb2 import ArmTally, Breakdown

MAX_VALUES = 20
"""Values of a dimension that are shown on their own."""

OTHER = "other"
"""Gathers the rest: smaller values, those that the tally does not keep apart, and entities without any."""


def segments(breakdowns: Mapping[str, Breakdown], basis: Basis) -> list[Segment]:
    """Judge each value of each dimension like the whole: by dimension, then largest first and `OTHER` last.

    Args:
        breakdowns: Counts by dimension.
        basis: What the whole is judged by.

    """
    return [segment for dimension, breakdown in breakdowns.items() for segment in _of_one(dimension, breakdown, basis)]


def _of_one(dimension: str, breakdown: Breakdown, basis: Basis) -> list[Segment]:
    parts = {
        value: tallied.read(arms, basis.definition.metrics, basis.view) for value, arms in _gathered(breakdown).items()
    }
    compared = [compare_all(data, basis) for data in parts.values()]
    corrected = iter(of_dimension([each for found in compared for each in found], basis))
    return [
        Segment(
            dimension=dimension,
            value=value,
            variant_results=variant_results(data, basis),
            comparisons=[next(corrected) for _ in found],
        )
        for (value, data), found in zip(parts.items(), compared, strict=True)
    ]


def _gathered(breakdown: Breakdown) -> dict[str, list[ArmTally]]:
    """Arms by value, in the order in which they are shown."""
    sizes = {segment.value: sum(arm.enrolled for arm in segment.arms) for segment in breakdown.segments}
    named = sorted((value for value in sizes if value not in {"", OTHER}), key=lambda value: (-sizes[value], value))
    shown: dict[str, list[ArmTally]] = {value: [] for value in named[:MAX_VALUES]}
    for segment in breakdown.segments:
        shown.setdefault(segment.value if segment.value in shown else OTHER, []).extend(segment.arms)
    return shown
