//! What belongs to no entity: who wrote the journal, which batches it has, what was odd in it.

use std::collections::{BTreeMap, VecDeque};

use super::events::Events;
use super::requests::Requests;

/// Entries that could not be folded and are named; more are only counted.
const QUARANTINE: usize = 20;

/// An entry that could not be folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Quarantined {
    pub(super) position: u64,
    pub(super) entry: usize,
    pub(super) why: String,
}

/// The part of a tally that is not split into shards.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) position: u64,
    pub(super) time_ms: i64,
    /// Last sequence by incarnation.
    pub(super) incarnations: BTreeMap<[u8; 16], u64>,
    pub(super) requests: Requests,
    pub(super) events: Events,
    pub(super) unknown_arms: u64,
    pub(super) repeated_frames: u64,
    pub(super) repeated_batches: u64,
    pub(super) too_old_batches: u64,
    pub(super) quarantined: u64,
    /// The last of them.
    pub(super) quarantine: VecDeque<Quarantined>,
}

impl Ledger {
    pub(super) fn new(requests: usize, events: usize) -> Self {
        Self {
            position: 0,
            time_ms: 0,
            incarnations: BTreeMap::new(),
            requests: Requests::new(requests),
            events: Events::new(events),
            unknown_arms: 0,
            repeated_frames: 0,
            repeated_batches: 0,
            too_old_batches: 0,
            quarantined: 0,
            quarantine: VecDeque::new(),
        }
    }

    pub(super) fn quarantine(&mut self, entry: Quarantined) {
        self.quarantined += 1;
        if self.quarantine.len() == QUARANTINE {
            self.quarantine.pop_front();
        }
        self.quarantine.push_back(entry);
    }
}
