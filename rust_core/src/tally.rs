//! The fold: journal frames to per-entity totals, and from them counts and moments.
//!
//! [`Tally::apply`] is a pure function of the frames: no clock, no current definition, no order of
//! reads has a say, so that every replay of a journal gives the same bits. What is measured comes from
//! the plans in the journal's controls, and what time it is from the frames. An entry that cannot be
//! folded is set aside whole and named.
//!
//! Entities are spread over a fixed number of shards by a secret hash. Each folds by itself; their
//! moments are merged in the order of shards when they are read. A shard may have been restored from a
//! checkpoint that is ahead of the rest: it passes over the frames that it has.

mod cell;
mod checked;
mod checkpoint;
mod counts;
mod dictionary;
mod early;
mod error;
mod events;
mod firsts;
mod fold;
mod identities;
mod key;
mod ledger;
mod measure;
mod member;
mod members;
pub mod observer;
mod outcomes;
mod plan;
mod read;
mod requests;
mod shard;
mod waiting;

pub use checkpoint::{CheckpointError, Found, PARTS, Part};
pub use error::FoldError;
pub(crate) use fold::is_randomized;
pub use key::{Key, Purpose, Scope};
pub use read::IterationState;
pub use requests::First;

use crate::proto::storage::v1::JournalFrame;
use fold::Folding;
use ledger::{Ledger, Quarantined};
use observer::{Observer, Silent};
use plan::Plans;
use shard::Shard;

/// A power of two; every replay must use the same, as moments are merged in shard order.
pub(crate) const SHARDS: usize = 64;
/// Moments of a shard are rebuilt after so many frames: at the same positions in every replay, each
/// shard at positions of its own.
const REBUILD_EVERY: u64 = 1 << 16;
/// Batches that are remembered.
const REQUEST_LIMIT: usize = 10_000_000;
/// Event names that are counted apart.
const EVENT_LIMIT: usize = 10_000;

/// What a journal comes to, up to one position.
#[derive(Debug)]
pub struct Tally {
    key: Key,
    ledger: Ledger,
    plans: Plans,
    shards: Vec<Shard>,
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// It cannot be folded, which is a fault of who wrote it.
    Quarantined(FoldError),
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
            ledger: Ledger::new(requests, events),
            plans: Plans::default(),
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
        }
    }

    /// Folds the frame at `position`.
    ///
    /// A frame whose (incarnation, sequence) was applied before only moves the position.
    ///
    /// # Errors
    /// If the frame is of an unknown format, has no identity, or does not follow the last one; then
    /// nothing of it was folded, and the position stays.
    pub fn apply(&mut self, position: u64, frame: &JournalFrame) -> Result<Applied, FoldError> {
        self.apply_observed(position, frame, &mut Silent)
    }

    /// As [`Tally::apply`], with someone who sees the rows.
    ///
    /// # Errors
    /// As [`Tally::apply`].
    pub fn apply_observed<O: Observer>(
        &mut self,
        position: u64,
        frame: &JournalFrame,
        observer: &mut O,
    ) -> Result<Applied, FoldError> {
        let identity = checked::identity(frame)?;
        if position <= self.ledger.position || position >= requests::POSITION_LIMIT {
            return Err(FoldError::Position { found: position, last: self.ledger.position });
        }
        let last = self.ledger.incarnations.get(&identity.incarnation).copied().unwrap_or_default();
        let repeated = identity.sequence <= last;
        let mut entries = Vec::new();
        if repeated {
            self.ledger.repeated_frames += 1;
        } else {
            self.ledger.incarnations.insert(identity.incarnation, identity.sequence);
            self.go_on(position, frame.time_ms);
            let mut folding = Folding { position, observer };
            for (index, entry) in frame.entries.iter().enumerate() {
                entries.push(match checked::step(entry, &self.plans) {
                    Ok(step) => self.fold(step, &mut folding),
                    Err(error) => {
                        let why = error.to_string();
                        self.ledger.quarantine(Quarantined { position, entry: index, why });
                        EntryResult::Quarantined(error)
                    }
                });
            }
        }
        self.finish(position);
        Ok(Applied { repeated, entries })
    }

    /// Moves to the time of a frame and closes the windows that are due.
    fn go_on(&mut self, position: u64, time_ms: i64) {
        self.ledger.time_ms = self.ledger.time_ms.max(time_ms);
        self.ledger.requests.advance(self.ledger.time_ms);
        for shard in self.shards.iter_mut().filter(|shard| shard.position < position) {
            shard.settle(self.ledger.time_ms, &self.plans.iterations);
        }
    }

    fn finish(&mut self, position: u64) {
        for (offset, shard) in (0..).zip(&mut self.shards).filter(|(_, shard)| shard.position < position) {
            let turn = |position: u64| (position + offset * (REBUILD_EVERY / SHARDS as u64)) / REBUILD_EVERY;
            if turn(position) > turn(shard.position) {
                shard.rebuild_open(&self.plans.iterations);
            }
            shard.rebuild_lost(&self.plans.iterations);
            shard.position = position;
        }
        self.ledger.position = position;
    }
}

#[cfg(test)]
mod tests;
