//! One step of a frame onto the tally. Nothing here can fail: the frame is checked.
//!
//! Outcomes, which are most of a journal, have a module of their own.

use super::checked::{CheckedBatch, Step};
use super::key::{Purpose, Scope};
use super::plan::{ArmKey, Plans};
use super::requests::{First, Seen, uuid_ms};
use super::shard::{Exposure, Shard};
use super::{EntryResult, SHARDS, Tally};
use crate::journal::rows::ExposureRows;
use crate::proto::storage::v1::{Arm, Batch, Control};
use crate::proto::v1::DecisionReason;

/// What the exposures to one arm do.
#[derive(Clone, Copy)]
enum Exposed {
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

impl Tally {
    pub(super) fn fold(&mut self, step: &Step<'_>, position: u64) -> EntryResult {
        match step {
            Step::Start(control, plan) => self.plans.start(&self.key, control, plan),
            Step::Stop(control) => self.stop(control),
            Step::Batch(checked) => return self.fold_batch(checked, position),
        }
        EntryResult::Counted
    }

    fn stop(&mut self, control: &Control) {
        let found = self.plans.find(&control.namespace, &control.experiment_id, control.iteration);
        let Some((index, _)) = found else {
            self.unknown_arms += 1;
            return;
        };
        if let Some(iteration) = self.plans.iterations.get_mut(index)
            && !iteration.stopped
        {
            iteration.stopped = true;
            for shard in &mut self.shards {
                shard.stop(index);
            }
        }
    }

    fn fold_batch(&mut self, checked: &CheckedBatch<'_>, position: u64) -> EntryResult {
        match self.check_repeat(checked, position) {
            Seen::New => {}
            Seen::Repeat(first) => return EntryResult::Repeat(first),
            Seen::TooOld => return EntryResult::TooOld { oldest_ms: self.requests.oldest_ms() },
        }
        if let Some((arms, rows)) = checked.exposures {
            self.fold_exposures(checked.batch, arms, rows);
        }
        if let Some((events, targets, rows)) = checked.outcomes {
            self.fold_outcomes(checked.batch, events, targets, rows);
        }
        EntryResult::Counted
    }

    fn check_repeat(&mut self, checked: &CheckedBatch<'_>, position: u64) -> Seen {
        let Some(id) = &checked.request_id else { return Seen::New };
        let fingerprint = self.key.scope(Purpose::Request, &[&checked.batch.namespace]).hash(id);
        let exposures = checked.exposures.map_or(0, |(_, rows)| rows.count());
        let outcomes = checked.outcomes.map_or(0, |(_, _, rows)| rows.count());
        let accepted = u32::try_from(exposures + outcomes).unwrap_or(u32::MAX);
        self.requests.check(fingerprint, uuid_ms(id), First { position, accepted })
    }

    fn fold_exposures(&mut self, batch: &Batch, arms: &[Arm], rows: ExposureRows<'_>) {
        let arms: Vec<_> = arms.iter().map(|arm| self.exposed(&batch.namespace, arm)).collect();
        for row in rows.iter() {
            match arms.get(row.arm as usize) {
                None | Some(Exposed::Unknown) => self.unknown_arms += 1,
                Some(Exposed::AfterStop(index)) => {
                    if let Some(iteration) = self.plans.iterations.get_mut(*index) {
                        iteration.exposed_after_stop += 1;
                    }
                }
                Some(Exposed::NotRandomized(index)) => {
                    if let Some(iteration) = self.plans.iterations.get_mut(*index) {
                        iteration.not_randomized += 1;
                    }
                }
                Some(&Exposed::Counted { iteration, arm, scope }) => {
                    let key = scope.hash(row.entity_id.as_bytes());
                    let exposure = Exposure { iteration, arm, at_ms: batch.arrival_ms.saturating_add(row.delay_ms) };
                    if let (Some(shard), Some(plan)) =
                        (shard_of(&mut self.shards, key), self.plans.iterations.get(iteration as usize))
                    {
                        shard.expose(key, exposure, plan);
                    }
                }
            }
        }
    }

    fn exposed(&mut self, namespace: &str, arm: &Arm) -> Exposed {
        let Plans { iterations, .. } = &self.plans;
        let Some(known) = self.plans.namespace(namespace) else { return Exposed::Unknown };
        let Some(iteration) = known.iteration(&arm.experiment_id, arm.iteration) else { return Exposed::Unknown };
        let index = iteration as usize;
        let Some(plan) = iterations.get(index) else { return Exposed::Unknown };
        let Some(variant) = plan.variant(&arm.variant_id) else { return Exposed::Unknown };
        if plan.stopped {
            return Exposed::AfterStop(index);
        }
        if !is_randomized(arm.reason()) {
            return Exposed::NotRandomized(index);
        }
        let Some(scope) = known.types.get(plan.entity_type).map(|of| of.scope) else { return Exposed::Unknown };
        let key = ArmKey { epoch: arm.epoch, variant };
        let Some(plan) = self.plans.iterations.get_mut(index) else { return Exposed::Unknown };
        Exposed::Counted { iteration, arm: plan.arm(key), scope }
    }
}

/// Whether chance chose the variant, so that the entity is evidence.
fn is_randomized(reason: DecisionReason) -> bool {
    matches!(reason, DecisionReason::Unspecified | DecisionReason::Split | DecisionReason::Sticky)
}

pub(super) fn shard_of(shards: &mut [Shard], key: u64) -> Option<&mut Shard> {
    // The high bits: as many as there are shards, so that the index always fits.
    #[allow(clippy::cast_possible_truncation)]
    shards.get_mut((key >> (u64::BITS - SHARDS.ilog2())) as usize)
}
