//! Rules of one exposure and of one outcome.

use std::collections::BTreeMap;

use prost_types::Timestamp;

use crate::decide::{MAX_ENTITY_ID_BYTES, Who};
use crate::error::Rejection;
use crate::handle::assign::{MAX_ATTRIBUTES, MAX_ENTITIES};
use crate::journal::ArmRef;
use crate::proto::v1::attribute_value::Kind;
use crate::proto::v1::{AttributeValue, DecisionReason, ErrorReason, Exposure, Outcome};
use crate::snapshot::Snapshot;
use crate::snapshot::experiment::CompiledExperiment;
use crate::snapshot::rules::{MAX_EVENT_BYTES, is_event};

/// Times may lie so far ahead of ours.
const MAX_AHEAD_MS: i64 = 24 * 3_600_000;
/// From year 1 to year 9999, as protobuf defines a time.
const TIME_RANGE_S: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
/// Of an iteration that has ended.
const MAX_EPOCHS: i64 = 1000;
const MAX_ITEM_BYTES: usize = 16 * 1024;

pub(super) struct CheckedExposure<'a> {
    pub(super) arm: ArmRef<'a>,
    pub(super) entity_id: &'a str,
    pub(super) delay_ms: i64,
}

pub(super) struct CheckedOutcome<'a> {
    pub(super) event: &'a str,
    /// Empty if only `entities` say whose outcome it is.
    pub(super) entity_id: &'a str,
    pub(super) entities: &'a BTreeMap<String, String>,
    pub(super) value: f64,
    pub(super) delay_ms: i64,
    /// The arm of an EXTERNAL experiment that it names.
    pub(super) target: Option<ArmRef<'a>>,
}

pub(super) fn exposure<'a>(
    snapshot: &'a Snapshot,
    namespace: &str,
    item: &'a Exposure,
    now_ms: i64,
) -> Result<CheckedExposure<'a>, Rejection> {
    let experiment = find(snapshot, namespace, &item.experiment_id)?;
    let who = Who { entity_id: &item.entity_id, entities: &item.entities };
    let entity_id = who.id_for(&experiment.entity_type).ok_or_else(|| {
        let shown = item.entities.get(&experiment.entity_type).unwrap_or(&item.entity_id);
        entity_invalid(shown)
    })?;
    let variant_id = variant(experiment, &item.variant_id)?;
    check_size(&item.entities, &item.attributes)?;
    check_finite(&item.attributes)?;
    let reason = match DecisionReason::try_from(item.reason) {
        Ok(DecisionReason::Unspecified) => DecisionReason::Split,
        Ok(reason) => reason,
        Err(_) => {
            let message = format!("reason {} is no value that this version knows", item.reason);
            return Err(Rejection::new(ErrorReason::InvalidField, message));
        }
    };
    let iteration = iteration(experiment, item.iteration)?;
    let arm = ArmRef {
        experiment_id: experiment.id(),
        iteration,
        epoch: epoch(experiment, iteration, item.epoch)?,
        variant_id,
        reason,
    };
    Ok(CheckedExposure { arm, entity_id, delay_ms: delay_ms(item.occurred_at.as_ref(), now_ms)? })
}

pub(super) fn outcome<'a>(
    snapshot: &'a Snapshot,
    namespace: &str,
    item: &'a Outcome,
    now_ms: i64,
) -> Result<CheckedOutcome<'a>, Rejection> {
    if item.entities.is_empty() || !item.entity_id.is_empty() {
        check_entity_id(&item.entity_id)?;
    }
    for id in item.entities.values() {
        check_entity_id(id)?;
    }
    check_size(&item.entities, &BTreeMap::new())?;
    if !is_event(&item.event) {
        let message = format!("event must have 1 to {MAX_EVENT_BYTES} bytes and no control characters");
        return Err(Rejection::new(ErrorReason::EventInvalid, message));
    }
    let value = item.value.unwrap_or(1.0);
    if !value.is_finite() {
        return Err(Rejection::new(ErrorReason::ValueNotFinite, format!("value is {value}, it must be finite")));
    }
    for (field, asked) in [
        ("event_id", !item.event_id.is_empty()),
        ("supersedes", !item.supersedes.is_empty()),
        ("dimensions", !item.dimensions.is_empty()),
        ("pair_id", !item.pair_id.is_empty()),
    ] {
        if asked {
            return Err(Rejection::new(ErrorReason::InvalidField, format!("{field} is not supported by this version")));
        }
    }
    let target = target(snapshot, namespace, item)?;
    Ok(CheckedOutcome {
        event: &item.event,
        entity_id: &item.entity_id,
        entities: &item.entities,
        value,
        delay_ms: delay_ms(item.occurred_at.as_ref(), now_ms)?,
        target,
    })
}

fn target<'a>(snapshot: &'a Snapshot, namespace: &str, item: &'a Outcome) -> Result<Option<ArmRef<'a>>, Rejection> {
    if item.experiment_id.is_empty() && item.variant_id.is_empty() {
        return Ok(None);
    }
    let experiment = find(snapshot, namespace, &item.experiment_id)?;
    if !experiment.external {
        let message = format!(
            "experiment `{}` is not assigned by another system, so the exposure says which variant an outcome belongs to",
            item.experiment_id
        );
        return Err(Rejection::new(ErrorReason::VariantNotExpected, message));
    }
    Ok(Some(ArmRef {
        experiment_id: experiment.id(),
        iteration: iteration(experiment, 0)?,
        epoch: experiment.epoch,
        variant_id: variant(experiment, &item.variant_id)?,
        reason: DecisionReason::Split,
    }))
}

fn find<'a>(snapshot: &'a Snapshot, namespace: &str, id: &str) -> Result<&'a CompiledExperiment, Rejection> {
    snapshot
        .experiment(namespace, id)
        .ok_or_else(|| Rejection::new(ErrorReason::ExperimentNotFound, snapshot.not_found(namespace, id).to_string()))
}

fn variant<'a>(experiment: &'a CompiledExperiment, id: &str) -> Result<&'a str, Rejection> {
    experiment.variant_by_id(id).map(|variant| variant.id.as_str()).ok_or_else(|| {
        let known: Vec<_> = experiment.variants().map(|variant| variant.id.as_str()).collect();
        let message =
            format!("experiment `{}` has no variant `{}`, only {}", experiment.id(), quoted(id), known.join(", "));
        Rejection::new(ErrorReason::VariantNotFound, message)
    })
}

/// 0 is the latest, for callers that have no decision at hand.
fn iteration(experiment: &CompiledExperiment, sent: i64) -> Result<i64, Rejection> {
    let latest = experiment.iteration;
    let found = if sent == 0 && experiment.external { latest } else { sent };
    if found < 1 || found > latest {
        let message = if latest == 0 {
            format!("experiment `{}` has not been started", experiment.id())
        } else {
            format!("iteration {sent} of experiment `{}`: the decision's is needed, 1 to {latest}", experiment.id())
        };
        return Err(Rejection::new(ErrorReason::IterationNotFound, message));
    }
    Ok(found)
}

/// Epochs are bounded, because each has tallies of its own. How many an earlier iteration had is not
/// in the definition any more.
fn epoch(experiment: &CompiledExperiment, iteration: i64, sent: i64) -> Result<i64, Rejection> {
    let latest = if iteration == experiment.iteration { experiment.epoch } else { MAX_EPOCHS };
    let found = if sent == 0 && experiment.external { experiment.epoch } else { sent };
    if found < 1 || found > latest {
        let message =
            format!("epoch {sent} of experiment `{}`: the decision's is needed, 1 to {latest}", experiment.id());
        return Err(Rejection::new(ErrorReason::IterationNotFound, message));
    }
    Ok(found)
}

fn check_entity_id(id: &str) -> Result<(), Rejection> {
    if id.is_empty() || id.len() > MAX_ENTITY_ID_BYTES { Err(entity_invalid(id)) } else { Ok(()) }
}

fn entity_invalid(id: &str) -> Rejection {
    let message = if id.is_empty() {
        "entity id is empty".to_owned()
    } else {
        format!("entity id has {} bytes, at most {MAX_ENTITY_ID_BYTES} are allowed", id.len())
    };
    Rejection::new(ErrorReason::EntityIdInvalid, message)
}

/// Within the limits of what an item may bring along; `attributes` only exposures have.
fn check_size(
    entities: &BTreeMap<String, String>,
    attributes: &BTreeMap<String, AttributeValue>,
) -> Result<(), Rejection> {
    let entity_bytes: usize = entities.iter().map(|(key, id)| key.len() + id.len()).sum();
    let attribute_bytes: usize = attributes.iter().map(|(key, value)| key.len() + value_len(value)).sum();
    for (what, count, limit, bytes) in [
        ("entities", entities.len(), MAX_ENTITIES, entity_bytes),
        ("attributes", attributes.len(), MAX_ATTRIBUTES, attribute_bytes),
    ] {
        if count > limit || bytes > MAX_ITEM_BYTES {
            let message =
                format!("{count} {what} of {bytes} bytes, at most {limit} of {MAX_ITEM_BYTES} bytes are allowed");
            return Err(Rejection::new(ErrorReason::ItemTooLarge, message));
        }
    }
    Ok(())
}

fn value_len(value: &AttributeValue) -> usize {
    match &value.kind {
        Some(Kind::StringValue(text)) => text.len(),
        Some(Kind::ListValue(list)) => list.values.iter().map(String::len).sum(),
        Some(Kind::DoubleValue(_) | Kind::IntValue(_) | Kind::BoolValue(_)) => 8,
        None => 0,
    }
}

fn check_finite(attributes: &BTreeMap<String, AttributeValue>) -> Result<(), Rejection> {
    for (key, value) in attributes {
        if let Some(Kind::DoubleValue(number)) = value.kind
            && !number.is_finite()
        {
            let message = format!("attribute `{}` is {number}, it must be finite", quoted(key));
            return Err(Rejection::new(ErrorReason::ValueNotFinite, message));
        }
    }
    Ok(())
}

/// Time of an item less its arrival.
fn delay_ms(occurred_at: Option<&Timestamp>, now_ms: i64) -> Result<i64, Rejection> {
    let Some(time) = occurred_at else { return Ok(0) };
    if !TIME_RANGE_S.contains(&time.seconds) || !(0..1_000_000_000).contains(&time.nanos) {
        let message = format!("occurred_at {}.{:09}s is no valid time", time.seconds, time.nanos);
        return Err(Rejection::new(ErrorReason::OccurredAtOutOfRange, message));
    }
    let delay = time.seconds * 1000 + i64::from(time.nanos) / 1_000_000 - now_ms;
    if delay > MAX_AHEAD_MS {
        let message = format!("occurred_at {time} is more than 24 hours ahead");
        return Err(Rejection::new(ErrorReason::OccurredAtOutOfRange, message));
    }
    Ok(delay)
}

/// What a caller sent, short enough to send back.
fn quoted(text: &str) -> String {
    text.chars().take(60).flat_map(char::escape_debug).collect()
}
