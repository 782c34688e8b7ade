//! What a node remembers: the queue before the journal, the tally behind it, and who waits between.
//!
//! A Record's way: queued, framed, made durable by the caller, folded here, answered. A decision's
//! exposure goes the same way without anyone waiting, and not at all once it is known to be there.

mod firsts;
mod sticky;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::decide::Decision;
use crate::error::Error;
use crate::journal::frame::{self, FrameError};
use crate::journal::rows::ExposureRows;
use crate::journal::{
    Acknowledgement, ArmRef, Attributes, DEFAULT_LIMIT_BYTES, PendingFrame, Queue, QueueError, Take, Ticket,
};
use crate::proto::storage::v1::control::Action;
use crate::proto::storage::v1::journal_entry::Kind;
use crate::proto::storage::v1::{Batch, Breakdown, Control, Forgotten, IterationTally, JournalFrame, JournalTally};
use crate::proto::v1::AttributeValue;
use crate::seen::Seen;
use crate::tally::{
    Applied, CheckpointError, EntryResult, First, FoldError, Found, IterationState, Key, Purpose, Tally,
};
use firsts::AllFirsts;

/// Slots of the hint at exposures already folded: 2^20 of 8 bytes.
const SEEN_BITS: u32 = 20;

/// Why a frame of the journal cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It is damaged, or of another format.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// It says what cannot be.
    #[error(transparent)]
    Fold(#[from] FoldError),
}

/// Who waited, and what to answer: empty for a control, otherwise an encoded response.
pub type Answered = (Ticket, Result<Vec<u8>, Error>);

/// Queue, tally and those who wait for a frame to be durable.
#[derive(Debug)]
pub struct Memory {
    queue: Queue,
    tally: Mutex<Tally>,
    seen: Seen,
    key: Key,
    firsts: AllFirsts,
    /// Whether the tally has all of the journal.
    recalled: AtomicBool,
    waiting: Mutex<HashMap<Ticket, Acknowledgement>>,
    // Copies of what the tally knows, so that nobody waits for a fold to read a number.
    position: AtomicI64,
    time_ms: AtomicI64,
    oldest_request_ms: AtomicI64,
    dropped_exposures: AtomicU64,
    held: AtomicBool,
    rejected_items: AtomicU64,
    failed: AtomicBool,
    fault: OnceLock<String>,
}

impl Memory {
    /// An empty memory. `secret` keys the hashes of entities, `incarnation` names the process.
    #[must_use]
    pub fn new(secret: [u8; 16], incarnation: [u8; 16]) -> Self {
        Self {
            queue: Queue::new(incarnation, 0, DEFAULT_LIMIT_BYTES),
            tally: Mutex::new(Tally::new(secret)),
            seen: Seen::new(SEEN_BITS),
            key: Key::new(secret),
            firsts: AllFirsts::default(),
            recalled: AtomicBool::new(false),
            waiting: Mutex::new(HashMap::new()),
            position: AtomicI64::new(0),
            time_ms: AtomicI64::new(0),
            oldest_request_ms: AtomicI64::new(i64::MIN),
            dropped_exposures: AtomicU64::new(0),
            held: AtomicBool::new(false),
            rejected_items: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            fault: OnceLock::new(),
        }
    }

    /// Queues a checked batch, which has rows; `commit` gives the answer.
    ///
    /// # Errors
    /// If the queue is full or takes no more, or while it is held.
    pub fn record(&self, batch: Batch, acknowledgement: Acknowledgement) -> Result<Ticket, Error> {
        if self.held.load(Ordering::Relaxed) {
            return Err(Error::JournalUnavailable);
        }
        self.note_firsts(&batch);
        // Held across the push, so that the commit cannot come before the entry.
        let mut waiting = lock(&self.waiting);
        let ticket = self.queue.push_batch(batch).map_err(|error| self.refusal(error))?;
        waiting.insert(ticket, acknowledgement);
        Ok(ticket)
    }

    /// Counts items of a Record that were refused while the others were taken.
    pub fn reject(&self, items: u64) {
        self.rejected_items.fetch_add(items, Ordering::Relaxed);
    }

    /// Queues the exposure of a decision, unless it is known to be in the journal, with those of the
    /// `attributes` sent that the experiment reads.
    ///
    /// Assign never waits: an exposure that finds the queue full is dropped and counted.
    pub fn expose(&self, decision: &Decision, attributes: &BTreeMap<String, AttributeValue>, now_ms: i64) {
        let experiment = decision.experiment;
        let arm = ArmRef {
            experiment_id: &experiment.id,
            iteration: experiment.iteration,
            epoch: experiment.epoch,
            variant_id: decision.variant_id(),
            reason: decision.reason,
        };
        if self.seen.contains(self.fingerprint(&experiment.namespace, &arm, decision.entity_id)) {
            return;
        }
        let attributes = Attributes::select(attributes, &experiment.covariates, &experiment.dimensions);
        if self.queue.push_exposure(&experiment.namespace, &arm, decision.entity_id, &attributes, now_ms).is_err() {
            self.dropped_exposures.fetch_add(1, Ordering::Relaxed);
            self.release(decision);
        }
    }

    /// Queues a change of what is measured.
    ///
    /// # Errors
    /// If the queue takes no more.
    pub fn control(&self, control: Control) -> Result<Ticket, Error> {
        self.open_firsts(&control);
        self.queue.push_control(control).map_err(|error| self.refusal(error))
    }

    /// Queues that nothing may be known of an entity any more.
    ///
    /// # Errors
    /// If the queue takes no more.
    pub fn forget(&self, namespace: &str, entity_id: &str, now_ms: i64) -> Result<Ticket, Error> {
        let key = Tally::entity_key(&self.key, namespace, entity_id);
        self.control(Control {
            namespace: namespace.to_owned(),
            time_ms: now_ms,
            action: Some(Action::Forgotten(Forgotten { key })),
            ..Control::default()
        })
    }

    /// Queues a frame without entries if a window closes by `now_ms` and nothing else says that it is
    /// so late; whether it did.
    pub fn tick(&self, now_ms: i64) -> bool {
        let due = lock(&self.tally).next_due_ms();
        due.is_some_and(|due| due <= now_ms) && self.queue.push_time(now_ms)
    }

    /// Refuses batches as long as `held`: there is hardly any room for them, or the journal is not yet
    /// read.
    pub fn hold(&self, held: bool) {
        self.held.store(held, Ordering::Relaxed);
    }

    /// Waits until something is to be written and takes it.
    pub fn take(&self, timeout: Duration) -> Take {
        self.queue.take(timeout)
    }

    /// Folds a frame that is durable at `position`; answers those who waited for it.
    ///
    /// A frame that cannot be folded is a fault of this program: the journal stops as with
    /// [`Memory::fail`], and [`Memory::fault`] says why.
    pub fn commit(&self, taken: &PendingFrame, position: u64) -> Vec<Answered> {
        let applied = match self.apply(position, &taken.frame) {
            Ok(applied) => applied,
            Err(error) => {
                let _ = self.fault.set(error.to_string());
                let lost = self.fail(taken).into_iter();
                return lost.map(|ticket| (ticket, Err(Error::JournalUnavailable))).collect();
            }
        };
        self.remember_exposures(taken);
        self.follow_firsts(taken);
        let mut waiting = lock(&self.waiting);
        let answers = taken.waiting.iter().map(|who| {
            let answer = match (waiting.remove(&who.ticket), applied.entries.get(who.entry)) {
                (None, _) => Ok(Vec::new()),
                (Some(_), Some(EntryResult::Quarantined(_))) => Err(Error::Uncounted { position }),
                (Some(waiter), Some(EntryResult::TooOld { oldest_ms })) => Err(waiter.too_old(*oldest_ms)),
                (Some(waiter), Some(EntryResult::Repeat(first))) => {
                    Ok(waiter.repeat(signed(first.position), accepted(first)))
                }
                (Some(waiter), Some(EntryResult::Counted) | None) => Ok(waiter.stored(signed(position))),
            };
            (who.ticket, answer)
        });
        answers.collect()
    }

    /// Gives up a frame that may not be durable, and with it the journal: everyone who waits is told.
    pub fn fail(&self, taken: &PendingFrame) -> Vec<Ticket> {
        self.failed.store(true, Ordering::Relaxed);
        self.queue.close();
        let mut lost: Vec<Ticket> = taken.waiting.iter().map(|who| who.ticket).collect();
        while let Take::Frame(rest) = self.queue.take(Duration::ZERO) {
            lost.extend(rest.waiting.iter().map(|who| who.ticket));
        }
        lock(&self.waiting).clear();
        lost
    }

    /// Folds a frame that was read from the journal.
    ///
    /// # Errors
    /// If it is damaged, of a format that this version does not know, or says what cannot be.
    pub fn replay(&self, position: u64, crc: u32, body: Bytes) -> Result<(), ReplayError> {
        let frame = frame::decode(body, crc)?;
        self.apply(position, &frame)?;
        self.queue.not_before(frame.time_ms);
        Ok(())
    }

    /// Position and bytes of one part of the tally; `None` if there is no such part.
    #[must_use]
    pub fn checkpoint(&self, part: usize) -> Option<(u64, Vec<u8>)> {
        // Encoding takes longer than copying, and nobody waits for it.
        let copied = lock(&self.tally).part(part)?;
        Some((copied.position(), copied.encode()))
    }

    /// Takes over parts that [`Memory::checkpoint`] gave, before the first frame: the position behind
    /// which frames are to be replayed, and what could not be used.
    #[must_use]
    pub fn restore(&self, stored: Vec<Vec<Bytes>>) -> (u64, Vec<(usize, CheckpointError)>) {
        let mut found = Found::new(stored);
        let mut tally = lock(&self.tally);
        let position = tally.restore(&mut found);
        self.publish(&tally);
        self.queue.not_before(tally.time_ms());
        (position, found.refused)
    }

    /// Refuses whatever else comes; what waits can still be taken.
    pub fn close(&self) {
        self.queue.close();
    }

    /// Journal position up to which everything is folded. 0: nothing.
    #[must_use]
    pub fn position(&self) -> i64 {
        self.position.load(Ordering::Acquire)
    }

    /// Time of the frame at that position, Unix milliseconds. 0: nothing.
    #[must_use]
    pub fn time_ms(&self) -> i64 {
        self.time_ms.load(Ordering::Acquire)
    }

    /// Why a frame could not be folded; `None` if all could.
    #[must_use]
    pub fn fault(&self) -> Option<&str> {
        self.fault.get().map(String::as_str)
    }

    /// Exposures that found the queue full since the start.
    #[must_use]
    pub fn dropped_exposures(&self) -> u64 {
        self.dropped_exposures.load(Ordering::Relaxed)
    }

    /// Items of Record that were refused since the start.
    #[must_use]
    pub fn rejected_items(&self) -> u64 {
        self.rejected_items.load(Ordering::Relaxed)
    }

    /// Earliest time of a request id whose repeat would be recognised.
    #[must_use]
    pub fn oldest_request_ms(&self) -> i64 {
        self.oldest_request_ms.load(Ordering::Relaxed)
    }

    /// What was counted of an iteration; `None` if the journal does not know it.
    #[must_use]
    pub fn iteration(&self, namespace: &str, experiment_id: &str, iteration: i64) -> Option<IterationTally> {
        lock(&self.tally).iteration(namespace, experiment_id, iteration)
    }

    /// An iteration by the values of one dimension; `None` if the journal does not know either.
    #[must_use]
    pub fn breakdown(
        &self,
        namespace: &str,
        experiment_id: &str,
        iteration: i64,
        dimension: &str,
    ) -> Option<Breakdown> {
        lock(&self.tally).breakdown(namespace, experiment_id, iteration, dimension)
    }

    /// What was counted of the whole journal.
    #[must_use]
    pub fn journal(&self) -> JournalTally {
        lock(&self.tally).journal()
    }

    /// What the journal says of an iteration; `None` if it does not know it.
    #[must_use]
    pub fn state(&self, namespace: &str, experiment_id: &str, iteration: i64) -> Option<IterationState> {
        lock(&self.tally).state(namespace, experiment_id, iteration)
    }

    fn apply(&self, position: u64, frame: &JournalFrame) -> Result<Applied, FoldError> {
        let mut tally = lock(&self.tally);
        let applied = tally.apply(position, frame)?;
        self.publish(&tally);
        Ok(applied)
    }

    fn publish(&self, tally: &Tally) {
        self.oldest_request_ms.store(tally.oldest_request_ms(), Ordering::Release);
        self.time_ms.store(tally.time_ms(), Ordering::Release);
        self.position.store(signed(tally.position()), Ordering::Release);
    }

    fn refusal(&self, error: QueueError) -> Error {
        match error {
            QueueError::Full => Error::Overloaded { queue: "journal" },
            QueueError::Closed if self.failed.load(Ordering::Relaxed) => Error::JournalUnavailable,
            QueueError::Closed => Error::ShuttingDown,
        }
    }

    /// Only exposures of Assign are asked for again; those of Record bring their own identity.
    fn remember_exposures(&self, taken: &PendingFrame) {
        for entry in &taken.frame.entries {
            let Some(Kind::Batch(batch)) = &entry.kind else { continue };
            if batch.outcomes.is_some() || !batch.request_id.is_empty() {
                continue;
            }
            let Some(columns) = &batch.exposures else { continue };
            let Ok(rows) = ExposureRows::new(columns) else { continue };
            for row in rows.iter() {
                if let Some(arm) = columns.arms.get(row.arm as usize) {
                    let arm = ArmRef {
                        experiment_id: &arm.experiment_id,
                        iteration: arm.iteration,
                        epoch: arm.epoch,
                        variant_id: &arm.variant_id,
                        reason: arm.reason(),
                    };
                    self.seen.insert(self.fingerprint(&batch.namespace, &arm, row.entity_id));
                }
            }
        }
    }

    /// With the variant, so that one that the entity gets later is written and counted as conflicting.
    fn fingerprint(&self, namespace: &str, arm: &ArmRef<'_>, entity_id: &str) -> u64 {
        let scope = self.key.scope(Purpose::Exposure, &[namespace, arm.experiment_id, arm.variant_id]);
        scope.number(arm.iteration).hash(entity_id.as_bytes())
    }
}

/// Nothing panics under these locks, so that poison cannot mean a torn state.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Positions count from 1 and never come near 2^63.
fn signed(position: u64) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

/// Batches have at most ten thousand items.
fn accepted(first: &First) -> i32 {
    i32::try_from(first.accepted).unwrap_or(i32::MAX)
}
