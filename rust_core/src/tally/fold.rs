//! One step of a frame onto the tally. Nothing here can fail: the step is checked.
//!
//! Outcomes, which are most of a journal, have a module of their own.

use super::checked::{CheckedBatch, Step};
use super::key::{Purpose, Scope};
use super::member::Exposure;
use super::observer::{FoldedExposure, Observer, Status};
use super::plan::{ArmKey, Epoch};
use super::requests::{First, Seen, uuid_ms};
use super::shard::{Exposed, Shard};
use super::{EntryResult, SHARDS, Tally};
use crate::journal::rows::ExposureRows;
use crate::proto::storage::v1::control::Action;
use crate::proto::storage::v1::{Arm, Batch, Control};
use crate::proto::v1::DecisionReason;

/// What the exposures to one arm do.
#[derive(Clone, Copy)]
enum Aim {
    /// The journal has no start of this iteration, or its plan no such variant.
    Unknown,
    AfterStop(usize),
    NotRandomized(usize),
    Counted {
        iteration: u32,
        arm: u32,
        scope: Scope,
    },
}

/// What the fold of one frame knows of it.
pub(super) struct Folding<'a, O> {
    pub(super) position: u64,
    pub(super) observer: &'a mut O,
}

impl Tally {
    pub(super) fn fold<O: Observer>(&mut self, step: Step<'_>, folding: &mut Folding<'_, O>) -> EntryResult {
        match step {
            Step::Start(control, plan, measurement) => self.plans.start(&self.key, control, plan, measurement),
            Step::Change(control, action) => {
                if let Action::Forgotten(forgotten) = action {
                    folding.observer.forgotten(&control.namespace, forgotten.key);
                }
                self.change(control, action, folding.position);
            }
            Step::Batch(checked) => return self.fold_batch(&checked, folding),
        }
        EntryResult::Counted
    }

    fn change(&mut self, control: &Control, action: &Action, position: u64) {
        if let Action::Forgotten(forgotten) = action {
            if let Some(shard) = shard_of(&mut self.shards, forgotten.key, position) {
                shard.forget(forgotten.key, &self.plans.iterations);
            }
            return;
        }
        let found = self.plans.find(&control.namespace, &control.experiment_id, control.iteration);
        let Some((index, _)) = found else {
            self.ledger.unknown_arms += 1;
            return;
        };
        if let Action::Stopped(stopped) = action {
            return self.stop(index, stopped.immediate, position);
        }
        let Some(iteration) = self.plans.iterations.get_mut(index) else { return };
        // Pauses have the times of frames, by which windows close: none begins within one that has.
        let frame_ms = self.ledger.time_ms;
        match action {
            Action::Epoch(epoch) => {
                let (number, weights) = (epoch.number, epoch.weights.clone());
                iteration.open(Epoch { number, opened_ms: control.time_ms, weights });
            }
            Action::Paused(_) => {
                if !iteration.paused() {
                    iteration.pauses.push((frame_ms, None));
                }
            }
            Action::Resumed(_) => {
                if let Some((_, end @ None)) = iteration.pauses.last_mut() {
                    *end = Some(frame_ms);
                }
            }
            Action::Started(_) | Action::Stopped(_) | Action::Forgotten(_) => {}
        }
    }

    /// A second stop is that of a journal which was completed after a crash, or one that cuts.
    fn stop(&mut self, index: usize, immediate: bool, position: u64) {
        let known = self.plans.iterations.get(index).is_some_and(|known| known.stopped && (known.cut || !immediate));
        if known {
            return;
        }
        self.plans.stop(index, immediate);
        if let Some(iteration) = self.plans.iterations.get(index) {
            for shard in self.shards.iter_mut().filter(|shard| shard.position < position) {
                shard.stop(index, iteration);
            }
        }
    }

    fn fold_batch<O: Observer>(&mut self, checked: &CheckedBatch<'_>, folding: &mut Folding<'_, O>) -> EntryResult {
        match self.check_repeat(checked, folding.position) {
            Seen::New => {}
            Seen::Repeat(first) => {
                self.ledger.repeated_batches += 1;
                return EntryResult::Repeat(first);
            }
            Seen::TooOld => {
                self.ledger.too_old_batches += 1;
                return EntryResult::TooOld { oldest_ms: self.ledger.requests.oldest_ms() };
            }
        }
        if let Some((arms, rows)) = checked.exposures {
            self.fold_exposures(checked.batch, arms, rows, folding);
        }
        if let Some((events, targets, rows)) = checked.outcomes {
            self.fold_outcomes(checked.batch, events, targets, rows, folding);
        }
        EntryResult::Counted
    }

    fn check_repeat(&mut self, checked: &CheckedBatch<'_>, position: u64) -> Seen {
        let Some(id) = &checked.request_id else { return Seen::New };
        let fingerprint = self.key.scope(Purpose::Request, &[&checked.batch.namespace]).hash(id);
        let exposures = checked.exposures.map_or(0, |(_, rows)| rows.count());
        let outcomes = checked.outcomes.map_or(0, |(_, _, rows)| rows.count());
        let accepted = u32::try_from(exposures + outcomes).unwrap_or(u32::MAX);
        self.ledger.requests.check(fingerprint, uuid_ms(id), First { position, accepted })
    }

    fn fold_exposures<O: Observer>(
        &mut self,
        batch: &Batch,
        arms: &[Arm],
        rows: ExposureRows<'_>,
        folding: &mut Folding<'_, O>,
    ) {
        let resolved: Vec<_> = arms.iter().map(|arm| self.aim(&batch.namespace, arm)).collect();
        let arrived_ms = self.ledger.time_ms;
        let (mut covariates, mut dimensions) = (Vec::new(), Vec::new());
        for (number, row) in rows.iter().enumerate() {
            let index = row.arm as usize;
            let mut iteration = None;
            let status = match resolved.get(index) {
                None | Some(Aim::Unknown) => {
                    self.ledger.unknown_arms += 1;
                    Status::Unknown
                }
                Some(Aim::AfterStop(at)) => {
                    iteration = self.plans.iterations.get_mut(*at);
                    if let Some(iteration) = &mut iteration {
                        iteration.exposed_after_stop += 1;
                    }
                    Status::AfterStop
                }
                Some(Aim::NotRandomized(at)) => {
                    iteration = self.plans.iterations.get_mut(*at);
                    if let Some(iteration) = &mut iteration {
                        iteration.not_randomized += 1;
                    }
                    Status::NotRandomized
                }
                Some(&Aim::Counted { iteration: at, arm, scope }) => {
                    iteration = self.plans.iterations.get_mut(at as usize);
                    let Some(plan) = &iteration else { continue };
                    covariates.clear();
                    covariates.extend(
                        plan.plan
                            .covariates
                            .iter()
                            .map(|name| rows.number(name).and_then(|cells| cells.of(number)).unwrap_or(f64::NAN)),
                    );
                    dimensions.clear();
                    let texts = plan.plan.dimensions.iter();
                    dimensions.extend(texts.map(|name| rows.text(name).and_then(|cells| cells.of(number))));
                    let key = scope.hash(row.entity_id.as_bytes());
                    let Some(shard) = shard_of(&mut self.shards, key, folding.position) else { continue };
                    let exposure = Exposure {
                        iteration: at,
                        arm,
                        at_ms: batch.arrival_ms.saturating_add(row.delay_ms),
                        arrived_ms,
                        covariates: &covariates,
                        dimensions: &dimensions,
                    };
                    match shard.expose(key, &exposure, plan) {
                        Exposed::First => Status::First,
                        Exposed::Again => Status::Again,
                        Exposed::Conflicting => Status::Conflicting,
                    }
                }
            };
            if O::LISTENS
                && let Some(arm) = arms.get(index)
            {
                let plan = iteration.as_deref().map(|iteration| &iteration.plan);
                folding.observer.exposure(FoldedExposure { batch, rows: &rows, number, row, arm, plan, status });
            }
        }
    }

    fn aim(&mut self, namespace: &str, arm: &Arm) -> Aim {
        let Some(known) = self.plans.namespace(namespace) else { return Aim::Unknown };
        let Some(iteration) = known.iteration(&arm.experiment_id, arm.iteration) else { return Aim::Unknown };
        let (index, scope) = (iteration as usize, known.scope);
        let Some(plan) = self.plans.iterations.get_mut(index) else { return Aim::Unknown };
        let Some(variant) = plan.variant(&arm.variant_id) else { return Aim::Unknown };
        if plan.stopped {
            return Aim::AfterStop(index);
        }
        if !is_randomized(arm.reason()) {
            return Aim::NotRandomized(index);
        }
        Aim::Counted { iteration, arm: plan.arm(ArmKey { epoch: arm.epoch, variant }), scope }
    }
}

/// Whether chance chose the variant, so that the entity is evidence.
pub(crate) fn is_randomized(reason: DecisionReason) -> bool {
    matches!(reason, DecisionReason::Unspecified | DecisionReason::Split | DecisionReason::Sticky)
}

/// The shard of a key, unless it has the frame at `position` already.
pub(super) fn shard_of(shards: &mut [Shard], key: u64, position: u64) -> Option<&mut Shard> {
    // The high bits: as many as there are shards, so that the index always fits.
    #[allow(clippy::cast_possible_truncation)]
    let shard = shards.get_mut((key >> (u64::BITS - SHARDS.ilog2())) as usize);
    shard.filter(|shard| shard.position < position)
}
