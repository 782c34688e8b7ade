"""What an iteration measures, and what judges it, as fixed when it begins."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from klero.storage.v1.journal_pb2 import MeasurementPlan, MetricPlan
from klero.v1.experiment_pb2 import (
    Aggregation,
    Experiment,
    ExperimentConfig,
    MetricGoal,
    MetricType,
    MissingPolicy,
)

if TYPE_CHECKING:
    from klero.v1.experiment_pb2 import Metric


def measurement_plan(experiment: Experiment) -> MeasurementPlan:
    """All that the fold reads of a definition, defaults written out."""
    covariates = sorted({name for metric in experiment.metrics for name in metric.covariates})
    return MeasurementPlan(
        entity_type=experiment.entity_type,
        variant_ids=[variant.id for variant in (experiment.control, *experiment.variants)],
        metrics=[_metric_plan(metric, covariates) for metric in experiment.metrics],
        covariates=covariates,
        dimensions=experiment.analysis_plan.dimensions,
    )


def plan_digest(experiment: Experiment) -> str:
    """Name of what judges: the same for the same plan, metrics and limits of the analysis."""
    judging = Experiment(analysis_plan=experiment.analysis_plan, metrics=experiment.metrics)
    judging.analysis_plan.ClearField("frozen_at")
    judging.analysis_plan.ClearField("digest")
    for metric in judging.metrics:
        metric.ClearField("description")
        metric.ClearField("unit")
    judging.config.CopyFrom(
        ExperimentConfig(
            min_sample_size=experiment.config.min_sample_size, max_sample_size=experiment.config.max_sample_size
        )
    )
    if experiment.config.HasField("confidence_level"):
        judging.config.confidence_level = experiment.config.confidence_level
    return hashlib.sha256(judging.SerializeToString(deterministic=True)).hexdigest()[:16]


def _metric_plan(metric: Metric, covariates: list[str]) -> MetricPlan:
    plan = MetricPlan(
        name=metric.name,
        event=metric.event or metric.name,
        type=metric.type,
        aggregation=metric.aggregation or Aggregation.AGGREGATION_SUM,
        denominator_event=metric.denominator_event,
        window_ms=metric.window.ToMilliseconds(),
        missing=metric.missing or _missing(metric),
        covariates=[covariates.index(name) for name in metric.covariates],
    )
    if plan.missing == MissingPolicy.MISSING_POLICY_FAIL:
        increase = metric.goal == MetricGoal.METRIC_GOAL_INCREASE
        plan.fail_value = metric.lower_bound if increase else metric.upper_bound
    if metric.HasField("cap"):
        plan.cap = metric.cap
    if metric.HasField("lower_bound"):
        plan.lower_bound = metric.lower_bound
    if metric.HasField("upper_bound"):
        plan.upper_bound = metric.upper_bound
    return plan


def _missing(metric: Metric) -> MissingPolicy.ValueType:
    """What an entity without outcome counts as where the author did not say: 0 where values add up."""
    adds_up = metric.aggregation in {
        Aggregation.AGGREGATION_UNSPECIFIED,
        Aggregation.AGGREGATION_SUM,
        Aggregation.AGGREGATION_COUNT,
    }
    if metric.type != MetricType.METRIC_TYPE_QUANTILE and adds_up:
        return MissingPolicy.MISSING_POLICY_ZERO
    return MissingPolicy.MISSING_POLICY_EXCLUDE
