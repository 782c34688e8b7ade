//! Steps that are known to be foldable: every fault is found before anything of a step is counted.

use super::error::FoldError;
use super::measure::Measurement;
use super::plan::Plans;
use crate::journal::frame::{FORMAT, OLDEST_FORMAT};
use crate::journal::rows::{ExposureRows, OutcomeRows};
use crate::proto::storage::v1::control::Action;
use crate::proto::storage::v1::journal_entry::Kind;
use crate::proto::storage::v1::{Arm, Batch, Control, JournalEntry, JournalFrame, MeasurementPlan};
use crate::proto::v1::{DecisionReason, MissingPolicy};

/// Who made a frame, and which one it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) incarnation: [u8; 16],
    pub(super) sequence: u64,
}

/// A step of a frame.
#[derive(Debug)]
pub(super) enum Step<'a> {
    Batch(CheckedBatch<'a>),
    Start(&'a Control, &'a MeasurementPlan, Measurement),
    Change(&'a Control, &'a Action),
}

/// A batch whose columns are rows.
#[derive(Debug)]
pub(super) struct CheckedBatch<'a> {
    pub(super) batch: &'a Batch,
    pub(super) request_id: Option<[u8; 16]>,
    pub(super) exposures: Option<(&'a [Arm], ExposureRows<'a>)>,
    pub(super) outcomes: Option<(&'a [String], &'a [Arm], OutcomeRows<'a>)>,
}

/// The frame's identity, if its format is known.
pub(super) fn identity(frame: &JournalFrame) -> Result<Identity, FoldError> {
    if !(OLDEST_FORMAT..=FORMAT).contains(&frame.format) {
        return Err(FoldError::UnknownFormat(frame.format));
    }
    match frame.incarnation.as_ref().try_into() {
        Ok(incarnation) if frame.sequence > 0 => Ok(Identity { incarnation, sequence: frame.sequence }),
        _ => Err(FoldError::Identity { length: frame.incarnation.len(), sequence: frame.sequence }),
    }
}

/// The step that an entry is, if it can be folded onto `plans`.
pub(super) fn step<'a>(entry: &'a JournalEntry, plans: &Plans) -> Result<Step<'a>, FoldError> {
    match entry.kind.as_ref().ok_or(FoldError::UnknownEntry)? {
        Kind::Batch(batch) => checked_batch(batch).map(Step::Batch),
        Kind::Control(control) => match control.action.as_ref().ok_or(FoldError::UnknownAction)? {
            Action::Started(plan) => {
                check_same_plan(control, plan, plans)?;
                let measurement = Measurement::new(plan).map_err(|metric| unmeasured(plan, metric))?;
                Ok(Step::Start(control, plan, measurement))
            }
            action => Ok(Step::Change(control, action)),
        },
    }
}

fn checked_batch(batch: &Batch) -> Result<CheckedBatch<'_>, FoldError> {
    let request_id = match batch.request_id.as_ref() {
        [] => None,
        id => Some(id.try_into().map_err(|_| FoldError::RequestId { length: id.len() })?),
    };
    let exposures = batch.exposures.as_ref().map(|columns| Ok((columns.arms.as_slice(), ExposureRows::new(columns)?)));
    let outcomes = batch
        .outcomes
        .as_ref()
        .map(|columns| Ok((columns.events.as_slice(), columns.targets.as_slice(), OutcomeRows::new(columns)?)));
    let exposures = exposures.transpose().map_err(FoldError::Columns)?;
    if let Some((arms, _)) = exposures {
        check_reasons(arms)?;
    }
    let outcomes = outcomes.transpose().map_err(FoldError::Columns)?;
    Ok(CheckedBatch { batch, request_id, exposures, outcomes })
}

fn check_reasons(arms: &[Arm]) -> Result<(), FoldError> {
    match arms.iter().find(|arm| DecisionReason::try_from(arm.reason).is_err()) {
        None => Ok(()),
        Some(arm) => Err(FoldError::UnknownReason { reason: arm.reason }),
    }
}

fn check_same_plan(control: &Control, plan: &MeasurementPlan, plans: &Plans) -> Result<(), FoldError> {
    let known = plans.find(&control.namespace, &control.experiment_id, control.iteration);
    if known.is_none_or(|(_, known)| spelt_out(&known.plan) == spelt_out(plan)) {
        return Ok(());
    }
    Err(FoldError::PlanChanged {
        namespace: control.namespace.clone(),
        experiment_id: control.experiment_id.clone(),
        iteration: control.iteration,
    })
}

/// The plan as format 2 writes it: format 1 left out what it had no choice of.
fn spelt_out(plan: &MeasurementPlan) -> MeasurementPlan {
    let mut plan = plan.clone();
    for metric in &mut plan.metrics {
        if metric.missing() == MissingPolicy::Unspecified {
            metric.set_missing(MissingPolicy::Zero);
        }
    }
    plan
}

fn unmeasured(plan: &MeasurementPlan, metric: usize) -> FoldError {
    let metric = plan.metrics.get(metric).cloned().unwrap_or_default();
    FoldError::Metric { metric: metric.name, kind: metric.r#type, aggregation: metric.aggregation }
}
