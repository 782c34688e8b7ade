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

use crate::decide::Decision;
use crate::error::Error;
use crate::journal::Ticket;
use crate::memory::Memory;
use crate::proto::v1::AttributeValue;
use crate::snapshot::Snapshot;

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
        self.snapshot.store(Some(Arc::new(snapshot)));
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

    /// Remembers that the entity was given its variant, if that is what the analysis reads.
    fn expose(&self, decision: &Decision, attributes: &BTreeMap<String, AttributeValue>, now_ms: i64) {
        if decision.randomized && decision.experiment.measured {
            self.memory.expose(decision, attributes, now_ms);
        }
    }

    fn oldest_request_ms(&self, now_ms: i64) -> i64 {
        self.memory.oldest_request_ms().max(now_ms - REQUESTS_REMEMBERED_MS)
    }
}
