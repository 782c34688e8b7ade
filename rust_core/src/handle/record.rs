//! Record: items checked one by one, the good ones put in columns for the journal.
//!
//! A bad item is refused with its index, reason and message, and the others are kept.

mod columns;
mod items;

use std::fmt::Write;

use prost::Message;
use uuid::Uuid;

use super::assign::invalid;
use super::{Handler, MAX_MESSAGE_BYTES};
use crate::error::{Error, Rejection};
use crate::proto::storage::v1::Batch;
use crate::proto::v1::{Durability, RecordList, RecordRequest, RecordResponse, RejectedItem};
use crate::snapshot::{Snapshot, or_default};
use crate::tally::First;
use columns::{ExposureBuilder, OutcomeBuilder};

const MAX_ITEMS: usize = 10_000;
/// Rejections that an answer lists; the rest is only counted.
const MAX_LISTED: usize = 100;
/// Request ids may carry a time so far ahead of ours.
const MAX_AHEAD_MS: i64 = 24 * 3_600_000;

/// A Record that waits for its frame to be durable.
#[derive(Debug)]
pub struct Pending {
    accepted: i32,
    rejected: Vec<RejectedItem>,
    rejected_count: i32,
    request_id: Option<Uuid>,
    /// Latest time that a request id could have when this one came.
    newest_ms: i64,
}

impl Pending {
    /// The answer once the batch is in the journal up to `position`.
    #[must_use]
    pub fn stored(self, position: i64) -> Vec<u8> {
        RecordResponse {
            accepted: self.accepted,
            rejected: self.rejected,
            rejected_count: self.rejected_count,
            duplicate: false,
            position,
            durability: Durability::Disk.into(),
            retry_safe: self.request_id.is_some(),
        }
        .encode_to_vec()
    }

    /// The answer for a batch that was stored before.
    #[must_use]
    pub fn repeat(self, first: &First) -> Vec<u8> {
        RecordResponse {
            accepted: i32::try_from(first.accepted).unwrap_or(i32::MAX),
            rejected: Vec::new(),
            rejected_count: self.rejected_count,
            duplicate: true,
            position: i64::try_from(first.position).unwrap_or(i64::MAX),
            durability: Durability::Disk.into(),
            retry_safe: true,
        }
        .encode_to_vec()
    }

    /// The error for a batch whose request id was forgotten while it waited.
    #[must_use]
    pub fn too_old(self, oldest_ms: i64) -> Error {
        let id = self.request_id.map(|id| id.to_string()).unwrap_or_default();
        out_of_range(&id, oldest_ms, self.newest_ms)
    }
}

/// What a request comes to: the columns of its good items, and what to answer about the others.
pub(super) struct Checked {
    pub(super) batch: Batch,
    pub(super) pending: Pending,
}

/// Checks a request that arrived at `now_ms`.
pub(super) fn check(handler: &Handler, snapshot: &Snapshot, request: &[u8], now_ms: i64) -> Result<Checked, Error> {
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
    let mut exposures = ExposureBuilder::with_capacity(request.exposures.len());
    for (index, exposure) in request.exposures.iter().enumerate() {
        match items::exposure(snapshot, namespace, exposure, now_ms) {
            Ok(checked) => exposures.push(&checked),
            Err(rejection) => refused.add(RecordList::Exposures, index, rejection),
        }
    }
    let mut outcomes = OutcomeBuilder::with_capacity(request.outcomes.len());
    for (index, outcome) in request.outcomes.iter().enumerate() {
        match items::outcome(snapshot, namespace, outcome, now_ms) {
            Ok(checked) => outcomes.push(&checked),
            Err(rejection) => refused.add(RecordList::Outcomes, index, rejection),
        }
    }
    let accepted = count(exposures.len() + outcomes.len());
    Ok(Checked {
        pending: Pending {
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
            exposures: (exposures.len() > 0).then(|| exposures.finish()),
            outcomes: (outcomes.len() > 0).then(|| outcomes.finish()),
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
        return Err(out_of_range(sent, oldest, newest));
    }
    Ok(Some(id))
}

fn out_of_range(request_id: &str, oldest_ms: i64, newest_ms: i64) -> Error {
    Error::RequestIdOutOfRange {
        request_id: request_id.to_owned(),
        oldest: rfc3339(oldest_ms),
        newest: rfc3339(newest_ms),
    }
}

/// The 48 bits of time that a version 7 UUID begins with.
fn uuid_time_ms(id: &Uuid) -> i64 {
    id.as_bytes().iter().take(6).fold(0, |time, byte| (time << 8) | i64::from(*byte))
}

fn rfc3339(time_ms: i64) -> String {
    let time = prost_types::Timestamp {
        seconds: time_ms.div_euclid(1000),
        nanos: i32::try_from(time_ms.rem_euclid(1000)).unwrap_or(0) * 1_000_000,
    };
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write!(text, "{time}");
    text
}
