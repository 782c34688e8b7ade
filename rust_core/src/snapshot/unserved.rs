//! What the contract has and this version does not serve: refused, never ignored.
//!
//! A row goes when its part lands.

use crate::error::Violation;
use crate::proto::v1::{AnalysisPlan, Correction, Experiment, ExperimentConfig, ExperimentType, InferenceMethod};

type Table<T> = &'static [(&'static str, fn(&T) -> bool)];

const EXPERIMENT: Table<Experiment> = &[
    ("type", |e| {
        !matches!(e.r#type(), ExperimentType::Unspecified | ExperimentType::AbTest | ExperimentType::FeatureFlag)
    }),
    ("targeting", |e| !e.targeting.is_empty()),
    ("prerequisites", |e| !e.prerequisites.is_empty()),
    ("layerId", |e| !e.layer_id.is_empty()),
    ("policy", |e| e.policy.is_some()),
];

const CONFIG: Table<ExperimentConfig> = &[
    ("config.maxSampleSize", |c| c.max_sample_size != 0),
    ("config.autoStop", |c| c.auto_stop),
    ("config.stopOnSignificance", |c| c.stop_on_significance),
    ("config.guardrails", |c| !c.guardrails.is_empty()),
    ("config.minDuration", |c| c.min_duration.is_some()),
];

const FLAG_CONFIG: Table<ExperimentConfig> = &[("config.rampUpPeriod", |c| c.ramp_up_period.is_some())];

const PLAN: Table<AnalysisPlan> = &[
    ("analysisPlan.method", |p| {
        !matches!(
            p.method(),
            InferenceMethod::Unspecified | InferenceMethod::Sequential | InferenceMethod::FixedHorizon
        )
    }),
    ("analysisPlan.correction", |p| p.correction() == Correction::BenjaminiHochberg),
    ("analysisPlan.covariateAdjustment", |p| p.covariate_adjustment),
];

/// Every field of `definition` that asks for what is not served.
#[must_use]
pub fn unserved(definition: &Experiment) -> Vec<Violation> {
    let mut found = rows(EXPERIMENT, definition);
    if let Some(config) = &definition.config {
        found.extend(rows(CONFIG, config));
        if definition.r#type() == ExperimentType::FeatureFlag {
            found.extend(rows(FLAG_CONFIG, config));
        }
    }
    if let Some(plan) = &definition.analysis_plan {
        found.extend(rows(PLAN, plan));
    }
    found
}

fn rows<T>(table: Table<T>, message: &T) -> Vec<Violation> {
    table
        .iter()
        .filter(|(_, asks)| asks(message))
        .map(|(path, _)| Violation {
            field: (*path).to_owned(),
            description: "not supported by this version".to_owned(),
        })
        .collect()
}
