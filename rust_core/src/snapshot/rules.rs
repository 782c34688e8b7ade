//! What every field of a definition must hold, and what is allowed but probably not meant.
//!
//! The only place with field rules; paths are JSON paths.

mod attributes;
mod metrics;
mod numbers;
mod schedule;
mod sticky;
mod values;
mod variants;

use crate::error::Violation;
use crate::proto::v1::{
    AssignmentSource, Correction, Experiment, ExperimentConfig, ExperimentType, InferenceMethod, Variant, Warning,
    WarningReason,
};
pub(crate) use metrics::{MAX_EVENT_BYTES, is_event};
pub(super) use metrics::{covariates, event_of};
use numbers::{duration, inside, not_negative, percentage};
pub(super) use numbers::{instant_millis, millis};

/// Ids are 1 to this many of `A-Z a-z 0-9 . _ -`.
pub const MAX_ID_BYTES: usize = 128;
/// Of the text of a description or hypothesis.
const MAX_TEXT_BYTES: usize = 64 * 1024;
const MAX_NAME_BYTES: usize = 256;
const MAX_LABELS: usize = 64;
const MAX_LABEL_CHARS: usize = 63;
/// The only scheme this version hashes by.
const SCHEME: &str = "klero.v1";

/// Collects violations while it walks.
#[derive(Default)]
pub(super) struct Report {
    violations: Vec<Violation>,
}

impl Report {
    pub(super) fn add(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.violations.push(Violation { field: field.into(), description: description.into() });
    }

    pub(super) fn require(&mut self, holds: bool, field: &str, description: impl FnOnce() -> String) {
        if !holds {
            self.add(field, description());
        }
    }
}

/// The control, then the treatments, each with its JSON path.
pub fn variants_of(definition: &Experiment) -> impl Iterator<Item = (String, &Variant)> {
    let control = definition.control.iter().map(|variant| ("control".to_owned(), variant));
    let treatments = definition.variants.iter().enumerate();
    control.chain(treatments.map(|(index, variant)| (format!("variants[{index}]"), variant)))
}

/// Every broken rule of a canonical definition; empty if it can be served.
#[must_use]
pub fn violations(definition: &Experiment) -> Vec<Violation> {
    let mut report = Report::default();
    id(&mut report, "id", &definition.id);
    id(&mut report, "namespace", &definition.namespace);
    if !definition.entity_type.is_empty() {
        id(&mut report, "entityType", &definition.entity_type);
    }
    bytes(&mut report, "name", &definition.name, MAX_NAME_BYTES);
    bytes(&mut report, "owner", &definition.owner, MAX_NAME_BYTES);
    bytes(&mut report, "description", &definition.description, MAX_TEXT_BYTES);
    bytes(&mut report, "hypothesis", &definition.hypothesis, MAX_TEXT_BYTES);
    enumeration::<ExperimentType>(&mut report, "type", definition.r#type, Some("`ab_test` or `feature_flag`"));
    sticky::check(&mut report, definition);
    enumeration::<AssignmentSource>(&mut report, "assignmentSource", definition.assignment_source, None);
    labels(&mut report, definition);
    hashing(&mut report, definition);
    variants::check(&mut report, definition);
    metrics::check(&mut report, &definition.metrics);
    if let Some(settings) = &definition.config {
        config(&mut report, settings);
    }
    plan(&mut report, definition);
    if let Some(of) = &definition.schedule {
        schedule::check(&mut report, of);
    }
    report.violations.extend(super::unserved::unserved(definition));
    report.violations
}

/// What is allowed and probably not meant.
#[must_use]
pub fn warnings(definition: &Experiment) -> Vec<Warning> {
    let mut found = Vec::new();
    let traffic = definition.config.as_ref().and_then(|config| config.traffic_percentage);
    if let Some(traffic) = traffic.filter(|traffic| *traffic > 0.0 && *traffic <= 1.0) {
        found.push(Warning {
            field: "config.trafficPercentage".to_owned(),
            reason: WarningReason::LooksLikeFraction.into(),
            message: format!("{traffic} means {traffic} percent; for all traffic write 100"),
        });
    }
    let primary = definition.metrics.iter().any(|metric| metric.primary);
    if !primary && definition.r#type() != ExperimentType::FeatureFlag {
        found.push(Warning {
            field: "metrics".to_owned(),
            reason: WarningReason::NoPrimaryMetric.into(),
            message: "no metric is primary, so there will be no verdict and no winner".to_owned(),
        });
    }
    found
}

pub(super) fn id(report: &mut Report, field: &str, value: &str) {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    report.require(!value.is_empty(), field, || {
        format!("not set, write 1 to {MAX_ID_BYTES} of the characters A-Z a-z 0-9 . _ -")
    });
    let holds = value.len() <= MAX_ID_BYTES && value.bytes().all(allowed);
    report.require(holds, field, || {
        format!("`{}` is not allowed, write 1 to {MAX_ID_BYTES} of the characters A-Z a-z 0-9 . _ -", shortened(value))
    });
}

pub(super) fn bytes(report: &mut Report, field: &str, value: &str, limit: usize) {
    report.require(value.len() <= limit, field, || format!("{} bytes, at most {limit} are allowed", value.len()));
}

/// Whether `value` is one that this version knows; where it must be set, `needed` names what can be written.
pub(super) fn enumeration<E: TryFrom<i32>>(report: &mut Report, field: &str, value: i32, needed: Option<&str>) {
    if let (0, Some(words)) = (value, needed) {
        report.add(field, format!("not set, write {words}"));
    } else if E::try_from(value).is_err() {
        report.add(field, format!("{value} is no value that this version knows"));
    }
}

/// Long input is quoted in part only.
fn shortened(value: &str) -> String {
    const SHOWN: usize = 60;
    if value.chars().count() <= SHOWN {
        return value.escape_debug().to_string();
    }
    value.chars().take(SHOWN).flat_map(char::escape_debug).chain("...".chars()).collect()
}

fn labels(report: &mut Report, definition: &Experiment) {
    let count = definition.labels.len();
    report.require(count <= MAX_LABELS, "labels", || format!("{count} labels, at most {MAX_LABELS} are allowed"));
    for (key, value) in &definition.labels {
        let fits = |text: &str| text.chars().count() <= MAX_LABEL_CHARS;
        report.require(!key.is_empty() && fits(key) && fits(value), "labels", || {
            format!(
                "`{}`: key and value must have at most {MAX_LABEL_CHARS} characters, the key at least one",
                shortened(key)
            )
        });
    }
}

fn hashing(report: &mut Report, definition: &Experiment) {
    let Some(hashing) = &definition.hashing else {
        return;
    };
    report.require(hashing.scheme.is_empty() || hashing.scheme == SCHEME, "hashing.scheme", || {
        format!("`{}` is not known, only `{SCHEME}` is", shortened(&hashing.scheme))
    });
    report.require(!hashing.salt.contains('/'), "hashing.salt", || {
        format!("`{}` must have no slash", shortened(&hashing.salt))
    });
    bytes(report, "hashing.salt", &hashing.salt, MAX_ID_BYTES);
}

fn config(report: &mut Report, config: &ExperimentConfig) {
    not_negative(report, "config.minSampleSize", config.min_sample_size);
    not_negative(report, "config.maxSampleSize", config.max_sample_size);
    if let Some(level) = config.confidence_level {
        inside(report, "config.confidenceLevel", level, 0.0, 1.0);
    }
    if let Some(traffic) = config.traffic_percentage {
        percentage(report, "config.trafficPercentage", traffic);
    }
    duration(report, "config.rampUpPeriod", config.ramp_up_period.as_ref());
    duration(report, "config.duration", config.duration.as_ref());
    duration(report, "config.minDuration", config.min_duration.as_ref());
}

fn plan(report: &mut Report, definition: &Experiment) {
    let Some(plan) = &definition.analysis_plan else {
        return;
    };
    enumeration::<InferenceMethod>(report, "analysisPlan.method", plan.method, None);
    enumeration::<Correction>(report, "analysisPlan.correction", plan.correction, None);
    not_negative(report, "analysisPlan.plannedSampleSize", plan.planned_sample_size);
    if plan.method() == InferenceMethod::FixedHorizon && plan.planned_sample_size == 0 {
        report.add(
            "analysisPlan.plannedSampleSize",
            "not set, but the method `fixed_horizon` is valid at this sample size only",
        );
    }
    for (field, value) in [("analysisPlan.power", plan.power), ("analysisPlan.srmAlpha", plan.srm_alpha)] {
        if let Some(value) = value {
            inside(report, field, value, 0.0, 1.0);
        }
    }
    attributes::check(report, "analysisPlan.dimensions", &plan.dimensions);
}

#[cfg(test)]
mod tests;
