//! Errors as `google.rpc.Status` bytes, the way gRPC carries them.
//!
//! The four messages of `google/rpc` are written out here: they are frozen by Google, and their
//! `.proto` files come with no crate that this one needs otherwise.

use prost::Message;
use prost_types::{Any, Duration};

use crate::error::{Error, Violation};
use crate::proto::v1::ErrorReason;

/// gRPC status codes in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
#[allow(missing_docs)] // the names are gRPC's
pub enum Code {
    InvalidArgument = 3,
    NotFound = 5,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
    #[prost(btree_map = "string, string", tag = "3")]
    metadata: std::collections::BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct BadRequest {
    #[prost(message, repeated, tag = "1")]
    field_violations: Vec<FieldViolation>,
}

#[derive(Clone, PartialEq, Message)]
struct FieldViolation {
    #[prost(string, tag = "1")]
    field: String,
    #[prost(string, tag = "2")]
    description: String,
}

#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Duration>,
}

const DOMAIN: &str = "klero.v1";
/// Group commits take milliseconds; a full queue or a snapshot takes a few of them.
const RETRY_DELAY: Duration = Duration { seconds: 0, nanos: 100_000_000 };

/// An error ready for the wire.
#[derive(Debug)]
pub struct WireStatus {
    /// `grpc-status`.
    pub code: Code,
    /// `grpc-message`.
    pub message: String,
    /// `grpc-status-details-bin`.
    pub details: Vec<u8>,
}

impl From<&Error> for WireStatus {
    fn from(error: &Error) -> Self {
        let message = error.to_string();
        let row = row(error);
        let mut details = vec![any(
            "google.rpc.ErrorInfo",
            &ErrorInfo {
                reason: row.reason.as_str_name().to_owned(),
                domain: DOMAIN.to_owned(),
                metadata: row.metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            },
        )];
        if let Error::InvalidFields(violations) = error {
            details.push(any("google.rpc.BadRequest", &bad_request(violations)));
        }
        if matches!(row.code, Code::Unavailable | Code::ResourceExhausted) && row.reason != ErrorReason::ShuttingDown {
            details.push(any("google.rpc.RetryInfo", &RetryInfo { retry_delay: Some(RETRY_DELAY) }));
        }
        let status = Status { code: row.code as i32, message: message.clone(), details };
        Self { code: row.code, message, details: status.encode_to_vec() }
    }
}

struct Row {
    code: Code,
    reason: ErrorReason,
    metadata: Vec<(&'static str, String)>,
}

fn row(error: &Error) -> Row {
    let (code, reason, metadata) = match error {
        Error::InvalidFields(violations) => {
            (Code::InvalidArgument, ErrorReason::InvalidField, vec![("fields", violations.len().to_string())])
        }
        Error::Malformed(_) => (Code::InvalidArgument, ErrorReason::InvalidField, vec![("fields", "1".to_owned())]),
        Error::BatchTooLarge { size, limit, unit } => (
            Code::InvalidArgument,
            ErrorReason::BatchTooLarge,
            vec![("size", size.to_string()), ("limit", limit.to_string()), ("unit", (*unit).to_owned())],
        ),
        Error::ExperimentNotFound { namespace, experiment_id, did_you_mean } => {
            let mut metadata = vec![("namespace", namespace.clone()), ("experiment_id", experiment_id.clone())];
            metadata.extend(did_you_mean.iter().map(|near| ("did_you_mean", near.clone())));
            (Code::NotFound, ErrorReason::ExperimentNotFound, metadata)
        }
        Error::AssignedExternally { namespace, experiment_id } => (
            Code::FailedPrecondition,
            ErrorReason::AssignedExternally,
            vec![("namespace", namespace.clone()), ("experiment_id", experiment_id.clone())],
        ),
        Error::RequestIdOutOfRange { request_id, oldest, newest } => (
            Code::FailedPrecondition,
            ErrorReason::RequestIdOutOfRange,
            vec![("request_id", request_id.clone()), ("oldest", oldest.clone()), ("newest", newest.clone())],
        ),
        Error::SnapshotUnavailable => (Code::Unavailable, ErrorReason::SnapshotUnavailable, vec![]),
        Error::Overloaded { queue } => {
            (Code::ResourceExhausted, ErrorReason::Overloaded, vec![("queue", (*queue).to_owned())])
        }
        Error::JournalUnavailable => (Code::Unavailable, ErrorReason::JournalUnavailable, vec![]),
        Error::Uncounted { position } => {
            (Code::Internal, ErrorReason::Internal, vec![("log_id", format!("frame-{position}"))])
        }
        Error::ShuttingDown => (Code::Unavailable, ErrorReason::ShuttingDown, vec![]),
        Error::Unimplemented(method) => {
            (Code::Unimplemented, ErrorReason::Unimplemented, vec![("method", method.clone())])
        }
    };
    Row { code, reason, metadata }
}

fn bad_request(violations: &[Violation]) -> BadRequest {
    let field_violations = violations
        .iter()
        .map(|violation| FieldViolation { field: violation.field.clone(), description: violation.description.clone() })
        .collect();
    BadRequest { field_violations }
}

fn any(name: &str, message: &impl Message) -> Any {
    Any { type_url: format!("type.googleapis.com/{name}"), value: message.encode_to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bad_field_is_on_the_wire() {
        let violation = |field: &str| Violation { field: field.to_owned(), description: "bad".to_owned() };
        let wire = WireStatus::from(&Error::InvalidFields(vec![violation("a"), violation("b")]));

        let status = Status::decode(wire.details.as_slice()).unwrap();
        let bad_request = BadRequest::decode(status.details[1].value.as_slice()).unwrap();
        assert_eq!(Code::InvalidArgument, wire.code);
        assert_eq!(2, bad_request.field_violations.len());
    }

    #[test]
    fn who_may_repeat_is_told_when() {
        let wire = WireStatus::from(&Error::Overloaded { queue: "journal" });

        let status = Status::decode(wire.details.as_slice()).unwrap();
        assert_eq!("type.googleapis.com/google.rpc.RetryInfo", status.details[1].type_url);
    }
}
