//! Bytes in, bytes out: the one implementation of the hot calls, whoever listens.
//!
//! Decode, limits, decide or queue, encode. No I/O and no clock: the caller brings the time, and
//! what must become durable is in the [`Memory`]'s queue when a call returns.

mod assign;
mod record;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::decide::{Decision, Who, decide};
use crate::error::Error;
use crate::journal::Ticket;
use crate::memory::Memory;
use crate::proto::v1::AttributeValue;
use crate::snapshot::Snapshot;
use crate::snapshot::experiment::CompiledExperiment;

/// Longest request and answer.
pub const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// Repeats are recognised for 7 days.
const REQUESTS_REMEMBERED_MS: i64 = 7 * 86_400_000;

/// A call's answer.
#[derive(Debug)]
pub enum Answer {
    /// The encoded response.
    Reply(Vec<u8>),
    /// The response comes once the frame with this ticket is durable.
    Wait(Ticket),
}

/// What the hot calls share: the snapshot in force and the memory.
#[derive(Debug)]
pub struct Handler {
    snapshot: ArcSwapOption<Snapshot>,
    memory: Arc<Memory>,
}

impl Handler {
    /// A handler without snapshot: calls fail with `SNAPSHOT_UNAVAILABLE` until the first swap.
    #[must_use]
    pub fn new(memory: Arc<Memory>) -> Self {
        Self { snapshot: ArcSwapOption::empty(), memory }
    }

    /// Puts `snapshot` in force, whole; calls under way finish with the one they began with.
    pub fn swap(&self, snapshot: Snapshot) {
        self.memory.prepare(&snapshot);
        self.snapshot.store(Some(Arc::new(snapshot)));
    }

    /// The tally has all of the journal: until then nobody can say which variant an entity had first.
    pub fn recall(&self) {
        self.memory.recall();
        if let Some(snapshot) = self.snapshot.load().as_deref() {
            self.memory.prepare(snapshot);
        }
    }

    /// Answers `method` of `DecisionService` for a request that arrived at `now_ms`.
    ///
    /// # Errors
    /// As the contract says for the method.
    pub fn handle(&self, method: &str, request: &[u8], now_ms: i64) -> Result<Answer, Error> {
        let guard = self.snapshot.load();
        let snapshot = guard.as_deref().ok_or(Error::SnapshotUnavailable)?;
        match method {
            "Assign" => assign::assign(self, snapshot, request, now_ms).map(Answer::Reply),
            "BatchAssign" => assign::batch_assign(self, snapshot, request, now_ms).map(Answer::Reply),
            "IsEnabled" => assign::is_enabled(self, snapshot, request, now_ms).map(Answer::Reply),
            "GetVariant" => assign::get_variant(self, snapshot, request, now_ms).map(Answer::Reply),
            "Record" => record::record(self, snapshot, request, now_ms),
            _ => Err(Error::Unimplemented(method.to_owned())),
        }
    }

    /// Decides; with `exposing` the answer to whoever asks about the entity from now on is known too.
    fn decide<'s>(
        &self,
        experiment: &'s CompiledExperiment,
        who: Who<'s>,
        exposing: bool,
        now_ms: i64,
    ) -> Decision<'s> {
        let ask = || decide(experiment, who, now_ms, self.memory.as_ref());
        agreed(ask, |decision| !exposing || !counts(decision) || self.memory.claim(decision))
    }

    /// Remembers that the entity was given its variant, if that is what the analysis reads.
    fn expose(&self, decision: &Decision, attributes: &BTreeMap<String, AttributeValue>, now_ms: i64) {
        if counts(decision) {
            self.memory.expose(decision, attributes, now_ms);
        }
    }

    fn oldest_request_ms(&self, now_ms: i64) -> i64 {
        self.memory.oldest_request_ms().max(now_ms - REQUESTS_REMEMBERED_MS)
    }
}

/// What `ask` gives, or if another call was faster to `claim` the entity, what it gives after that.
fn agreed<'s>(ask: impl Fn() -> Decision<'s>, claim: impl FnOnce(&Decision) -> bool) -> Decision<'s> {
    let decision = ask();
    if claim(&decision) { decision } else { ask() }
}

/// Whether the analysis reads that the entity was given its variant.
fn counts(decision: &Decision) -> bool {
    decision.randomized && decision.experiment.measured
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::decide::Prior;
    use crate::proto::v1;

    /// Of two calls at the same time both must give what the faster one gave.
    #[test]
    fn who_comes_too_late_takes_over_what_the_other_call_gave() {
        let variant = |id: &str, weight| v1::Variant { id: id.to_owned(), weight, ..v1::Variant::default() };
        let definition = crate::snapshot::canonical::canonical(v1::Experiment {
            id: "exp".to_owned(),
            r#type: v1::ExperimentType::AbTest.into(),
            status: v1::ExperimentStatus::Running.into(),
            control: Some(variant("a", Some(100.0))),
            variants: vec![variant("b", Some(0.0))],
            ..v1::Experiment::default()
        });
        let snapshot =
            Snapshot::compile(&v1::Snapshot { experiments: vec![definition], ..v1::Snapshot::default() }).unwrap();
        let experiment = snapshot.experiment("", "exp").unwrap();
        let entities = BTreeMap::new();
        for (in_time, expected) in [(true, "a"), (false, "b")] {
            let prior = Cell::new(Prior::None);
            let ask = || decide(experiment, Who { entity_id: "u1", entities: &entities }, 0, &prior.get());
            let claim = |_: &Decision| {
                prior.set(Prior::Variant(1));
                in_time
            };

            assert_eq!(expected, agreed(ask, claim).variant_id());
        }
    }
}
