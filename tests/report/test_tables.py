"""Results as tables: what is shown is what was computed, and fits a terminal."""

from __future__ import annotations

import io

import pytest
from google.protobuf.duration_pb2 import Duration
from rich.console import Console

from klero.report.tables import results_table
from klero.v1.experiment_pb2 import Experiment, Metric, MetricGoal, MetricType, Variant
from klero.v1.results_pb2 import (
    Comparison,
    ConfidenceInterval,
    ExperimentResults,
    HealthCheck,
    HealthState,
    MetricResult,
    Segment,
    SignificanceResult,
    VariantResult,
)

EXPERIMENT = Experiment(
    control=Variant(id="a", name="As before"),
    variants=[Variant(id="b")],
    metrics=[
        Metric(
            name="paid",
            type=MetricType.METRIC_TYPE_CONVERSION,
            goal=MetricGoal.METRIC_GOAL_INCREASE,
            primary=True,
        )
    ],
)


def results(comparison: SignificanceResult, *health: HealthCheck) -> ExperimentResults:
    """Results of two variants, 10 % and 12 % of 1,000 each."""
    return ExperimentResults(
        recommendation="Ship `b`.",
        variant_results={
            variant: VariantResult(metric_results={"paid": MetricResult(metric="paid", sample_size=1000, value=value)})
            for variant, value in (("a", 0.1), ("b", 0.12))
        },
        comparisons=[Comparison(variant_id="b", baseline_variant_id="a", metric="paid", result=comparison)],
        health=health,
    )


def shown(found: ExperimentResults, experiment: Experiment = EXPERIMENT) -> str:
    """What a terminal of 80 columns shows, without the spaces that only align."""
    printed = io.StringIO()
    Console(width=80, file=printed).print(results_table(experiment, found))
    text = printed.getvalue()
    assert all(len(line) <= 80 for line in text.splitlines())
    return "\n".join(" ".join(line.split()) for line in text.splitlines())


def significance(**fields: object) -> SignificanceResult:
    """A decided comparison, changed by `fields`."""
    result = SignificanceResult(
        p_value=0.012,
        significant=True,
        confidence_level=0.95,
        lift=0.2,
        lift_interval=ConfidenceInterval(lower=0.05, upper=0.4),
        always_valid=True,
    )
    result.MergeFrom(SignificanceResult(**fields))  # type: ignore[arg-type]  # fields of a test
    return result


def test_a_row_has_value_lift_interval_and_p() -> None:
    """People decide by these four."""
    text = shown(results(significance()))

    assert text.startswith("Ship `b`.\n\npaid (primary, more is better)\n")
    assert "As before 1,000 10.0 %\n" in text
    assert "b 1,000 12.0 % +20.0 % +5.0 to +40.0 % 0.0120 *\n" in text
    assert "95 % confidence sequences, right at every look; * significant." in text


def test_a_corrected_p_goes_before_the_plain_one() -> None:
    """With several comparisons the plain one would promise too much, and the table says which it is."""
    text = shown(results(significance(adjusted_p_value=0.036)))

    assert " 0.0360 *\n" in text
    assert "* significant (corrected)." in text


@pytest.mark.parametrize(
    ("interval", "written"),
    [
        (ConfidenceInterval(lower=-0.1), "-10.0 to unbounded"),
        (ConfidenceInterval(upper=0.1), "unbounded to +10.0 %"),
        (ConfidenceInterval(), "unbounded to unbounded"),
    ],
)
def test_an_open_interval_says_so(interval: ConfidenceInterval, written: str) -> None:
    """A baseline near 0 bounds no lift; a made-up number would."""
    result = significance()
    result.lift_interval.CopyFrom(interval)

    assert f"b 1,000 12.0 % +20.0 % {written} 0.0120 *" in shown(results(result))


def test_a_p_too_small_for_a_double_is_not_0() -> None:
    """Nothing is certain, whatever the floating point says."""
    result = significance()
    result.p_value = 0.0

    assert " < 1e-300 *\n" in shown(results(result))


def test_what_was_not_computed_is_a_dash() -> None:
    """Below the minimum sample there is no p, and no zero in its place."""
    assert "b 1,000 12.0 % - - -\n" in shown(results(SignificanceResult(confidence_level=0.95)))


def test_only_what_is_wrong_is_said_at_length() -> None:
    """Ten healthy checks are one line, a failed one is a sentence."""
    text = shown(
        results(
            significance(),
            HealthCheck(name="sample_ratio", state=HealthState.HEALTH_STATE_FAILED, message="Split is off."),
            HealthCheck(name="multi_exposed", state=HealthState.HEALTH_STATE_OK, message="Fine."),
            HealthCheck(name="before_exposure", state=HealthState.HEALTH_STATE_UNSPECIFIED, message="No outcomes."),
        )
    )

    assert "failed: Split is off.\nbefore exposure: No outcomes.\nHealthy: multi exposed." in text


def one_metric(metric: Metric) -> Experiment:
    """The experiment with this metric in place of its own."""
    metric.name = "paid"
    return Experiment(control=EXPERIMENT.control, variants=EXPERIMENT.variants, metrics=[metric])


def test_a_window_shows_who_is_counted() -> None:
    """Fewer entities than expected need their reason in the same place."""
    found = results(significance())
    found.variant_results["b"].enrolled = 1500
    experiment = one_metric(Metric(type=MetricType.METRIC_TYPE_CONVERSION, window=Duration(seconds=60)))

    assert "b 1,000 of 1,500 12.0 % +20.0 %" in shown(found, experiment)


@pytest.mark.parametrize(
    ("metric", "title", "value"),
    [
        (Metric(type=MetricType.METRIC_TYPE_RATIO, unit="USD"), "ratio", "0.120 USD"),
        (Metric(type=MetricType.METRIC_TYPE_QUANTILE, quantile=0.95, unit="ms"), "p95", "0.120 ms"),
        (Metric(type=MetricType.METRIC_TYPE_QUANTILE, quantile=0.999), "p99.9", "0.120"),
        (Metric(type=MetricType.METRIC_TYPE_CONTINUOUS), "mean", "0.120"),
    ],
)
def test_values_are_named_by_their_kind(metric: Metric, title: str, value: str) -> None:
    """A p95 that is read as a mean is read wrongly."""
    text = shown(results(significance()), one_metric(metric))

    assert f"variant entities {title} lift" in text
    assert f"b 1,000 {value} +20.0 %" in text


def test_segments_stand_below_the_whole() -> None:
    """One table a dimension, each value with all of its variants, and what they are good for."""
    found = results(significance())
    for dimension, value in (("country", "at"), ("country", "other"), ("device", "phone")):
        found.segments.append(
            Segment(
                dimension=dimension,
                value=value,
                variant_results=found.variant_results,
                comparisons=[
                    Comparison(
                        variant_id="b",
                        baseline_variant_id="a",
                        metric="paid",
                        result=significance(adjusted_p_value=0.5),
                    )
                ],
            )
        )
    text = shown(found)

    assert "paid by country\ncountry variant entities rate lift interval p\nat As before 1,000 10.0 %\nb 1,000" in text
    assert "other As before" in text
    assert "paid by device\ndevice variant" in text
    assert "Segments are exploratory; their p is corrected over all of a dimension." in text
    assert " 0.500 *" in text
    assert "exploratory" not in shown(results(significance()))
