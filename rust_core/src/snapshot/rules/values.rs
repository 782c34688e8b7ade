//! Rules of how outcomes become an entity's value of a metric.

use super::metrics::{MAX_EVENT_BYTES, event_of, is_event};
use super::numbers::{duration, inside, millis};
use super::{Report, attributes};
use crate::proto::v1::{Aggregation, Metric, MetricGoal, MetricType, MissingPolicy};

/// Windows of less make everything late.
const MIN_WINDOW_MS: i64 = 1000;
const MAX_WINDOW_MS: i64 = 366 * 86_400_000;
/// Squares of bounds can still be added up.
const LARGEST_BOUND: f64 = 1e100;
/// Sketches count values up to this size.
const LARGEST_QUANTILE_BOUND: f64 = 1e12;

pub(super) fn check(report: &mut Report, path: &impl Fn(&str) -> String, metric: &Metric) {
    let kind = metric.r#type();
    denominator(report, &path("denominatorEvent"), metric);
    if kind == MetricType::Quantile {
        inside(report, &path("quantile"), metric.quantile, 0.0, 1.0);
    } else {
        report.require(metric.quantile == 0.0, &path("quantile"), || {
            format!("{} is set, but only a metric of type `quantile` has one", metric.quantile)
        });
    }
    let aggregated = matches!(kind, MetricType::Continuous | MetricType::Quantile);
    report.require(aggregated || metric.aggregation() == Aggregation::Unspecified, &path("aggregation"), || {
        "is set, but only metrics of type `continuous` and `quantile` have one".to_owned()
    });
    window(report, &path("window"), metric);
    bounds(report, path, metric);
    missing(report, &path("missing"), metric);
    cap(report, &path("cap"), metric);
    report.require(kind != MetricType::Quantile || metric.covariates.is_empty(), &path("covariates"), || {
        "are set, but a quantile cannot be explained by covariates".to_owned()
    });
    attributes::check(report, &path("covariates"), &metric.covariates);
}

fn denominator(report: &mut Report, field: &str, metric: &Metric) {
    let event = metric.denominator_event.as_str();
    if metric.r#type() != MetricType::Ratio {
        report.require(event.is_empty(), field, || "is set, but only a metric of type `ratio` has one".to_owned());
    } else if event.is_empty() {
        report.add(field, "not set, but a ratio divides by it");
    } else if !is_event(event) {
        report.add(field, format!("must have at most {MAX_EVENT_BYTES} bytes and no control characters"));
    } else if event == event_of(metric) {
        report.add(field, format!("`{event}` is the event that is divided, so the ratio is always 1"));
    }
}

fn window(report: &mut Report, field: &str, metric: &Metric) {
    let Some(window) = &metric.window else { return };
    let before = report.violations.len();
    duration(report, field, Some(window));
    if report.violations.len() == before {
        report.require((MIN_WINDOW_MS..=MAX_WINDOW_MS).contains(&millis(window)), field, || {
            format!("{window} must be at least 1 second and at most 366 days")
        });
    }
}

fn bounds(report: &mut Report, path: &impl Fn(&str) -> String, metric: &Metric) {
    let largest = if metric.r#type() == MetricType::Quantile { LARGEST_QUANTILE_BOUND } else { LARGEST_BOUND };
    for (field, bound) in [("lowerBound", metric.lower_bound), ("upperBound", metric.upper_bound)] {
        if let Some(bound) = bound.filter(|bound| !(-largest..=largest).contains(bound)) {
            report.add(path(field), format!("{bound:?} must be from -{largest:e} to {largest:e}"));
        }
    }
    if let (Some(lower), Some(upper)) = (metric.lower_bound, metric.upper_bound)
        && lower >= upper
    {
        report.add(path("lowerBound"), format!("{lower} must be below the upper bound of {upper}"));
    }
}

fn missing(report: &mut Report, field: &str, metric: &Metric) {
    if metric.missing() != MissingPolicy::Fail {
        return;
    }
    if metric.r#type() == MetricType::Ratio {
        report.add(field, "`fail` has no meaning for a ratio, whose entities are added up");
        return;
    }
    let Some(value) = fail_value(metric) else {
        report.add(field, "`fail` needs goal, lowerBound and upperBound: the worse bound stands for the failure");
        return;
    };
    report.require(metric.r#type() != MetricType::Conversion || [0.0, 1.0].contains(&value), field, || {
        format!("`fail` counts as the bound {value}, but a conversion is 0 or 1")
    });
}

/// What stands for a failure: the bound that is worse; `None` without goal or bounds.
fn fail_value(metric: &Metric) -> Option<f64> {
    let (lower, upper) = (metric.lower_bound?, metric.upper_bound?);
    match metric.goal() {
        MetricGoal::Increase => Some(lower),
        MetricGoal::Decrease => Some(upper),
        MetricGoal::Unspecified => None,
    }
}

fn cap(report: &mut Report, field: &str, metric: &Metric) {
    let Some(cap) = metric.cap else { return };
    report.require(cap.is_finite(), field, || format!("{cap} must be finite"));
    report.require(metric.r#type() != MetricType::Conversion, field, || {
        format!("{cap} is set, but a conversion is 0 or 1")
    });
    // Sums and counts may leave the bounds of the outcomes that they are made of.
    if matches!(metric.aggregation(), Aggregation::Mean | Aggregation::Max | Aggregation::Last) {
        let above = metric.lower_bound.is_none_or(|lower| cap >= lower);
        let below = metric.upper_bound.is_none_or(|upper| cap <= upper);
        report.require((above && below) || !cap.is_finite(), field, || {
            format!("{cap} must be within the metric's bounds, as its values are")
        });
    }
}
