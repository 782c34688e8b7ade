//! Record: items checked one by one, the good ones put in columns for the journal.
//!
//! A bad item is refused with its index, reason and message, and the others are kept.

mod columns;
mod exposures;
mod items;
mod outcomes;

use prost::Message;
use uuid::Uuid;

use super::assign::invalid;
use super::{Answer, Handler, MAX_MESSAGE_BYTES};
use crate::error::{Error, Rejection};
use crate::journal::Acknowledgement;
use crate::proto::storage::v1::Batch;
use crate::proto::v1::{RecordList, RecordRequest, RejectedItem};
use crate::snapshot::{Snapshot, or_default};
use columns::{ExposureBuilder, OutcomeBuilder};

const MAX_ITEMS: usize = 10_000;
/// Rejections that an answer lists; the rest is only counted.
const MAX_LISTED: usize = 100;
/// Request ids may carry a time so far ahead of ours.
const MAX_AHEAD_MS: i64 = 24 * 3_600_000;

/// What a request comes to: the columns of its good items, and what to answer about the others.
struct Checked {
    batch: Batch,
    acknowledgement: Acknowledgement,
}

impl Checked {
    /// Whether nothing is left to store.
    fn is_empty(&self) -> bool {
        self.batch.exposures.is_none() && self.batch.outcomes.is_none()
    }
}

/// Queues the good items of a request that arrived at `now_ms`.
pub(super) fn record(handler: &Handler, snapshot: &Snapshot, request: &[u8], now_ms: i64) -> Result<Answer, Error> {
    let checked = check(handler, snapshot, request, now_ms)?;
    let rejected = checked.acknowledgement.rejected_count.unsigned_abs();
    let answer = if checked.is_empty() {
        Answer::Reply(checked.acknowledgement.stored(handler.memory.position()))
    } else {
        Answer::Wait(handler.memory.record(checked.batch, checked.acknowledgement)?)
    };
    // Only now: a batch that was not taken is sent again, with the same bad items.
    handler.memory.reject(rejected.into());
    Ok(answer)
}

fn check(handler: &Handler, snapshot: &Snapshot, request: &[u8], now_ms: i64) -> Result<Checked, Error> {
    if request.len() > MAX_MESSAGE_BYTES {
        return Err(Error::BatchTooLarge { size: request.len(), limit: MAX_MESSAGE_BYTES, unit: "bytes" });
    }
    let request = RecordRequest::decode(request)?;
    let size = request.exposures.len() + request.outcomes.len();
    if size > MAX_ITEMS {
        return Err(Error::BatchTooLarge { size, limit: MAX_ITEMS, unit: "items" });
    }
    let request_id = request_id(handler, &request.request_id, now_ms)?;
    let namespace = or_default(&request.namespace);
    let mut refused = Refused::default();
    let mut exposed = ExposureBuilder::with_capacity(request.exposures.len());
    for (index, exposure) in request.exposures.iter().enumerate() {
        match exposures::check(snapshot, namespace, exposure, now_ms) {
            Ok(checked) => exposed.push(&checked),
            Err(rejection) => refused.add(RecordList::Exposures, index, rejection),
        }
    }
    let mut happened = OutcomeBuilder::with_capacity(request.outcomes.len());
    for (index, outcome) in request.outcomes.iter().enumerate() {
        match outcomes::check(snapshot, namespace, outcome, now_ms) {
            Ok(checked) => happened.push(&checked),
            Err(rejection) => refused.add(RecordList::Outcomes, index, rejection),
        }
    }
    let accepted = count(exposed.len() + happened.len());
    Ok(Checked {
        acknowledgement: Acknowledgement {
            accepted,
            rejected_count: refused.count,
            rejected: refused.listed,
            request_id,
            newest_ms: now_ms.saturating_add(MAX_AHEAD_MS),
        },
        batch: Batch {
            namespace: namespace.to_owned(),
            request_id: request_id.map_or_else(Default::default, |id| id.into_bytes().to_vec().into()),
            arrival_ms: now_ms,
            exposures: (exposed.len() > 0).then(|| exposed.finish()),
            outcomes: (happened.len() > 0).then(|| happened.finish()),
        },
    })
}

#[derive(Default)]
struct Refused {
    listed: Vec<RejectedItem>,
    count: i32,
}

impl Refused {
    fn add(&mut self, list: RecordList, index: usize, rejection: Rejection) {
        self.count += 1;
        if self.listed.len() < MAX_LISTED {
            self.listed.push(RejectedItem {
                index: count(index),
                list: list.into(),
                reason: rejection.reason.into(),
                message: rejection.message,
            });
        }
    }
}

/// Checked to be below [`MAX_ITEMS`].
fn count(items: usize) -> i32 {
    i32::try_from(items).unwrap_or(i32::MAX)
}

fn request_id(handler: &Handler, sent: &str, now_ms: i64) -> Result<Option<Uuid>, Error> {
    if sent.is_empty() {
        return Ok(None);
    }
    let parsed = Uuid::try_parse(sent).ok().filter(|id| id.get_version_num() == 7);
    let Some(id) = parsed else {
        return Err(invalid("requestId", "must be a UUID of version 7, made when the batch is first sent"));
    };
    let time_ms = uuid_time_ms(&id);
    let (oldest, newest) = (handler.oldest_request_ms(now_ms), now_ms.saturating_add(MAX_AHEAD_MS));
    if time_ms < oldest || time_ms > newest {
        return Err(Error::request_id_out_of_range(sent, oldest, newest));
    }
    Ok(Some(id))
}

/// The 48 bits of time that a version 7 UUID begins with.
fn uuid_time_ms(id: &Uuid) -> i64 {
    id.as_bytes().iter().take(6).fold(0, |time, byte| (time << 8) | i64::from(*byte))
}

#[cfg(test)]
mod tests;
