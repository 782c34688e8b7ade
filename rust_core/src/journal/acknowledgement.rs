//! What a Record is told once its batch is in the journal.

use prost::Message;
use uuid::Uuid;

use crate::error::Error;
use crate::proto::v1::{Durability, RecordResponse, RejectedItem};

/// The answer of a Record that waits for its frame.
#[derive(Debug)]
pub struct Acknowledgement {
    /// Items in the batch.
    pub accepted: i32,
    /// The first items that were refused.
    pub rejected: Vec<RejectedItem>,
    /// All that were.
    pub rejected_count: i32,
    /// Identity of the batch, if it has one.
    pub request_id: Option<Uuid>,
    /// Latest time that a request id could have when this one came, Unix milliseconds.
    pub newest_ms: i64,
}

impl Acknowledgement {
    /// The answer for a batch that is in the journal up to `position`.
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

    /// The answer for a batch that was stored before, at `position` with `accepted` items.
    #[must_use]
    pub fn repeat(self, position: i64, accepted: i32) -> Vec<u8> {
        RecordResponse {
            accepted,
            rejected: Vec::new(),
            rejected_count: self.rejected_count,
            duplicate: true,
            position,
            durability: Durability::Disk.into(),
            retry_safe: true,
        }
        .encode_to_vec()
    }

    /// The error for a batch whose request id was forgotten while it waited.
    #[must_use]
    pub fn too_old(self, oldest_ms: i64) -> Error {
        let id = self.request_id.map(|id| id.to_string()).unwrap_or_default();
        Error::request_id_out_of_range(&id, oldest_ms, self.newest_ms)
    }
}
