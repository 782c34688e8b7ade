//! Which variant an entity had first: asked before a decision, and told as soon as it is made.
//!
//! A first variant is known from the moment in which its exposure is queued: of two calls for one
//! entity at the same time the second one hears of the first. What was there before comes from the
//! tally, once, when a snapshot first asks for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::firsts::{Firsts, Iteration};
use super::{Memory, lock};
use crate::decide::{Decision, Prior, Priors};
use crate::journal::PendingFrame;
use crate::journal::rows::ExposureRows;
use crate::proto::storage::v1::control::Action;
use crate::proto::storage::v1::journal_entry::Kind;
use crate::proto::storage::v1::{Batch, Control};
use crate::proto::v1::{DecisionReason, ExperimentStatus};
use crate::snapshot::Snapshot;
use crate::snapshot::experiment::CompiledExperiment;
use crate::snapshot::sticky::Sticky;
use crate::tally::{Purpose, SHARDS, is_randomized};

impl Priors for Memory {
    fn first(&self, experiment: &CompiledExperiment, entity_id: &str) -> Prior {
        let changed = experiment.sticky == Sticky::Changed;
        if !changed && self.firsts.is_empty() {
            return Prior::None;
        }
        let found = self.with_firsts(experiment, |firsts| {
            if changed && !firsts.is_complete() {
                return Prior::Unknown;
            }
            let position = firsts.get(firsts.key(entity_id)).and_then(|id| experiment.position(id));
            position.map_or(Prior::None, Prior::Variant)
        });
        found.unwrap_or(if changed { Prior::Unknown } else { Prior::None })
    }
}

impl Memory {
    /// Whether the decision stands. It does not if chance chose and another call has exposed the entity
    /// since it was asked for: decide again.
    #[must_use]
    pub fn claim(&self, decision: &Decision) -> bool {
        let experiment = decision.experiment;
        if decision.reason != DecisionReason::Split || experiment.sticky == Sticky::Off || self.firsts.is_empty() {
            return true;
        }
        let claim = |firsts: &Arc<Firsts>| firsts.claim(firsts.key(decision.entity_id), decision.variant_id());
        self.with_firsts(experiment, claim).unwrap_or(true)
    }

    /// Takes back what was claimed for a decision that exposes nobody after all.
    pub fn release(&self, decision: &Decision) {
        if decision.reason == DecisionReason::Split
            && decision.experiment.sticky != Sticky::Off
            && !self.firsts.is_empty()
        {
            self.with_firsts(decision.experiment, |firsts| firsts.remove(firsts.key(decision.entity_id)));
        }
    }

    /// The tally has all of the journal: from now on first variants can be known.
    pub fn recall(&self) {
        self.recalled.store(true, Ordering::Release);
    }

    /// Gets ready to be asked for the first variants that `snapshot` asks for, and for no others.
    ///
    /// What one takes that is asked for the first time grows with the entities of all experiments.
    pub fn prepare(&self, snapshot: &Snapshot) {
        if !self.recalled.load(Ordering::Acquire) {
            return;
        }
        let asked: Vec<_> = snapshot.all().filter(|experiment| asks(experiment)).collect();
        for experiment in &asked {
            let found = self.open(&experiment.namespace, &experiment.id, experiment.iteration);
            if let Some(firsts) = found.filter(|firsts| !firsts.is_complete()) {
                self.fill(&firsts);
            }
        }
        self.firsts.retain(|of| {
            asked.iter().any(|experiment| {
                (&of.namespace, &of.experiment_id, of.number)
                    == (&experiment.namespace, &experiment.id, experiment.iteration)
            })
        });
    }

    /// Takes note of variants from before the change that `control` announces, which is in force before a
    /// snapshot says so.
    pub(super) fn open_firsts(&self, control: &Control) {
        if matches!(&control.action, Some(Action::Epoch(epoch)) if epoch.number > 1) {
            self.open(&control.namespace, &control.experiment_id, control.iteration);
        }
    }

    /// Takes note of the exposures that callers report.
    pub(super) fn note_firsts(&self, batch: &Batch) {
        if self.firsts.is_empty() {
            return;
        }
        let Some(columns) = &batch.exposures else { return };
        let Ok(rows) = ExposureRows::new(columns) else { return };
        let arms: Vec<_> = columns
            .arms
            .iter()
            .map(|arm| {
                let found = self.firsts.find(&batch.namespace, &arm.experiment_id, arm.iteration);
                found.filter(|_| is_randomized(arm.reason())).map(|firsts| (firsts, arm.variant_id.as_str()))
            })
            .collect();
        for row in rows.iter() {
            if let Some(Some((firsts, variant_id))) = arms.get(row.arm as usize) {
                firsts.claim(firsts.key(row.entity_id), variant_id);
            }
        }
    }

    /// Follows a frame that is folded: what was queued before anybody took note, and who is forgotten.
    pub(super) fn follow_firsts(&self, taken: &PendingFrame) {
        if self.firsts.is_empty() {
            return;
        }
        for entry in &taken.frame.entries {
            match &entry.kind {
                Some(Kind::Batch(batch)) => self.note_firsts(batch),
                Some(Kind::Control(Control { namespace, action: Some(Action::Forgotten(forgotten)), .. })) => {
                    self.firsts.forget(namespace, forgotten.key);
                }
                Some(Kind::Control(_)) | None => {}
            }
        }
    }

    fn with_firsts<T>(&self, of: &CompiledExperiment, read: impl FnOnce(&Arc<Firsts>) -> T) -> Option<T> {
        self.firsts.with(&of.namespace, &of.id, of.iteration, read)
    }

    /// `None` if the journal does not know the iteration.
    fn open(&self, namespace: &str, experiment_id: &str, number: i64) -> Option<Arc<Firsts>> {
        if let Some(known) = self.firsts.find(namespace, experiment_id, number) {
            return Some(known);
        }
        let variant_ids = lock(&self.tally).variant_ids(namespace, experiment_id, number)?;
        let iteration = Iteration { namespace: namespace.to_owned(), experiment_id: experiment_id.to_owned(), number };
        let scope = self.key.scope(Purpose::Entity, &[namespace]);
        Some(self.firsts.open(Firsts::new(iteration, scope, variant_ids)))
    }

    /// Sets what the tally has.
    fn fill(&self, firsts: &Firsts) {
        let Iteration { namespace, experiment_id, number } = &firsts.iteration;
        for shard in 0..SHARDS {
            // One after the other, so that nobody waits for all of them.
            let tally = lock(&self.tally);
            tally.firsts(namespace, experiment_id, *number, shard, |key, variant| firsts.set(key, variant));
        }
        firsts.complete();
    }
}

/// Whether the experiment's decisions look at first variants, or will when it is resumed.
fn asks(experiment: &CompiledExperiment) -> bool {
    experiment.sticky == Sticky::Changed
        && matches!(experiment.status, ExperimentStatus::Running | ExperimentStatus::Paused)
}
