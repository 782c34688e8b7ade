//! Rules that exposures and outcomes share.

use std::collections::BTreeMap;

use prost_types::Timestamp;

use crate::decide::MAX_ENTITY_ID_BYTES;
use crate::error::Rejection;
use crate::handle::assign::{MAX_ATTRIBUTES, MAX_ENTITIES};
use crate::proto::v1::attribute_value::Kind;
use crate::proto::v1::{AttributeValue, ErrorReason};
use crate::snapshot::Snapshot;
use crate::snapshot::experiment::CompiledExperiment;

/// Times may lie so far ahead of ours.
const MAX_AHEAD_MS: i64 = 24 * 3_600_000;
/// From year 1 to year 9999, as protobuf defines a time.
const TIME_RANGE_S: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
const MAX_ITEM_BYTES: usize = 16 * 1024;

pub(super) fn find<'a>(snapshot: &'a Snapshot, namespace: &str, id: &str) -> Result<&'a CompiledExperiment, Rejection> {
    snapshot
        .experiment(namespace, id)
        .ok_or_else(|| Rejection::new(ErrorReason::ExperimentNotFound, snapshot.not_found(namespace, id).to_string()))
}

pub(super) fn variant<'a>(experiment: &'a CompiledExperiment, id: &str) -> Result<&'a str, Rejection> {
    experiment.variant_by_id(id).map(|variant| variant.id.as_str()).ok_or_else(|| {
        let known: Vec<_> = experiment.variants().map(|variant| variant.id.as_str()).collect();
        let message =
            format!("experiment `{}` has no variant `{}`, only {}", experiment.id(), quoted(id), known.join(", "));
        Rejection::new(ErrorReason::VariantNotFound, message)
    })
}

/// 0 is the latest, for callers that have no decision at hand.
pub(super) fn iteration(experiment: &CompiledExperiment, sent: i64) -> Result<i64, Rejection> {
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

pub(super) fn check_entity_id(id: &str) -> Result<(), Rejection> {
    if id.is_empty() || id.len() > MAX_ENTITY_ID_BYTES { Err(entity_invalid(id)) } else { Ok(()) }
}

pub(super) fn entity_invalid(id: &str) -> Rejection {
    let message = if id.is_empty() {
        "entity id is empty".to_owned()
    } else {
        format!("entity id has {} bytes, at most {MAX_ENTITY_ID_BYTES} are allowed", id.len())
    };
    Rejection::new(ErrorReason::EntityIdInvalid, message)
}

/// Within the limits of what an item may bring along; `attributes` only exposures have.
pub(super) fn check_size(
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

/// Time of an item less its arrival.
pub(super) fn delay_ms(occurred_at: Option<&Timestamp>, now_ms: i64) -> Result<i64, Rejection> {
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
pub(super) fn quoted(text: &str) -> String {
    text.chars().take(60).flat_map(char::escape_debug).collect()
}
