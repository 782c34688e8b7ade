//! Rules of variants, their weights and their configs.

use std::collections::BTreeSet;

use prost::Message;
use prost_types::{Struct, Value, value::Kind};

use super::numbers::percentage;
use super::{MAX_NAME_BYTES, MAX_TEXT_BYTES, Report, bytes, id, variants_of};
use crate::proto::v1::Experiment;

const MAX_VARIANTS: usize = 100;
const MAX_CONFIG_BYTES: usize = 256 * 1024;
/// Of lists and objects in a config: each takes up to three of the hundred levels that readers of protobuf allow.
const MAX_CONFIG_DEPTH: usize = 24;
/// Largest whole number that a double holds with all before it.
const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;
const WEIGHT_TOLERANCE: f64 = 0.1;

pub(super) fn check(report: &mut Report, definition: &Experiment) {
    if definition.control.is_none() {
        report.add("control", "not set, it is the variant that the others are compared with");
    }
    if definition.variants.is_empty() {
        report.add("variants", "not set, at least one variant beside the control is needed");
    }
    let count = definition.variants.len();
    report.require(count < MAX_VARIANTS, "variants", || {
        format!("{count} variants beside the control, at most {} are allowed", MAX_VARIANTS - 1)
    });
    let control_id = definition.control.as_ref().map(|control| control.id.as_str());
    let mut seen = BTreeSet::new();
    for (path, variant) in variants_of(definition) {
        id(report, &format!("{path}.id"), &variant.id);
        bytes(report, &format!("{path}.name"), &variant.name, MAX_NAME_BYTES);
        bytes(report, &format!("{path}.description"), &variant.description, MAX_TEXT_BYTES);
        if !variant.id.is_empty() && !seen.insert(variant.id.as_str()) {
            let description = if Some(variant.id.as_str()) == control_id {
                format!("`{}` is the control's id, but the content differs: there is one control", variant.id)
            } else {
                format!("`{}` is the id of another variant too", variant.id)
            };
            report.add(format!("{path}.id"), description);
        }
        if let Some(config) = &variant.config {
            check_config(report, &format!("{path}.config"), config);
        }
    }
    check_weights(report, definition);
}

fn check_weights(report: &mut Report, definition: &Experiment) {
    let mut sum = 0.0;
    let mut set = 0;
    let mut unset = Vec::new();
    for (path, variant) in variants_of(definition) {
        let path = format!("{path}.weight");
        match variant.weight {
            Some(weight) => {
                percentage(report, &path, weight);
                sum += weight;
                set += 1;
            }
            None => unset.push(path),
        }
    }
    if set == 0 {
        return;
    }
    for path in &unset {
        report.add(path, "not set, but other variants have a weight: set all, the control's too, or none");
    }
    if unset.is_empty() && (sum - 100.0).abs() > WEIGHT_TOLERANCE {
        report.add(
            "variants",
            format!(
                "weights are percent of the enrolled and must sum to 100, control included, not to {sum}; \
                 to enrol only a part of the entities set config.trafficPercentage"
            ),
        );
    }
}

fn check_config(report: &mut Report, path: &str, config: &Struct) {
    let size = config.encoded_len();
    report.require(size <= MAX_CONFIG_BYTES, path, || format!("{size} bytes, at most {MAX_CONFIG_BYTES} are allowed"));
    for (key, value) in &config.fields {
        check_value(report, &format!("{path}.{key}"), value, 1);
    }
}

fn check_value(report: &mut Report, path: &str, value: &Value, depth: usize) {
    if depth > MAX_CONFIG_DEPTH {
        report.add(path, format!("nested deeper than {MAX_CONFIG_DEPTH} levels"));
        return;
    }
    match &value.kind {
        Some(Kind::NumberValue(number)) if !number.is_finite() => {
            report.add(path, format!("{number} is no number that JSON has"));
        }
        Some(Kind::NumberValue(number)) if number.fract() == 0.0 && number.abs() > MAX_WHOLE => {
            report.add(path, format!("whole numbers beyond 2^53 lose digits, write {number} as text"));
        }
        Some(Kind::StructValue(inner)) => {
            for (key, value) in &inner.fields {
                check_value(report, &format!("{path}.{key}"), value, depth + 1);
            }
        }
        Some(Kind::ListValue(inner)) => {
            for (index, value) in inner.values.iter().enumerate() {
                check_value(report, &format!("{path}[{index}]"), value, depth + 1);
            }
        }
        Some(Kind::NumberValue(_) | Kind::NullValue(_) | Kind::StringValue(_) | Kind::BoolValue(_)) => {}
        None => report.add(path, "has no value"),
    }
}
