"""How an experiment moves from status to status."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from klero import lifecycle
from klero.errors import EtagMismatchError, IllegalTransitionError, VariantNotFoundError
from klero.storage.v1.journal_pb2 import MeasurementPlan, MetricPlan
from klero.v1.experiment_pb2 import (
    Aggregation,
    Allocation,
    AnalysisPlan,
    Experiment,
    ExperimentConfig,
    ExperimentStatus,
    Metric,
    MetricGoal,
    MetricType,
    MissingPolicy,
    Variant,
)

ALLOCATION = Allocation(weights={"a": 50, "b": 50}, traffic_percentage=80)


def at(seconds: int) -> Timestamp:
    """A point in time."""
    return Timestamp(seconds=seconds)


def definition() -> Experiment:
    """A definition as it comes in."""
    return Experiment(
        id="exp",
        namespace="default",
        entity_type="run",
        control=Variant(id="a"),
        variants=[Variant(id="b")],
        metrics=[Metric(name="cost", event="cost_usd", type=MetricType.METRIC_TYPE_CONTINUOUS)],
    )


def running() -> Experiment:
    """The same, started at second 10."""
    return lifecycle.start(lifecycle.draft(definition(), now=at(1)), allocation=ALLOCATION, now=at(10))


def test_a_draft_takes_no_output_only_field_from_its_author() -> None:
    """What was read can be sent again under another id: a copy begins its own life."""
    stopped = lifecycle.stop(running(), ship_variant_id="b", now=at(20))
    draft = lifecycle.draft(stopped, now=at(30))
    fresh = lifecycle.draft(definition(), now=at(30))
    fresh.analysis_plan.SetInParent()

    assert fresh == draft


def test_start_begins_an_iteration_and_freezes_the_plan() -> None:
    """Whoever judges must know that the plan was there before the data."""
    started = running()

    assert ExperimentStatus.EXPERIMENT_STATUS_RUNNING == started.status
    assert (1, 1) == (started.iteration, started.allocation.epoch)
    assert ALLOCATION.weights == started.allocation.weights
    assert at(10) == started.started_at == started.analysis_plan.frozen_at == started.allocation.started_at
    assert started.analysis_plan.digest


def test_the_digest_names_plan_metrics_and_settings() -> None:
    """Equal digests promise the same way of judging."""
    other = definition()
    other.analysis_plan.CopyFrom(AnalysisPlan(planned_sample_size=1000))
    changed = lifecycle.start(lifecycle.draft(other, now=at(1)), allocation=ALLOCATION, now=at(10))

    assert running().analysis_plan.digest == running().analysis_plan.digest
    assert running().analysis_plan.digest != changed.analysis_plan.digest


def test_a_second_start_is_a_new_iteration() -> None:
    """Its results begin at zero, and nothing of the first end is left."""
    stopped = lifecycle.stop(running(), ship_variant_id="b", now=at(20))
    again = lifecycle.start(stopped, allocation=ALLOCATION, now=at(30))

    assert 2 == again.iteration
    assert not again.HasField("ended_at")
    assert "" == again.shipped_variant_id


def test_stop_says_what_everyone_gets() -> None:
    """The sentence is shown wherever the status is."""
    stopped = lifecycle.stop(running(), ship_variant_id="b", now=at(20))

    assert ExperimentStatus.EXPERIMENT_STATUS_STOPPED == stopped.status
    assert at(20) == stopped.ended_at
    assert "stopped, everyone gets `b`" == stopped.status_reason
    with pytest.raises(VariantNotFoundError, match="no variant `c`"):
        lifecycle.stop(running(), ship_variant_id="c", now=at(20))


def windowed() -> Experiment:
    """An experiment with a window, started at second 10."""
    started = running()
    started.metrics[0].window.FromSeconds(60)
    return started


def test_a_stop_with_open_windows_drains() -> None:
    """What was begun with a variant is still coming in; decisions are those of the end at once."""
    draining = lifecycle.stop(windowed(), ship_variant_id="b", now=at(20))

    assert ExperimentStatus.EXPERIMENT_STATUS_DRAINING == draining.status
    assert (at(20), "b") == (draining.ended_at, draining.shipped_variant_id)
    assert "draining until the last window has closed, everyone gets `b`" == draining.status_reason
    assert not draining.closed_early
    with pytest.raises(
        IllegalTransitionError, match="is draining; allowed: scheduled, running, paused, draining with `immediate`"
    ):
        lifecycle.stop(draining, ship_variant_id="", now=at(30))
    with pytest.raises(IllegalTransitionError, match="is draining; allowed: draft, stopped, rolled_back"):
        lifecycle.start(draining, allocation=ALLOCATION, now=at(30))


def test_draining_ends_by_itself() -> None:
    """Nothing but status and reason changes when the last window has closed."""
    draining = lifecycle.stop(windowed(), ship_variant_id="b", now=at(20))
    drained = lifecycle.drained(draining, now=at(80))

    assert ExperimentStatus.EXPERIMENT_STATUS_STOPPED == drained.status
    assert (at(20), at(80), "b") == (drained.ended_at, drained.updated_at, drained.shipped_variant_id)
    assert "stopped and every window has closed, everyone gets `b`" == drained.status_reason
    assert lifecycle.lacking(draining, None) == lifecycle.lacking(drained, None)
    with pytest.raises(IllegalTransitionError, match="allowed: draining"):
        lifecycle.drained(drained, now=at(90))


@pytest.mark.parametrize(("ship", "ships"), [("", "b"), ("a", "a")])
def test_draining_can_be_ended_at_once(ship: str, ships: str) -> None:
    """Who stops waiting does not take back what is shipped; the end of enrolment stays where it was."""
    draining = lifecycle.stop(windowed(), ship_variant_id="b", now=at(20))
    stopped = lifecycle.stop(draining, ship_variant_id=ship, immediate=True, now=at(30))

    assert ExperimentStatus.EXPERIMENT_STATUS_STOPPED == stopped.status
    assert (at(20), ships) == (stopped.ended_at, stopped.shipped_variant_id)
    assert stopped.closed_early
    assert [False, True] == [lifecycle.lacking(each, None)[-1].stopped.immediate for each in (draining, stopped)]


def test_an_immediate_stop_leaves_open_windows_out() -> None:
    """The journal is told, and the next iteration begins without a trace of it."""
    stopped = lifecycle.stop(windowed(), ship_variant_id="", immediate=True, now=at(20))
    again = lifecycle.start(stopped, allocation=ALLOCATION, now=at(30))

    assert "stopped with open windows left out, everyone gets `a`" == stopped.status_reason
    assert lifecycle.lacking(stopped, None)[-1].stopped.immediate
    assert not again.closed_early
    assert not lifecycle.draft(stopped, now=at(40)).closed_early


def test_without_windows_there_is_nothing_to_drain() -> None:
    """`immediate` changes nothing then, and the journal is told nothing of it."""
    stopped, immediate = (
        lifecycle.stop(running(), ship_variant_id="", immediate=each, now=at(20)) for each in (False, True)
    )

    assert stopped == immediate
    assert not stopped.closed_early


def test_an_illegal_transition_names_what_is_legal() -> None:
    """People learn from the message what to do instead."""
    draft = lifecycle.draft(definition(), now=at(1))

    with pytest.raises(
        IllegalTransitionError, match="is draft; allowed: scheduled, running, paused, draining with `immediate`"
    ):
        lifecycle.stop(draft, ship_variant_id="", now=at(2))
    with pytest.raises(IllegalTransitionError, match="is running; allowed: draft, stopped, rolled_back"):
        lifecycle.start(running(), allocation=ALLOCATION, now=at(20))


def test_an_etag_is_checked_if_it_is_sent() -> None:
    """Changes that rest on an older state are refused."""
    stored = running()
    stored.etag = "1-7"

    lifecycle.check_etag(stored, "")
    lifecycle.check_etag(stored, "1-7")
    with pytest.raises(EtagMismatchError, match="is `1-7`, not `1-6`"):
        lifecycle.check_etag(stored, "1-6")


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


@pytest.mark.parametrize(("second", "percentage"), [(0, 0.0), (10, 0.0), (15, 40.0), (20, 80.0), (99, 80.0)])
def test_traffic_rises_along_the_ramp(second: int, percentage: float) -> None:
    """Status shows how much is enrolled right now."""
    experiment = running()
    experiment.config.CopyFrom(ExperimentConfig(ramp_up_period=Duration(seconds=10)))

    assert percentage == lifecycle.traffic_percentage(experiment, now_ms=second * 1000)


def test_what_does_not_run_enrols_nobody() -> None:
    """A stopped experiment has no traffic, whatever it had."""
    stopped = lifecycle.stop(running(), ship_variant_id="", now=at(20))

    assert 80.0 == lifecycle.traffic_percentage(running(), now_ms=30_000)
    assert 0.0 == lifecycle.traffic_percentage(stopped, now_ms=30_000)
