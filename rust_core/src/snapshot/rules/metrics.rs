//! Rules of metrics.

use std::collections::BTreeSet;

use super::attributes::MAX_ATTRIBUTES;
use super::numbers::millis;
use super::{MAX_TEXT_BYTES, Report, bytes, enumeration, id, values};
use crate::proto::v1::{Aggregation, EffectScale, Metric, MetricGoal, MetricType, MissingPolicy};

const MAX_METRICS: usize = 100;
/// Different ones: each is a cursor that the fold moves.
const MAX_WINDOWS: usize = 16;
const MAX_UNIT_BYTES: usize = 64;
/// Of Outcome.event.
pub(crate) const MAX_EVENT_BYTES: usize = 128;

pub(super) fn check(report: &mut Report, metrics: &[Metric]) {
    let count = metrics.len();
    report.require(count <= MAX_METRICS, "metrics", || format!("{count} metrics, at most {MAX_METRICS} are allowed"));
    let mut names = BTreeSet::new();
    let mut primary: Option<&str> = None;
    for (index, metric) in metrics.iter().enumerate() {
        let path = |field: &str| format!("metrics[{index}].{field}");
        id(report, &path("name"), &metric.name);
        if !metric.name.is_empty() && !names.insert(metric.name.as_str()) {
            report.add(path("name"), format!("`{}` is the name of another metric too", metric.name));
        }
        enumeration::<MetricType>(
            report,
            &path("type"),
            metric.r#type,
            Some("`conversion`, `continuous`, `ratio` or `quantile`"),
        );
        let directions = metric.primary.then_some("`increase` or `decrease`: which way is better decides the verdict");
        enumeration::<MetricGoal>(report, &path("goal"), metric.goal, directions);
        enumeration::<EffectScale>(report, &path("minEffectScale"), metric.min_effect_scale, None);
        enumeration::<Aggregation>(report, &path("aggregation"), metric.aggregation, None);
        enumeration::<MissingPolicy>(report, &path("missing"), metric.missing, None);
        if metric.primary {
            if let Some(first) = primary {
                report.add(path("primary"), format!("`{first}` is primary already, at most one metric is"));
            }
            primary.get_or_insert(&metric.name);
        }
        let effect = metric.min_effect;
        report.require(effect >= 0.0 && effect.is_finite(), &path("minEffect"), || {
            format!("{effect} must be at least 0")
        });
        report.require(is_event(&metric.event) || metric.event.is_empty(), &path("event"), || {
            format!("must have at most {MAX_EVENT_BYTES} bytes and no control characters")
        });
        bytes(report, &path("unit"), &metric.unit, MAX_UNIT_BYTES);
        bytes(report, &path("description"), &metric.description, MAX_TEXT_BYTES);
        values::check(report, &path, metric);
    }
    together(report, metrics);
}

/// What all metrics of an experiment may ask for together.
fn together(report: &mut Report, metrics: &[Metric]) {
    let windows: BTreeSet<_> = metrics.iter().filter_map(|metric| metric.window.as_ref()).map(millis).collect();
    let count = windows.len();
    report.require(count <= MAX_WINDOWS, "metrics", || {
        format!("{count} different windows, at most {MAX_WINDOWS} are allowed")
    });
    let count = covariates(metrics).len();
    // One metric with too many is named for itself.
    let each = metrics.iter().all(|metric| metric.covariates.len() <= MAX_ATTRIBUTES);
    report.require(count <= MAX_ATTRIBUTES || !each, "metrics", || {
        format!("{count} different covariates, at most {MAX_ATTRIBUTES} are allowed")
    });
}

/// The attributes that metrics read, in order.
pub(in crate::snapshot) fn covariates(metrics: &[Metric]) -> BTreeSet<&str> {
    metrics.iter().flat_map(|metric| &metric.covariates).map(String::as_str).collect()
}

/// The event that a metric reads; for ratios the one that is divided.
pub(in crate::snapshot) fn event_of(metric: &Metric) -> &str {
    if metric.event.is_empty() { &metric.name } else { &metric.event }
}

/// Whether `name` can be the event of an outcome.
pub(crate) fn is_event(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_EVENT_BYTES && !name.chars().any(char::is_control)
}
