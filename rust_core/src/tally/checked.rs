//! Frames that are known to be foldable: every fault is found before anything is counted.

use super::error::FoldError;
use super::plan::{Measure, Plans};
use crate::journal::frame::FORMAT;
use crate::journal::rows::{ExposureRows, OutcomeRows};
use crate::proto::storage::v1::control::Action;
use crate::proto::storage::v1::journal_entry::Kind;
use crate::proto::storage::v1::{Arm, Batch, Control, JournalFrame, MeasurementPlan};
use crate::proto::v1::DecisionReason;

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
    Start(&'a Control, &'a MeasurementPlan),
    Stop(&'a Control),
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
    if frame.format != FORMAT {
        return Err(FoldError::UnknownFormat(frame.format));
    }
    match frame.incarnation.as_ref().try_into() {
        Ok(incarnation) if frame.sequence > 0 => Ok(Identity { incarnation, sequence: frame.sequence }),
        _ => Err(FoldError::Identity { length: frame.incarnation.len(), sequence: frame.sequence }),
    }
}

/// The frame's steps, if all of them can be folded onto `plans`.
pub(super) fn steps<'a>(frame: &'a JournalFrame, plans: &Plans) -> Result<Vec<Step<'a>>, FoldError> {
    let mut steps: Vec<Step<'a>> = Vec::with_capacity(frame.entries.len());
    for (entry, of) in frame.entries.iter().enumerate() {
        let step = match of.kind.as_ref().ok_or(FoldError::UnknownEntry { entry })? {
            Kind::Batch(batch) => Step::Batch(checked_batch(entry, batch)?),
            Kind::Control(control) => match control.action.as_ref().ok_or(FoldError::UnknownAction { entry })? {
                Action::Started(plan) => {
                    check_plan(entry, control, plan, plans, &steps)?;
                    Step::Start(control, plan)
                }
                Action::Stopped(_) => Step::Stop(control),
            },
        };
        steps.push(step);
    }
    Ok(steps)
}

fn checked_batch(entry: usize, batch: &Batch) -> Result<CheckedBatch<'_>, FoldError> {
    let request_id = match batch.request_id.as_ref() {
        [] => None,
        id => Some(id.try_into().map_err(|_| FoldError::RequestId { entry, length: id.len() })?),
    };
    let exposures = batch.exposures.as_ref().map(|columns| Ok((columns.arms.as_slice(), ExposureRows::new(columns)?)));
    let outcomes = batch
        .outcomes
        .as_ref()
        .map(|columns| Ok((columns.events.as_slice(), columns.targets.as_slice(), OutcomeRows::new(columns)?)));
    let exposures = exposures.transpose().map_err(|source| FoldError::Columns { entry, source })?;
    if let Some((arms, _)) = exposures {
        check_reasons(entry, arms)?;
    }
    let outcomes = outcomes.transpose().map_err(|source| FoldError::Columns { entry, source })?;
    Ok(CheckedBatch { batch, request_id, exposures, outcomes })
}

fn check_reasons(entry: usize, arms: &[Arm]) -> Result<(), FoldError> {
    match arms.iter().find(|arm| DecisionReason::try_from(arm.reason).is_err()) {
        None => Ok(()),
        Some(arm) => Err(FoldError::UnknownReason { entry, reason: arm.reason }),
    }
}

fn check_plan(
    entry: usize,
    control: &Control,
    plan: &MeasurementPlan,
    plans: &Plans,
    before: &[Step<'_>],
) -> Result<(), FoldError> {
    if let Some(metric) = plan.metrics.iter().find(|metric| Measure::of(metric).is_none()) {
        return Err(FoldError::Metric {
            entry,
            metric: metric.name.clone(),
            kind: metric.r#type,
            aggregation: metric.aggregation,
        });
    }
    let started = |step: &Step<'_>| match step {
        Step::Start(other, plan) if same_iteration(control, other) => Some((*plan).clone()),
        _ => None,
    };
    let stored = plans.find(&control.namespace, &control.experiment_id, control.iteration);
    let known = stored.map(|(_, iteration)| iteration.plan.clone()).or_else(|| before.iter().find_map(started));
    if known.is_none_or(|known| known == *plan) {
        return Ok(());
    }
    Err(FoldError::PlanChanged {
        entry,
        namespace: control.namespace.clone(),
        experiment_id: control.experiment_id.clone(),
        iteration: control.iteration,
    })
}

fn same_iteration(one: &Control, other: &Control) -> bool {
    (one.iteration, &one.experiment_id, &one.namespace) == (other.iteration, &other.experiment_id, &other.namespace)
}
