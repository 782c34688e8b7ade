//! Memory that what waits takes, for the bound of the queue.

use crate::proto::storage::v1::{Arm, Batch, Control, MeasurementPlan, control};

/// An entry without its rows, and what an allocator adds to it.
pub(super) const ENTRY: usize = 512;
/// Numbers of one exposure: arm, length of the id, delay.
const EXPOSURE: usize = 16;
/// Numbers of one outcome: event, length of the id, value, delay, target.
const OUTCOME: usize = 28;

pub(super) fn exposure(entity_id: &str) -> usize {
    EXPOSURE + entity_id.len()
}

pub(super) fn arms(arms: &[Arm]) -> usize {
    arms.iter().map(|arm| size_of::<Arm>() + arm.experiment_id.len() + arm.variant_id.len()).sum()
}

pub(super) fn batch(batch: &Batch) -> usize {
    let exposures = batch
        .exposures
        .as_ref()
        .map_or(0, |columns| columns.arm.len() * EXPOSURE + columns.entity_ids.len() + arms(&columns.arms));
    let outcomes = batch.outcomes.as_ref().map_or(0, |columns| {
        let named =
            columns.named.iter().map(|named| size_of_val(named) + named.entity_type.len() + named.entity_id.len());
        let rows = columns.event.len() * OUTCOME + columns.entity_ids.len();
        rows + arms(&columns.targets) + texts(&columns.events) + named.sum::<usize>()
    });
    ENTRY + exposures + outcomes
}

pub(super) fn control(control: &Control) -> usize {
    let plan = |plan: &MeasurementPlan| {
        let metrics = plan.metrics.iter().map(|metric| size_of_val(metric) + metric.name.len() + metric.event.len());
        texts(&plan.variant_ids) + metrics.sum::<usize>()
    };
    ENTRY
        + match &control.action {
            Some(control::Action::Started(started)) => plan(started),
            Some(control::Action::Stopped(_)) | None => 0,
        }
}

fn texts(texts: &[String]) -> usize {
    texts.iter().map(|text| size_of_val(text) + text.len()).sum()
}
