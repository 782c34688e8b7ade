//! The one FIFO of everything that goes to the journal.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::assigned::{ArmRef, Assigned};
use super::attributes::Attributes;
use super::frame::{self, Encoded, FORMAT};
use super::size;
use crate::proto::storage::v1::journal_entry::Kind as EntryKind;
use crate::proto::storage::v1::{Batch, Control, JournalEntry, JournalFrame};

/// Memory that may wait or be on its way to the disk.
pub const DEFAULT_LIMIT_BYTES: usize = 64 << 20;
/// One part of so many is kept for exposures of Assign, which has no caller to send them again.
const RESERVE: usize = 8;
/// Rows of one frame; the rest stays for the next one.
const FRAME_BYTES: usize = 16 << 20;
/// Exposures of Assign in one batch, so that a frame can end between two.
const ASSIGNED_BYTES: usize = 1 << 20;

/// Why something was not queued; nothing of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// The bound in bytes: try again when the writer has caught up.
    #[error("the queue of the journal is full")]
    Full,
    /// The server stops, or the journal failed.
    #[error("the queue of the journal is closed")]
    Closed,
}

/// Names a batch or a control until its frame is durable; rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Who waits for an entry of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Given when it was queued.
    pub ticket: Ticket,
    /// Index in `JournalFrame.entries`, and in [`Applied::entries`](crate::tally::Applied::entries).
    pub entry: usize,
}

/// A frame to be stored, then folded. Its bytes count against the queue's bound until it is dropped,
/// so that memory stays bounded while a disk hangs.
#[derive(Debug)]
pub struct PendingFrame {
    /// What is folded once `encoded` is durable.
    pub frame: JournalFrame,
    /// What is stored.
    pub encoded: Encoded,
    /// Rows of all batches.
    pub exposures: usize,
    /// Rows of all batches.
    pub outcomes: usize,
    /// In the order of the entries; exposures of Assign have no one who waits.
    pub waiting: Vec<Waiting>,
    _held: Held,
}

/// What [`Queue::take`] found.
#[derive(Debug)]
pub enum Take {
    /// Something waited.
    Frame(Box<PendingFrame>),
    /// Nothing came in the time given.
    TimedOut,
    /// Closed, and nothing is left.
    Closed,
}

/// Exposures, batches and controls in the order in which they came.
///
/// Any thread pushes, one takes. Bounded in bytes; a push never waits.
#[derive(Debug)]
pub struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    /// Bytes that wait and bytes of frames not yet dropped.
    held: Arc<AtomicUsize>,
    limit_bytes: usize,
    incarnation: Bytes,
}

#[derive(Debug)]
struct State {
    entries: VecDeque<Queued>,
    next_ticket: u64,
    sequence: u64,
    time_ms: i64,
    closed: bool,
}

#[derive(Debug)]
struct Queued {
    kind: Kind,
    ticket: Option<Ticket>,
    exposures: usize,
    outcomes: usize,
    bytes: usize,
    latest_ms: i64,
}

#[derive(Debug)]
enum Kind {
    Assigned(Box<Assigned>),
    Batch(Box<Batch>),
    Control(Control),
    /// Nothing but that time has gone on.
    Time,
}

/// Bytes given back when the frame is dropped.
#[derive(Debug)]
struct Held {
    bytes: usize,
    total: Arc<AtomicUsize>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Queue {
    /// An empty queue of a process.
    ///
    /// `incarnation` is a UUID that no other process has; `last_time_ms` the time of the journal's
    /// last frame, below which no time goes; `limit_bytes` the bound, normally
    /// [`DEFAULT_LIMIT_BYTES`].
    #[must_use]
    pub fn new(incarnation: [u8; 16], last_time_ms: i64, limit_bytes: usize) -> Self {
        Self {
            state: Mutex::new(State {
                entries: VecDeque::new(),
                next_ticket: 1,
                sequence: 0,
                time_ms: last_time_ms,
                closed: false,
            }),
            wake: Condvar::new(),
            held: Arc::new(AtomicUsize::new(0)),
            limit_bytes,
            incarnation: Bytes::copy_from_slice(&incarnation),
        }
    }

    /// Queues the exposure of an entity at `now_ms`; nobody waits for it.
    ///
    /// # Errors
    /// If the queue is full to its last byte, or closed.
    pub fn push_exposure(
        &self,
        namespace: &str,
        arm: &ArmRef<'_>,
        entity_id: &str,
        attributes: &Attributes<'_>,
        now_ms: i64,
    ) -> Result<(), QueueError> {
        let row = size::exposure(entity_id);
        let room = row + attributes.bytes() + size::ENTRY;
        let mut state = self.open()?;
        self.check_room(room, self.limit_bytes)?;
        if let Some(Queued { kind: Kind::Assigned(batch), exposures, bytes, latest_ms, .. }) = state.entries.back_mut()
            && batch.is_of(namespace)
            && *bytes < ASSIGNED_BYTES
        {
            let added = row + batch.push(arm, entity_id, attributes, now_ms);
            *exposures += 1;
            *bytes += added;
            *latest_ms = now_ms.max(*latest_ms);
            self.held.fetch_add(added, Ordering::Relaxed);
            return Ok(());
        }
        let mut batch = Assigned::new(namespace, now_ms);
        let bytes = size::ENTRY + row + batch.push(arm, entity_id, attributes, now_ms);
        let kind = Kind::Assigned(Box::new(batch));
        self.append(state, Queued { kind, ticket: None, exposures: 1, outcomes: 0, bytes, latest_ms: now_ms });
        Ok(())
    }

    /// Queues what a Record stores. Its columns must be rows: the fold refuses a frame whole.
    ///
    /// # Errors
    /// If no room is left beside the part kept for Assign, or if the queue is closed.
    pub fn push_batch(&self, batch: Batch) -> Result<Ticket, QueueError> {
        let bytes = size::batch(&batch);
        let mut state = self.open()?;
        self.check_room(bytes, self.limit_bytes - self.limit_bytes / RESERVE)?;
        let ticket = state.ticket();
        let queued = Queued {
            ticket: Some(ticket),
            exposures: batch.exposures.as_ref().map_or(0, |columns| columns.arm.len()),
            outcomes: batch.outcomes.as_ref().map_or(0, |columns| columns.event.len()),
            bytes,
            latest_ms: batch.arrival_ms,
            kind: Kind::Batch(Box::new(batch)),
        };
        self.append(state, queued);
        Ok(ticket)
    }

    /// Queues a change of what is measured; never refused for its size, as there are few.
    ///
    /// # Errors
    /// If the queue is closed.
    pub fn push_control(&self, control: Control) -> Result<Ticket, QueueError> {
        let mut state = self.open()?;
        let ticket = state.ticket();
        let queued = Queued {
            ticket: Some(ticket),
            exposures: 0,
            outcomes: 0,
            bytes: size::control(&control),
            latest_ms: control.time_ms,
            kind: Kind::Control(control),
        };
        self.append(state, queued);
        Ok(ticket)
    }

    /// Queues that time has gone on to `now_ms`, if nothing waits that would say so too; whether it did.
    pub fn push_time(&self, now_ms: i64) -> bool {
        let Ok(state) = self.open() else { return false };
        let alone = state.entries.is_empty() && now_ms > state.time_ms;
        if alone {
            let bytes = size::ENTRY;
            self.append(
                state,
                Queued { kind: Kind::Time, ticket: None, exposures: 0, outcomes: 0, bytes, latest_ms: now_ms },
            );
        }
        alone
    }

    /// Waits until something is there, at most `timeout`, and takes all of it that fits in a frame.
    pub fn take(&self, timeout: Duration) -> Take {
        let state = self.lock();
        let idle = |state: &mut State| state.entries.is_empty() && !state.closed;
        let (mut state, _) = self.wake.wait_timeout_while(state, timeout, idle).unwrap_or_else(PoisonError::into_inner);
        if state.entries.is_empty() {
            return if state.closed { Take::Closed } else { Take::TimedOut };
        }
        let taken = state.take_frame();
        state.sequence += 1;
        state.time_ms = taken.iter().map(|queued| queued.latest_ms).fold(state.time_ms, i64::max);
        let (sequence, time_ms) = (state.sequence, state.time_ms);
        // Encoding takes milliseconds, in which others go on pushing.
        drop(state);
        Take::Frame(Box::new(self.pending(sequence, time_ms, taken)))
    }

    /// Lets no later frame have a time before `time_ms`: the journal has frames of then.
    pub fn not_before(&self, time_ms: i64) {
        let mut state = self.lock();
        state.time_ms = state.time_ms.max(time_ms);
    }

    /// Refuses all that comes from now on; what waits can still be taken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_all();
    }

    /// Bytes that wait or belong to frames not yet dropped.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    fn pending(&self, sequence: u64, time_ms: i64, taken: Vec<Queued>) -> PendingFrame {
        let bytes = taken.iter().map(|queued| queued.bytes).sum();
        let held = Held { bytes, total: Arc::clone(&self.held) };
        let (mut exposures, mut outcomes, mut waiting) = (0, 0, Vec::new());
        let mut entries = Vec::with_capacity(taken.len());
        for queued in taken {
            let kind = match queued.kind {
                Kind::Assigned(batch) => EntryKind::Batch(batch.into_batch()),
                Kind::Batch(batch) => EntryKind::Batch(*batch),
                Kind::Control(control) => EntryKind::Control(control),
                Kind::Time => continue,
            };
            exposures += queued.exposures;
            outcomes += queued.outcomes;
            waiting.extend(queued.ticket.map(|ticket| Waiting { ticket, entry: entries.len() }));
            entries.push(JournalEntry { kind: Some(kind) });
        }
        let frame = JournalFrame { format: FORMAT, incarnation: self.incarnation.clone(), sequence, time_ms, entries };
        let encoded = frame::encode(&frame);
        PendingFrame { frame, encoded, exposures, outcomes, waiting, _held: held }
    }

    /// The lock, unless closed. Nothing panics under it, so that poison cannot mean a torn state.
    fn open(&self) -> Result<MutexGuard<'_, State>, QueueError> {
        let state = self.lock();
        if state.closed { Err(QueueError::Closed) } else { Ok(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Under the lock, so that two pushes cannot share the last room.
    fn check_room(&self, bytes: usize, limit: usize) -> Result<(), QueueError> {
        if self.held_bytes().saturating_add(bytes) > limit { Err(QueueError::Full) } else { Ok(()) }
    }

    fn append(&self, mut state: MutexGuard<'_, State>, queued: Queued) {
        self.held.fetch_add(queued.bytes, Ordering::Relaxed);
        let first = state.entries.is_empty();
        state.entries.push_back(queued);
        drop(state);
        // The taker sleeps only on an empty queue; waking costs a system call.
        if first {
            self.wake.notify_one();
        }
    }
}

impl State {
    fn ticket(&mut self) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        ticket
    }

    /// The first entry, and those behind it that fit beside it.
    fn take_frame(&mut self) -> Vec<Queued> {
        let mut bytes = 0;
        let fitting = self.entries.iter().take_while(|queued| {
            bytes += queued.bytes;
            bytes <= FRAME_BYTES
        });
        let count = fitting.count().max(1);
        self.entries.drain(..count).collect()
    }
}

#[cfg(test)]
mod tests;
