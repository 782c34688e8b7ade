"""Reports of made-up experiments, as large and as odd as a test needs them."""

from __future__ import annotations

import random

from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp

from klero.report.data import ReportData
from klero.v1.events_pb2 import AuditEntry, FieldChange
from klero.v1.experiment_pb2 import (
    Allocation,
    Experiment,
    ExperimentStatus,
    ExperimentType,
    Metric,
    MetricGoal,
    MetricType,
    Variant,
)
from klero.v1.experiment_service_pb2 import Counter, GetExperimentHistoryResponse, GetExperimentStatusResponse
from klero.v1.results_pb2 import (
    Comparison,
    ConfidenceInterval,
    EpochResult,
    ExperimentResults,
    GuardrailResult,
    GuardrailState,
    HealthCheck,
    HealthState,
    HistoryPoint,
    MetricResult,
    Progress,
    SignificanceResult,
    VariantResult,
    Verdict,
)

BEGIN_S = 1_790_000_000
"""Start of every made-up experiment, in seconds since 1970."""

_LEVEL = 0.95
_GOALS = (MetricGoal.METRIC_GOAL_INCREASE, MetricGoal.METRIC_GOAL_DECREASE, MetricGoal.METRIC_GOAL_UNSPECIFIED)


def experiment(*, treatments: int = 2, metrics: int = 3, windowed: bool = False) -> Experiment:
    """A running experiment with that many variants beside the control; the first metric is a rate."""
    made = Experiment(
        id="made",
        name="Made up",
        hypothesis="Asking for steps first makes the agent solve more tasks.",
        namespace="default",
        type=ExperimentType.EXPERIMENT_TYPE_AB_TEST,
        control=Variant(id="plain", name="Plain"),
        variants=[Variant(id=f"v{number}", name=f"Variant {number}") for number in range(1, treatments + 1)],
        iteration=1,
        started_at=Timestamp(seconds=BEGIN_S),
    )
    for number in range(metrics):
        metric = made.metrics.add(name=f"metric_{number}", goal=_GOALS[number % 3], primary=number == 0)
        metric.type = MetricType.METRIC_TYPE_CONTINUOUS if number % 2 else MetricType.METRIC_TYPE_CONVERSION
        metric.min_effect = 0.02 if number % 3 == 0 else 0.0
        metric.unit = "USD" if number % 2 else ""
        if windowed:
            metric.window.CopyFrom(Duration(seconds=3600))
    return made


def comparison(metric: Metric, variant_id: str, effect: float, half_width: float) -> Comparison:
    """A comparison whose two intervals differ, so that a test sees which one is shown."""
    significant = abs(effect) > half_width
    return Comparison(
        variant_id=variant_id,
        baseline_variant_id="plain",
        metric=metric.name,
        result=SignificanceResult(
            p_value=0.01 if significant else 0.4,
            adjusted_p_value=0.02 if significant else 0.8,
            significant=significant,
            confidence_level=_LEVEL,
            effect=effect,
            interval=ConfidenceInterval(lower=effect - half_width / 2, upper=effect + half_width / 2, level=_LEVEL),
            simultaneous_interval=ConfidenceInterval(
                lower=effect - half_width, upper=effect + half_width, level=_LEVEL
            ),
            lift=effect / 0.4,
            lift_interval=ConfidenceInterval(lower=(effect - half_width) / 0.4, upper=(effect + half_width) / 0.4),
            always_valid=True,
            explanation=f"`{variant_id}` against `plain` on {metric.name}.",
        ),
    )


def results(made: Experiment, *, entities: int = 8000, seed: int = 7) -> ExperimentResults:
    """Results with an effect of every kind: clear, unclear, up and down."""
    chance = random.Random(seed)
    variants = (made.control, *made.variants)
    found = ExperimentResults(
        experiment_id=made.id,
        recommendation="Keep running: no variant is better for certain yet.",
        verdict=Verdict.VERDICT_KEEP_RUNNING,
        collected_at=Timestamp(seconds=BEGIN_S + 90_000),
        control_variant_id="plain",
        iteration=made.iteration,
        as_of=123_456,
        engine_version="0.0.0",
        progress=Progress(
            enrolled=entities * len(variants), settled=entities * len(variants), required=60_000, fraction=0.4
        ),
        health=[
            HealthCheck(name="sample_ratio", state=HealthState.HEALTH_STATE_OK, message="Shares are as planned."),
            HealthCheck(name="late_outcomes", state=HealthState.HEALTH_STATE_WARNING, message="3 % came late."),
            HealthCheck(name="covariate_balance", message="Too few entities."),
            HealthCheck(name="missing_outcomes", state=HealthState.HEALTH_STATE_FAILED, message="Nothing from `v1`."),
        ],
        guardrails=[
            GuardrailResult(
                guardrail_id="g", variant_id="v1", state=GuardrailState.GUARDRAIL_STATE_SAFE, explanation="No breach."
            )
        ],
    )
    for number, variant in enumerate(variants):
        result = found.variant_results[variant.id]
        result.CopyFrom(
            VariantResult(
                variant_id=variant.id,
                sample_size=entities,
                enrolled=entities + number,
                settled=entities - number,
                weight=100 / len(variants),
            )
        )
        for metric in made.metrics:
            value = 0.4 + chance.uniform(-0.03, 0.03)
            result.metric_results[metric.name].CopyFrom(
                MetricResult(metric=metric.name, sample_size=entities, value=value)
            )
    for metric in made.metrics:
        for variant in made.variants:
            effect = chance.gauss(0.0, 0.02)
            found.comparisons.append(comparison(metric, variant.id, effect, chance.uniform(0.005, 0.03)))
    found.epochs.append(
        EpochResult(
            allocation=Allocation(
                epoch=1,
                started_at=Timestamp(seconds=BEGIN_S),
                weights={variant.id: 100 / len(variants) for variant in variants},
                traffic_percentage=100,
                cause="start",
            ),
            enrolled={variant.id: entities + number for number, variant in enumerate(variants)},
        )
    )
    return found


def history(made: Experiment, *, looks: int = 40, seconds: int = 90_000, seed: int = 8) -> GetExperimentHistoryResponse:
    """Looks that come closer to an effect, closer together at the begin."""
    chance = random.Random(seed)
    effects = {variant.id: chance.gauss(0.0, 0.02) for variant in made.variants}
    answer = GetExperimentHistoryResponse()
    if not made.metrics:
        return answer
    answer.metric = made.metrics[0].name
    for look in range(looks):
        share = ((look + 1) / looks) ** 2
        counts = {variant.id: int(8000 * share) for variant in (made.control, *made.variants)}
        point = HistoryPoint(
            looked_at=Timestamp(seconds=BEGIN_S + int(seconds * share)),
            as_of=look,
            enrolled=counts,
            sample_sizes=counts,
        )
        for variant, effect in effects.items():
            width = 0.012 / share**0.5
            found = comparison(made.metrics[0], variant, effect + chance.gauss(0, width / 5), width)
            point.comparisons.append(found)
        answer.points.append(point)
    return answer


def data(made: Experiment | None = None, **changes: object) -> ReportData:
    """A report's data of the experiment; `changes` replace fields."""
    about = experiment() if made is None else made
    windowed = any(metric.HasField("window") for metric in about.metrics)
    fields: dict[str, object] = {
        "experiment": about,
        "results": results(about),
        "live": results(about, entities=9000, seed=9) if windowed else None,
        "status": GetExperimentStatusResponse(
            status=ExperimentStatus.EXPERIMENT_STATUS_RUNNING,
            status_reason="started",
            iteration=1,
            counters=[
                Counter(name="late", value=17, description="Outcomes after their window."),
                Counter(name="unmatched", value=0, description="Outcomes without exposure."),
            ],
        ),
        "history": history(about),
        "audit": [
            AuditEntry(
                revision=1,
                occurred_at=Timestamp(seconds=BEGIN_S),
                actor="ann",
                action="StartExperiment",
                resource_id=about.id,
                reason="go",
                changes=[FieldChange(path="status", before=Value(string_value="draft"))],
            )
        ],
        "audit_is_cut": False,
    }
    return ReportData(**{**fields, **changes})  # type: ignore[arg-type]  # fields of a test
