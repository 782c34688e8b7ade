"""Health checks: what each finds, and what it needs to say anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from klero.analysis import tallied
from klero.analysis.basis import Basis
from klero.analysis.health import check
from klero.analysis.missing_values import doubts
from klero.analysis.rules import rules_of
from klero.v1.experiment_pb2 import AssignmentSource, Experiment
from klero.v1.results_pb2 import HealthCheck, HealthState, ResultsView
from tests.analysis.known import conversions, definition, metric, tally, visits

if TYPE_CHECKING:
    from klero.storage.v1.tally_pb2 import IterationTally

OK, WARNING = HealthState.HEALTH_STATE_OK, HealthState.HEALTH_STATE_WARNING
FAILED, UNKNOWN = HealthState.HEALTH_STATE_FAILED, HealthState.HEALTH_STATE_UNSPECIFIED


def _check(
    name: str, experiment: Experiment, counted: IterationTally, weights: dict[int, dict[str, float]] | None = None
) -> HealthCheck:
    weights = {1: dict(experiment.allocation.weights)} if weights is None else weights
    settled = tallied.read(counted.arms, experiment.metrics, ResultsView.RESULTS_VIEW_SETTLED)
    basis = Basis(
        definition=experiment,
        rules=rules_of(experiment),
        view=ResultsView.RESULTS_VIEW_SETTLED,
        weights={},
        doubts=doubts(experiment, settled),
        caveat="",
    )
    checks = check(counted, settled, weights=weights, basis=basis)
    return next(each for each in checks if each.name == name)


@pytest.mark.parametrize(
    ("control", "variant", "state"),
    [(0, 0, UNKNOWN), (1, 0, OK), (5_000, 5_060, OK), (5_400, 4_600, FAILED), (821_588, 815_482, FAILED)],
)
def test_sample_ratio(control: int, variant: int, state: HealthState.ValueType) -> None:
    """Lost exposures bias everything, and no winner is named then."""
    found = _check("sample_ratio", definition("t"), visits({"c": (0, control), "t": (0, variant)}))

    assert state == found.state
    assert found.HasField("p_value") == (state != UNKNOWN)
    assert state in {UNKNOWN, OK} or (f"{control:,} `c`" in found.message and "expected" in found.message)


def test_sample_ratio_weighs_each_epoch_with_its_own_weights() -> None:
    """90 to 10, then 50 to 50: neither pooled nor by the last weights would this be right."""
    counted = tally(
        {
            (1, "c"): {"visit": conversions(0, 9_000)},
            (1, "t"): {"visit": conversions(0, 1_000)},
            (2, "c"): {"visit": conversions(0, 5_000)},
            (2, "t"): {"visit": conversions(0, 5_000)},
        }
    )
    right = {1: {"c": 90.0, "t": 10.0}, 2: {"c": 50.0, "t": 50.0}}

    assert OK == _check("sample_ratio", definition("t"), counted, right).state
    assert FAILED == _check("sample_ratio", definition("t"), counted, {**right, 1: right[2]}).state
    assert OK == _check("sample_ratio", definition("t"), counted, {2: right[2]}).state


def test_variants_of_weight_zero_are_left_out() -> None:
    """A variant that was retired keeps the entities it had."""
    counted = visits({"c": (0, 5_000), "t": (0, 5_000), "old": (0, 700)})

    assert OK == _check("sample_ratio", definition("t", "old"), counted, {1: {"c": 50.0, "t": 50.0, "old": 0.0}}).state


def test_foreign_splits_are_tested_if_the_author_says_what_they_are() -> None:
    """Another system may split 70 to 30 on purpose; only stated weights are a promise."""
    experiment = definition("t")
    experiment.assignment_source = AssignmentSource.ASSIGNMENT_SOURCE_EXTERNAL
    counted = visits({"c": (0, 7_000), "t": (0, 3_000)})
    unstated = _check("sample_ratio", experiment, counted)
    experiment.control.weight = experiment.variants[0].weight = 50

    assert UNKNOWN == unstated.state
    assert "states no weights" in unstated.message
    assert FAILED == _check("sample_ratio", experiment, counted).state


@pytest.mark.parametrize(("conflicting", "state"), [(0, OK), (10, OK), (11, FAILED)])
def test_multi_exposed(conflicting: int, state: HealthState.ValueType) -> None:
    """Above 1 percent the groups are no longer what was randomised."""
    counted = visits({"c": (0, 500), "t": (0, 500)})
    counted.conflicting = conflicting
    found = _check("multi_exposed", definition("t"), counted)

    assert state == found.state
    assert f"{conflicting} of 1,000" in found.message


def test_nothing_yet_is_neither_good_nor_bad() -> None:
    """A fresh experiment is not called healthy before anything was seen."""
    checks = [
        _check(name, definition("t"), visits({}))
        for name in ("sample_ratio", "multi_exposed", "missing_outcomes", "before_exposure")
    ]

    assert {UNKNOWN} == {found.state for found in checks}
    assert all(found.message.endswith(".") for found in checks)


def test_missing_outcomes() -> None:
    """A misspelt event is the most frequent fault, and looks like an effect of nothing."""
    experiment = definition("t", metrics=[metric(primary=True), metric("sale", event="purchase")])
    found = _check("missing_outcomes", experiment, visits({"c": (5, 60), "t": (5, 60)}))

    assert WARNING == found.state
    assert "`sale` (event `purchase`)" in found.message
    assert OK == _check("missing_outcomes", definition("t"), visits({"c": (5, 60), "t": (5, 60)})).state


@pytest.mark.parametrize(("before", "state"), [(0, OK), (1, OK), (2, WARNING)])
def test_before_exposure(before: int, state: HealthState.ValueType) -> None:
    """Outcomes that two metrics read count once: 99 outcomes, and 1 more is exactly 1 percent."""
    experiment = definition("t", metrics=[metric(primary=True), metric("again", event="visit")])
    both = {"visit": conversions(50, 200), "again": conversions(50, 200)}
    other = {"visit": conversions(49, 200), "again": conversions(49, 200)}
    counted = tally({(1, "c"): both, (1, "t"): other})
    counted.before_exposure = before

    assert state == _check("before_exposure", experiment, counted).state
