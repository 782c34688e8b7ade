//! The fold: journal frames to per-entity totals, and from them counts and moments.
//!
//! [`Tally::apply`] is a pure function of the frames: no clock, no current definition, no order of
//! reads has a say, so that every replay of a journal gives the same bits. A frame is checked whole
//! before anything of it is counted. What is measured comes from the plans in the journal's controls.
//!
//! Entities are spread over a fixed number of shards by a secret hash. Each folds by itself; their
//! moments are merged in the order of shards when they are read.

mod checked;
mod error;
mod events;
mod fold;
mod key;
mod members;
mod outcomes;
mod plan;
mod read;
mod requests;
mod shard;

use std::collections::BTreeMap;

pub use error::FoldError;
pub use events::EventCount;
pub use key::{Key, Purpose, Scope};
pub use read::IterationRef;
pub use requests::First;

use crate::proto::storage::v1::JournalFrame;
use events::Events;
use plan::Plans;
use requests::Requests;
use shard::Shard;

/// A power of two; every replay must use the same, as moments are merged in shard order.
const SHARDS: usize = 16;
/// Moments are rebuilt whenever the position passes a multiple of this: at the same places in every
/// replay.
const REBUILD_EVERY: u64 = 1 << 16;
/// Batches that are remembered.
const REQUEST_LIMIT: usize = 10_000_000;
/// Event names that are counted apart.
const EVENT_LIMIT: usize = 10_000;

/// What a journal comes to, up to one position.
#[derive(Debug)]
pub struct Tally {
    key: Key,
    position: u64,
    time_ms: i64,
    /// Last sequence by incarnation.
    incarnations: BTreeMap<[u8; 16], u64>,
    requests: Requests,
    plans: Plans,
    shards: Vec<Shard>,
    events: Events,
    unknown_arms: u64,
}

/// What became of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The frame was in the journal before and is ignored; `entries` is empty.
    pub repeated: bool,
    /// One per entry of the frame.
    pub entries: Vec<EntryResult>,
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryResult {
    /// It is counted.
    Counted,
    /// The batch was counted before.
    Repeat(First),
    /// The batch may have been counted before and is not counted now, as its request id is older
    /// than what is remembered.
    TooOld {
        /// The oldest time that a request id may have, Unix milliseconds.
        oldest_ms: i64,
    },
}

impl Tally {
    /// The tally of an empty journal. `secret` keys the hashes of entities and request ids.
    #[must_use]
    pub fn new(secret: [u8; 16]) -> Self {
        Self::with_limits(secret, REQUEST_LIMIT, EVENT_LIMIT)
    }

    /// As [`Tally::new`], remembering at most `requests` batches and `events` names of events.
    #[must_use]
    pub fn with_limits(secret: [u8; 16], requests: usize, events: usize) -> Self {
        Self {
            key: Key::new(secret),
            position: 0,
            time_ms: 0,
            incarnations: BTreeMap::new(),
            requests: Requests::new(requests),
            plans: Plans::default(),
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            events: Events::new(events),
            unknown_arms: 0,
        }
    }

    /// Folds the frame at `position`.
    ///
    /// A frame whose (incarnation, sequence) was applied before only moves the position.
    ///
    /// # Errors
    /// If any part of the frame cannot be folded; then nothing of it was, and the position stays.
    pub fn apply(&mut self, position: u64, frame: &JournalFrame) -> Result<Applied, FoldError> {
        let identity = checked::identity(frame)?;
        if position <= self.position || position >= requests::POSITION_LIMIT {
            return Err(FoldError::Position { found: position, last: self.position });
        }
        let last = self.incarnations.get(&identity.incarnation).copied().unwrap_or_default();
        let repeated = identity.sequence <= last;
        let entries = if repeated {
            Vec::new()
        } else {
            let steps = checked::steps(frame, &self.plans)?;
            self.incarnations.insert(identity.incarnation, identity.sequence);
            self.time_ms = self.time_ms.max(frame.time_ms);
            self.requests.advance(self.time_ms);
            steps.iter().map(|step| self.fold(step, position)).collect()
        };
        if position / REBUILD_EVERY > self.position / REBUILD_EVERY {
            for shard in &mut self.shards {
                shard.rebuild_running(&self.plans.iterations);
            }
        }
        for shard in &mut self.shards {
            shard.rebuild_lost();
        }
        self.position = position;
        Ok(Applied { repeated, entries })
    }
}

#[cfg(test)]
mod tests;
