"""What an iteration measures and what judges it, as the journal is told."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration

from klero import lifecycle
from klero.storage.v1.journal_pb2 import MeasurementPlan, MetricPlan
from klero.v1.experiment_pb2 import Aggregation, AnalysisPlan, Metric, MetricGoal, MetricType, MissingPolicy
from tests.lifecycle.made import ALLOCATION, at, definition, running


def test_the_digest_names_plan_metrics_and_settings() -> None:
    """Equal digests promise the same way of judging."""
    other = definition()
    other.analysis_plan.CopyFrom(AnalysisPlan(planned_sample_size=1000))
    changed = lifecycle.start(lifecycle.draft(other, now=at(1)), allocation=ALLOCATION, now=at(10))

    assert running().analysis_plan.digest == running().analysis_plan.digest
    assert running().analysis_plan.digest != changed.analysis_plan.digest


def test_the_journal_is_told_what_is_measured() -> None:
    """The fold knows no definitions: defaults must be written out."""
    stopped = lifecycle.stop(running(), ship_variant_id="", now=at(20))
    begin, epoch, end = lifecycle.lacking(stopped, None)

    assert [] == lifecycle.lacking(definition(), None)
    assert ("default", "exp", 1, 10_000) == (begin.namespace, begin.experiment_id, begin.iteration, begin.time_ms)
    assert ["a", "b"] == begin.started.variant_ids
    assert ("cost", "cost_usd") == (begin.started.metrics[0].name, begin.started.metrics[0].event)
    assert Aggregation.AGGREGATION_SUM == begin.started.metrics[0].aggregation
    assert (1, {"a": 50, "b": 50}) == (epoch.epoch.number, dict(epoch.epoch.weights))
    assert ("stopped", 20_000) == (end.WhichOneof("action"), end.time_ms)


def started_plan(*metrics: Metric, dimensions: tuple[str, ...] = ()) -> MeasurementPlan:
    """What the journal is told at the start of an experiment with these metrics."""
    experiment = definition()
    del experiment.metrics[:]
    experiment.metrics.extend(metrics)
    experiment.analysis_plan.dimensions.extend(dimensions)
    started = lifecycle.start(lifecycle.draft(experiment, now=at(1)), allocation=ALLOCATION, now=at(10))
    return lifecycle.lacking(started, None)[0].started


def test_a_plain_plan_says_no_more_than_it_must() -> None:
    """A field that is set without need would make equal plans differ."""
    metric = Metric(name="cost", type=MetricType.METRIC_TYPE_CONTINUOUS)

    expected = MetricPlan(
        name="cost",
        event="cost",
        type=MetricType.METRIC_TYPE_CONTINUOUS,
        aggregation=Aggregation.AGGREGATION_SUM,
        missing=MissingPolicy.MISSING_POLICY_ZERO,
    )
    plan = MeasurementPlan(entity_type="run", variant_ids=["a", "b"], metrics=[expected])
    assert plan == started_plan(metric)


def test_a_plan_has_windows_bounds_and_attributes() -> None:
    """Covariates of all metrics stand once, in order; bounds of 0 are bounds."""
    ratio = Metric(
        name="error_rate",
        event="errors",
        denominator_event="calls",
        type=MetricType.METRIC_TYPE_RATIO,
        window=Duration(seconds=90),
        cap=7,
        covariates=["vip", "age"],
    )
    quantile = Metric(
        name="latency", type=MetricType.METRIC_TYPE_QUANTILE, quantile=0.9, lower_bound=0, upper_bound=60, cap=0
    )
    other = Metric(name="score", type=MetricType.METRIC_TYPE_CONTINUOUS, covariates=["vip"])
    plan = started_plan(ratio, quantile, other, dimensions=("country", "arch"))
    first, second, third = plan.metrics

    assert ["age", "vip"] == plan.covariates
    assert ["country", "arch"] == plan.dimensions
    assert [[1, 0], [], [1]] == [list(metric.covariates) for metric in (first, second, third)]
    assert ("errors", "calls", 90_000, 7.0) == (first.event, first.denominator_event, first.window_ms, first.cap)
    assert not first.HasField("lower_bound")
    assert (0.0, 60.0, 0.0) == (second.lower_bound, second.upper_bound, second.cap)
    assert second.HasField("lower_bound")
    assert second.HasField("cap")
    assert 0 == second.window_ms


@pytest.mark.parametrize(
    ("kind", "aggregation", "missing"),
    [
        ("CONVERSION", "UNSPECIFIED", "ZERO"),
        ("RATIO", "UNSPECIFIED", "ZERO"),
        ("CONTINUOUS", "UNSPECIFIED", "ZERO"),
        ("CONTINUOUS", "SUM", "ZERO"),
        ("CONTINUOUS", "COUNT", "ZERO"),
        ("CONTINUOUS", "MEAN", "EXCLUDE"),
        ("CONTINUOUS", "MAX", "EXCLUDE"),
        ("CONTINUOUS", "LAST", "EXCLUDE"),
        ("QUANTILE", "UNSPECIFIED", "EXCLUDE"),
        ("QUANTILE", "SUM", "EXCLUDE"),
    ],
)
def test_what_missing_means_follows_from_type_and_aggregation(kind: str, aggregation: str, missing: str) -> None:
    """The fold finds it written out, also where the author said nothing."""
    metric = Metric(
        name="m",
        type=MetricType.Value(f"METRIC_TYPE_{kind}"),
        aggregation=Aggregation.Value(f"AGGREGATION_{aggregation}"),
    )
    chosen = Metric()
    chosen.CopyFrom(metric)
    chosen.missing = MissingPolicy.MISSING_POLICY_EXCLUDE

    assert MissingPolicy.Value(f"MISSING_POLICY_{missing}") == started_plan(metric).metrics[0].missing
    assert MissingPolicy.MISSING_POLICY_EXCLUDE == started_plan(chosen).metrics[0].missing


@pytest.mark.parametrize(("goal", "worse"), [("INCREASE", -1.0), ("DECREASE", 5.0)])
def test_a_failure_counts_as_the_worse_bound(goal: str, worse: float) -> None:
    """Which one is worse only the goal says."""
    metric = Metric(
        name="m",
        type=MetricType.METRIC_TYPE_CONTINUOUS,
        goal=MetricGoal.Value(f"METRIC_GOAL_{goal}"),
        missing=MissingPolicy.MISSING_POLICY_FAIL,
        lower_bound=-1,
        upper_bound=5,
    )

    assert worse == started_plan(metric).metrics[0].fail_value
