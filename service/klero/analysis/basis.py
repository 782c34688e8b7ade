"""What all entities of an iteration are judged by, the whole and its segments alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from klero.analysis.rules import Rules
    from klero.v1.experiment_pb2 import Experiment
    from klero.v1.results_pb2 import ResultsView


@dataclass(frozen=True, slots=True)
class Basis:
    """Definition, plan and circumstances."""

    definition: Experiment
    rules: Rules
    view: ResultsView.ValueType
    """SETTLED or LIVE: which entities are counted."""

    weights: Mapping[str, float]
    """Percent in force by variant id."""

    doubts: Mapping[str, str]
    """Metrics on which nothing may be claimed, by name, and why."""

    caveat: str
    """What else holds against reading p-values now, one clause. Empty: nothing."""
