//! Memory that what waits takes, for the bound of the queue.

use crate::proto::storage::v1::control::Action;
use crate::proto::storage::v1::{
    Arm, Batch, Control, ExposureColumns, MeasurementPlan, MetricPlan, OutcomeColumns, TextColumn,
};

/// An entry without its rows, and what an allocator adds to it.
pub(super) const ENTRY: usize = 512;
/// Numbers of one exposure: arm, length of the id, delay.
const EXPOSURE: usize = 16;
/// Numbers of one outcome: event, length of the id, value, delay, target.
const OUTCOME: usize = 28;
/// A number that an exposure has: row, value.
pub(super) const NUMBER: usize = 12;
/// A text that an exposure has: row, index.
pub(super) const TEXT: usize = 8;

pub(super) fn exposure(entity_id: &str) -> usize {
    EXPOSURE + entity_id.len()
}

pub(super) fn arms(arms: &[Arm]) -> usize {
    arms.iter().map(|arm| size_of::<Arm>() + arm.experiment_id.len() + arm.variant_id.len()).sum()
}

pub(super) fn batch(batch: &Batch) -> usize {
    ENTRY + batch.exposures.as_ref().map_or(0, exposures) + batch.outcomes.as_ref().map_or(0, outcomes)
}

fn exposures(columns: &ExposureColumns) -> usize {
    let numbers = columns.covariates.iter().map(|column| named(&column.name) + column.rows.len() * NUMBER);
    let dimension = |column: &TextColumn| named(&column.name) + texts(&column.texts) + column.rows.len() * TEXT;
    let attributes = numbers.sum::<usize>() + columns.dimensions.iter().map(dimension).sum::<usize>();
    columns.arm.len() * EXPOSURE + columns.entity_ids.len() + arms(&columns.arms) + attributes
}

fn outcomes(columns: &OutcomeColumns) -> usize {
    let entities =
        columns.named.iter().map(|named| size_of_val(named) + named.entity_type.len() + named.entity_id.len());
    let identities = columns
        .identities
        .iter()
        .map(|identity| size_of_val(identity) + identity.event_id.len() + identity.supersedes.len());
    let rows = columns.event.len() * OUTCOME + columns.entity_ids.len() + identities.sum::<usize>();
    rows + arms(&columns.targets) + texts(&columns.events) + entities.sum::<usize>()
}

pub(super) fn control(control: &Control) -> usize {
    ENTRY
        + match &control.action {
            Some(Action::Started(started)) => plan(started),
            Some(Action::Epoch(epoch)) => epoch.weights.keys().map(|id| named(id) + size_of::<f64>()).sum(),
            Some(Action::Stopped(_) | Action::Paused(_) | Action::Resumed(_) | Action::Forgotten(_)) | None => 0,
        }
}

fn plan(plan: &MeasurementPlan) -> usize {
    let metric = |metric: &MetricPlan| {
        let names = metric.name.len() + metric.event.len() + metric.denominator_event.len();
        size_of_val(metric) + names + size_of_val(metric.covariates.as_slice())
    };
    let metrics = plan.metrics.iter().map(metric).sum::<usize>();
    metrics + texts(&plan.variant_ids) + texts(&plan.covariates) + texts(&plan.dimensions)
}

/// A name and the vectors of what has it.
pub(super) fn named(text: &str) -> usize {
    4 * size_of::<Vec<u8>>() + text.len()
}

pub(super) fn text(text: &str) -> usize {
    size_of::<String>() + text.len()
}

fn texts(texts: &[String]) -> usize {
    texts.iter().map(|one| text(one)).sum()
}
