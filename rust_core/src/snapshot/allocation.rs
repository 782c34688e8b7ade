//! Weights and traffic in force, from what the author wrote.

use std::collections::BTreeMap;

use crate::proto::v1::{Allocation, Experiment, ExperimentType};
use crate::snapshot::rules::variants_of;

/// Weights and traffic with which an iteration begins; epoch, time and cause are the caller's.
///
/// Weights are percent of the enrolled and sum to 100. Unset weights are equal shares, but for a
/// flag `traffic_percentage` is the share of the variants: 20 percent of traffic is on:off = 20:80,
/// with everyone enrolled.
#[must_use]
pub fn allocation(definition: &Experiment) -> Allocation {
    let arms: Vec<_> = variants_of(definition).map(|(_, variant)| variant).collect();
    let traffic = definition.config.as_ref().and_then(|config| config.traffic_percentage).unwrap_or(100.0);
    let unset = arms.iter().all(|variant| variant.weight.is_none());
    let by_weight = unset && definition.r#type() == ExperimentType::FeatureFlag;
    #[allow(clippy::cast_precision_loss)] // a handful of variants
    let weight = |position: usize, authored: Option<f64>| match (unset, by_weight) {
        (false, _) => authored.unwrap_or(0.0),
        (true, false) => 100.0 / arms.len() as f64,
        (true, true) if position == 0 => 100.0 - traffic,
        (true, true) => traffic / (arms.len() - 1) as f64,
    };
    let weights: BTreeMap<String, f64> = arms
        .iter()
        .enumerate()
        .map(|(position, variant)| (variant.id.clone(), weight(position, variant.weight)))
        .collect();
    Allocation { weights, traffic_percentage: if by_weight { 100.0 } else { traffic }, ..Allocation::default() }
}
