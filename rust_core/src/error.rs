//! What the core refuses, as values: reasons of the contract, with the values that were found.
//!
//! [`Error`] becomes a `google.rpc.Status` in [`status`](crate::status); lower case, no full stop.

use crate::proto::v1::ErrorReason;

/// One field that breaks its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// JSON path: `variants[1].weight`.
    pub field: String,
    /// The value found and what is allowed.
    pub description: String,
}

/// Why a hot call or a definition is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Fields break their rules; has all of them.
    #[error("{}", summary(.0))]
    InvalidFields(Vec<Violation>),
    /// Bytes that are no message of the contract.
    #[error("the request cannot be decoded: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// Too many items or bytes.
    #[error("{size} {unit} in one call, at most {limit} are allowed")]
    BatchTooLarge {
        /// What was sent.
        size: usize,
        /// What is allowed.
        limit: usize,
        /// What is counted.
        unit: &'static str,
    },
    /// No such experiment.
    #[error("no experiment `{experiment_id}` in namespace `{namespace}`{}", hint(.did_you_mean.as_deref()))]
    ExperimentNotFound {
        /// Where it was looked for.
        namespace: String,
        /// What was asked for.
        experiment_id: String,
        /// The nearest id there is.
        did_you_mean: Option<String>,
    },
    /// Another system assigns the experiment.
    #[error("experiment `{experiment_id}` is assigned by another system, which sends its exposures with Record")]
    AssignedExternally {
        /// Where it is.
        namespace: String,
        /// Which it is.
        experiment_id: String,
    },
    /// The time inside a request id is not remembered.
    #[error(
        "request id `{request_id}` must carry a time from {oldest} to {newest}, so that a repeat can be recognised"
    )]
    RequestIdOutOfRange {
        /// What was sent.
        request_id: String,
        /// Earliest time accepted, RFC 3339.
        oldest: String,
        /// Latest time accepted, RFC 3339.
        newest: String,
    },
    /// No definitions since the start of this node.
    #[error("no definitions are loaded yet")]
    SnapshotUnavailable,
    /// The queue is full.
    #[error("the {queue} queue is full; nothing was taken")]
    Overloaded {
        /// Which queue.
        queue: &'static str,
    },
    /// The journal takes no more writes.
    #[error("the journal cannot take writes; nothing is known to be stored")]
    JournalUnavailable,
    /// The batch is in the journal, and the fold refused it.
    #[error("a fault in Klero: the batch is stored but cannot be counted, log id frame-{position}")]
    Uncounted {
        /// Of its frame.
        position: u64,
    },
    /// The node goes down.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// No hot call has this name.
    #[error("{0} is not supported by this version")]
    Unimplemented(String),
}

impl Error {
    /// For a request id whose time is not from `oldest_ms` to `newest_ms` (Unix milliseconds).
    pub(crate) fn request_id_out_of_range(request_id: &str, oldest_ms: i64, newest_ms: i64) -> Self {
        Self::RequestIdOutOfRange {
            request_id: request_id.to_owned(),
            oldest: rfc3339(oldest_ms),
            newest: rfc3339(newest_ms),
        }
    }
}

fn rfc3339(time_ms: i64) -> String {
    let nanos = i32::try_from(time_ms.rem_euclid(1000)).unwrap_or(0) * 1_000_000;
    prost_types::Timestamp { seconds: time_ms.div_euclid(1000), nanos }.to_string()
}

fn summary(violations: &[Violation]) -> String {
    let mut text = match violations.len() {
        1 => "1 field invalid: ".to_owned(),
        count => format!("{count} fields invalid: "),
    };
    for (index, violation) in violations.iter().enumerate() {
        if index > 0 {
            text.push_str("; ");
        }
        text.push_str(&violation.field);
        text.push_str(": ");
        text.push_str(&violation.description);
    }
    text
}

fn hint(did_you_mean: Option<&str>) -> String {
    did_you_mean.map_or_else(String::new, |near| format!(", did you mean `{near}`?"))
}

/// Why one item of a Record is refused, while the others are kept.
#[derive(Debug, PartialEq, Eq)]
pub struct Rejection {
    /// One of the reasons marked for items of Record.
    pub reason: ErrorReason,
    /// The value found and what is allowed.
    pub message: String,
}

impl Rejection {
    pub(crate) fn new(reason: ErrorReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}
