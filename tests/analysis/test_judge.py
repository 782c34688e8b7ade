"""Whole results: a real experiment recomputed from its rows, and what every message must hold."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from scipy import stats

from klero.analysis.judge import judge
from klero.analysis.samples import Sample
from klero.storage.v1.tally_pb2 import IterationTally
from klero.v1.experiment_pb2 import Experiment, InferenceMethod, Metric, MetricType
from klero.v1.results_pb2 import ExperimentResults, HealthState, ResultsView, Verdict
from tests.analysis.known import (
    FIXED,
    OPTIONS,
    SEQUENTIAL,
    conversions,
    definition,
    hillstrom,
    metric,
    moments,
    tally,
    visits,
)

SEGMENTS = {"c": "No E-Mail", "womens": "Womens E-Mail", "mens": "Mens E-Mail"}
PUBLISHED = {
    "c": (21306, {"visit": 0.106168, "conversion": 0.005726, "spend": 0.652789}),
    "womens": (21387, {"visit": 0.151400, "conversion": 0.008837, "spend": 1.077202}),
    "mens": (21307, {"visit": 0.182757, "conversion": 0.012531, "spend": 1.422617}),
}
DATA = hillstrom()
SPEND = metric("spend", type=MetricType.METRIC_TYPE_CONTINUOUS, unit="USD")


def _hillstrom(method: InferenceMethod.ValueType) -> ExperimentResults:
    metrics = [metric(primary=True), metric("conversion"), SPEND]
    experiment = definition("womens", "mens", metrics=metrics, method=method)
    for variant in (experiment.control, *experiment.variants):
        variant.name = SEGMENTS[variant.id]
    arms = {
        (1, variant_id): {name: _sample(DATA[segment][name]) for name in ("visit", "conversion", "spend")}
        for variant_id, segment in SEGMENTS.items()
    }
    return judge(experiment, tally(arms, stopped=True), options=OPTIONS)


def _sample(data: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Sample:
    nonzero = int(np.count_nonzero(data))
    return Sample(moments(data), nonzero, nonzero)


@pytest.mark.parametrize("variant_id", SEGMENTS)
def test_hillstrom_values(variant_id: str) -> None:
    """The numbers everyone knows of this data set, and those of its rows to the last digits."""
    found = _hillstrom(SEQUENTIAL).variant_results[variant_id]
    n, published = PUBLISHED[variant_id]

    assert n == found.sample_size == found.enrolled == found.settled
    assert pytest.approx(published, abs=1e-6) == dict(found.metrics)
    for name, data in DATA[SEGMENTS[variant_id]].items():
        assert pytest.approx(data.mean(), rel=1e-12) == found.metrics[name]
    assert int(DATA[SEGMENTS[variant_id]]["visit"].sum()) == found.conversions


def test_hillstrom_p_values_are_those_of_scipy() -> None:
    """Whoever recomputes the demonstration gets the same, down to p-values of 1e-111."""
    control = DATA["No E-Mail"]
    for comparison in _hillstrom(FIXED).comparisons:
        data = DATA[SEGMENTS[comparison.variant_id]][comparison.metric]
        baseline = control[comparison.metric]
        if comparison.metric == "spend":
            expected = stats.ttest_ind(data, baseline, equal_var=False).pvalue
        else:
            table = [[int(each.sum()), len(each) - int(each.sum())] for each in (data, baseline)]
            expected = stats.chi2_contingency(table, correction=False).pvalue

        assert pytest.approx(expected, rel=1e-9) == comparison.result.p_value


@pytest.mark.parametrize(("method", "kind"), [(SEQUENTIAL, "confidence sequence"), (FIXED, "confidence interval")])
def test_hillstrom_verdict(method: InferenceMethod.ValueType, kind: str) -> None:
    """Men's e-mail wins over both, and the split of thirds is sound."""
    found = _hillstrom(method)
    beginning = "Ship `Mens E-Mail`: visit is 18.3 % against 10.6 % for `No E-Mail`, a lift of 72.1 %"

    assert (Verdict.VERDICT_SHIP, "mens") == (found.verdict, found.winner)
    assert found.recommendation.startswith(f"{beginning} (95 % {kind} ")
    assert {HealthState.HEALTH_STATE_OK} == {check.state for check in found.health}
    assert found.analysis == next(c.result for c in found.comparisons if (c.variant_id, c.metric) == ("mens", "visit"))


def test_families_of_comparisons() -> None:
    """The primary metric is not paid for by the others: 2 comparisons there, 4 elsewhere."""
    found = [comparison.result for comparison in _hillstrom(SEQUENTIAL).comparisons]
    primary, secondary = found[:2], found[2:]

    assert pytest.approx(2 * min(r.p_value for r in primary)) == min(r.adjusted_p_value for r in primary)
    assert pytest.approx(4 * min(r.p_value for r in secondary)) == min(r.adjusted_p_value for r in secondary)
    for result in found:
        assert result.simultaneous_interval.lower < result.interval.lower
        assert result.interval.upper < result.simultaneous_interval.upper


def test_everything_around_the_numbers() -> None:
    """Readers order results by position, revision and time, and must find all of them."""
    options = dataclasses.replace(OPTIONS, view=ResultsView.RESULTS_VIEW_LIVE)
    found = judge(definition("t", planned=4_000), visits({"c": (100, 1_000), "t": (120, 1_000)}), options=options)

    assert ("trial", "c", 7, 1, 10, "0.0.0") == (
        found.experiment_id,
        found.control_variant_id,
        found.revision,
        found.iteration,
        found.as_of,
        found.engine_version,
    )
    assert (1_000, 100) == (found.collected_at.ToMilliseconds(), found.lag.ToMilliseconds())
    assert ResultsView.RESULTS_VIEW_LIVE == found.view
    assert (2_000, 2_000, 4_000, 0.5) == (
        found.progress.enrolled,
        found.progress.settled,
        found.progress.required,
        found.progress.fraction,
    )
    assert (700, 750) == (
        found.progress.last_exposure_at.ToMilliseconds(),
        found.progress.last_outcome_at.ToMilliseconds(),
    )
    assert {"c": 1_000, "t": 1_000} == dict(found.epochs[0].enrolled)
    assert 50.0 == found.variant_results["t"].weight
    assert not found.is_final
    assert not found.exploratory


def test_before_the_first_entity() -> None:
    """A dashboard asks right after Start, and before it too."""
    found = judge(definition("a", "b", metrics=[metric(primary=True), SPEND]), IterationTally(), options=OPTIONS)

    assert {"c", "a", "b"} == set(found.variant_results)
    assert not any(result.metrics for result in found.variant_results.values())
    assert [("visit", "a"), ("visit", "b"), ("spend", "a"), ("spend", "b")] == [
        (comparison.metric, comparison.variant_id) for comparison in found.comparisons
    ]
    assert 0 == found.lag.ToMilliseconds()
    assert not found.progress.HasField("last_exposure_at")
    assert found.analysis.explanation


def test_the_variant_closest_to_winning_is_shown() -> None:
    """Without a winner people look at the best candidate, in the direction of the goal."""
    found = judge(
        definition("a", "b"), visits({"c": (1000, 9_000), "a": (1020, 9_000), "b": (1005, 9_000)}), options=OPTIONS
    )

    assert "" == found.winner
    assert found.comparisons[0].result == found.analysis


def test_drifting_rates_under_changing_weights_are_no_effect() -> None:
    """5 % treated at a base of 2 %, then 50 % at 4 %: pooling would find z = 3.9 where nothing is."""
    counted = tally(
        {
            (1, "c"): {"visit": conversions(380, 19_000)},
            (1, "t"): {"visit": conversions(20, 1_000)},
            (2, "c"): {"visit": conversions(400, 10_000)},
            (2, "t"): {"visit": conversions(400, 10_000)},
        }
    )
    experiment = definition("t")
    experiment.allocation.epoch = 2
    counted.epochs.add(epoch=1, opened_ms=5, weights={"c": 95.0, "t": 5.0})
    found = judge(experiment, counted, options=OPTIONS)

    assert pytest.approx(0.0, abs=1e-12) == found.analysis.effect
    assert [1, 2] == [epoch.allocation.epoch for epoch in found.epochs]
    assert 5 == found.epochs[0].allocation.started_at.ToMilliseconds()
    assert [20_000, 20_000] == [sum(epoch.enrolled.values()) for epoch in found.epochs]
    assert HealthState.HEALTH_STATE_OK == found.health[0].state


@pytest.mark.parametrize(("days", "end", "expected"), [(0, 0, None), (2, 0, 172_810), (2, 90, 90), (0, 90, 90)])
def test_the_end_that_is_certain(days: int, end: int, expected: int | None) -> None:
    """The earlier of duration and schedule ends the iteration, whatever the pace."""
    experiment = definition("t")
    experiment.started_at.FromSeconds(10)
    if days:
        experiment.config.duration.FromSeconds(days * 86_400)
    if end:
        experiment.schedule.end_at.CopyFrom(Timestamp(seconds=end))
    running, stopped = (judge(experiment, visits({}, stopped=each), options=OPTIONS).progress for each in (False, True))

    assert expected == (running.estimated_end.seconds if running.HasField("estimated_end") else None)
    assert not stopped.HasField("estimated_end")


def test_judging_repeats_exactly() -> None:
    """The same journal and version give the same numbers, on every node and after every restart."""
    first, second = (_hillstrom(SEQUENTIAL).SerializeToString(deterministic=True) for _ in range(2))

    assert first == second


def test_a_single_secondary_metric_needs_no_correction() -> None:
    """A family of one is read as it stands."""
    metrics = [metric(primary=True), Metric(name="spend", type=MetricType.METRIC_TYPE_CONTINUOUS)]
    sample = {"visit": conversions(300, 1_000), "spend": conversions(300, 1_000)}
    experiment: Experiment = definition("t", metrics=metrics)

    found = judge(experiment, tally({(1, "c"): sample, (1, "t"): sample}), options=OPTIONS)

    assert not any(comparison.result.HasField("adjusted_p_value") for comparison in found.comparisons)


def test_weights_are_those_that_the_journal_was_told_of() -> None:
    """Results of an earlier iteration must not be tested against the weights of a later one."""
    experiment = definition("t")
    experiment.allocation.epoch = 1
    experiment.allocation.weights.update({"c": 50.0, "t": 50.0})
    told = visits({"c": (400, 4_000), "t": (100, 1_000)})
    unequal = judge(experiment, told, options=OPTIONS)
    told.epochs.add(epoch=1, weights={"c": 80.0, "t": 20.0})
    as_told = judge(experiment, told, options=OPTIONS)

    states = [{check.name: check.state for check in each.health}["sample_ratio"] for each in (unequal, as_told)]
    assert [HealthState.HEALTH_STATE_FAILED, HealthState.HEALTH_STATE_OK] == states
