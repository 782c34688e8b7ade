//! Rules of one outcome.

use std::collections::BTreeMap;

use super::items::{check_entity_id, check_size, delay_ms, find, iteration, quoted, variant};
use crate::error::Rejection;
use crate::journal::ArmRef;
use crate::proto::v1::{DecisionReason, ErrorReason, Outcome};
use crate::snapshot::rules::{MAX_EVENT_BYTES, is_event};
use crate::snapshot::{EventReaders, Snapshot};

/// Of `event_id` and `supersedes`.
const MAX_EVENT_ID_BYTES: usize = 128;

pub(super) struct CheckedOutcome<'a> {
    pub(super) event: &'a str,
    /// Empty if only `entities` say whose outcome it is.
    pub(super) entity_id: &'a str,
    pub(super) entities: &'a BTreeMap<String, String>,
    pub(super) value: f64,
    pub(super) delay_ms: i64,
    /// Empty: the outcome has no identity.
    pub(super) event_id: &'a str,
    /// Empty: it takes no other's place.
    pub(super) supersedes: &'a str,
    /// The arm of an EXTERNAL experiment that it names.
    pub(super) target: Option<ArmRef<'a>>,
}

pub(super) fn check<'a>(
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
    for (field, asked) in [("dimensions", !item.dimensions.is_empty()), ("pair_id", !item.pair_id.is_empty())] {
        if asked {
            return Err(invalid(format!("{field} is not supported by this version")));
        }
    }
    check_identity(item)?;
    if let Some(readers) = snapshot.readers(namespace, &item.event) {
        check_readers(readers, item, value)?;
    }
    let target = target(snapshot, namespace, item)?;
    Ok(CheckedOutcome {
        event: &item.event,
        entity_id: &item.entity_id,
        entities: &item.entities,
        value,
        delay_ms: delay_ms(item.occurred_at.as_ref(), now_ms)?,
        event_id: &item.event_id,
        supersedes: &item.supersedes,
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

/// Ids that name this outcome and the one whose place it takes.
fn check_identity(item: &Outcome) -> Result<(), Rejection> {
    for (field, id) in [("event_id", &item.event_id), ("supersedes", &item.supersedes)] {
        if id.len() > MAX_EVENT_ID_BYTES || id.chars().any(char::is_control) {
            return Err(invalid(format!(
                "{field} has {} bytes, 1 to {MAX_EVENT_ID_BYTES} without control characters are allowed",
                id.len()
            )));
        }
    }
    if item.supersedes.is_empty() {
        return Ok(());
    }
    if item.event_id.is_empty() {
        return Err(invalid("supersedes needs an event_id, so that a repeat can be recognised".to_owned()));
    }
    if item.event_id == item.supersedes {
        return Err(invalid(format!("supersedes is `{}`, the event_id of the outcome itself", quoted(&item.event_id))));
    }
    Ok(())
}

/// What the metrics that read the event allow.
fn check_readers(readers: &EventReaders, item: &Outcome, value: f64) -> Result<(), Rejection> {
    if let Some((lower, upper)) = readers.refuses(value) {
        let message = format!(
            "value is {value}, outside the bounds of every metric that reads `{}`; the widest are {}",
            quoted(&item.event),
            range(lower, upper)
        );
        return Err(Rejection::new(ErrorReason::ValueOutOfBounds, message));
    }
    match readers.maximum() {
        Some((experiment, metric)) if !item.supersedes.is_empty() => Err(invalid(format!(
            "supersedes is refused for `{}`: metric `{metric}` of experiment `{experiment}` is its maximum, \
             which cannot be taken back",
            quoted(&item.event)
        ))),
        _ => Ok(()),
    }
}

/// One of the two may be infinite.
fn range(lower: f64, upper: f64) -> String {
    match (lower.is_finite(), upper.is_finite()) {
        (true, true) => format!("{lower} to {upper}"),
        (true, false) => format!("at least {lower}"),
        (false, _) => format!("at most {upper}"),
    }
}

fn invalid(message: String) -> Rejection {
    Rejection::new(ErrorReason::InvalidField, message)
}
