//! Rules of one exposure.

use std::collections::BTreeMap;

use super::items::{check_size, delay_ms, entity_invalid, find, iteration, quoted, variant};
use crate::decide::Who;
use crate::error::Rejection;
use crate::journal::{ArmRef, Attributes};
use crate::proto::v1::attribute_value::Kind;
use crate::proto::v1::{AttributeValue, DecisionReason, ErrorReason, Exposure};
use crate::snapshot::Snapshot;
use crate::snapshot::experiment::CompiledExperiment;

/// Of an iteration that has ended.
const MAX_EPOCHS: i64 = 1000;

pub(super) struct CheckedExposure<'a> {
    pub(super) arm: ArmRef<'a>,
    pub(super) entity_id: &'a str,
    pub(super) delay_ms: i64,
    /// Those that the experiment reads.
    pub(super) attributes: Attributes<'a>,
}

pub(super) fn check<'a>(
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
    Ok(CheckedExposure {
        arm,
        entity_id,
        delay_ms: delay_ms(item.occurred_at.as_ref(), now_ms)?,
        attributes: Attributes::select(&item.attributes, &experiment.covariates, &experiment.dimensions),
    })
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
