//! What cannot be folded.

use crate::journal::rows::ColumnError;

/// Why a frame or an entry of it was not folded; nothing of that was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// Written by another version: stop here.
    #[error("frame format {0} is unknown")]
    UnknownFormat(u32),
    /// Positions rise and stay below 2^40.
    #[error("frame position {found} does not follow {last}")]
    Position {
        /// Of the frame.
        found: u64,
        /// Of the frame before.
        last: u64,
    },
    /// Without an identity repeats cannot be recognised.
    #[error("frame identity has {length} bytes and sequence {sequence}, needed are 16 and a sequence from 1")]
    Identity {
        /// Bytes of the incarnation.
        length: usize,
        /// Sequence in it.
        sequence: u64,
    },
    /// An entry of a kind that this version does not know.
    #[error("neither batch nor control")]
    UnknownEntry,
    /// A control whose action this version does not know.
    #[error("a control without known action")]
    UnknownAction,
    /// A request id that is no UUID.
    #[error("request id has {length} bytes, not 0 or 16")]
    RequestId {
        /// Bytes found.
        length: usize,
    },
    /// Columns that are no rows.
    #[error("batch: {0}")]
    Columns(#[source] ColumnError),
    /// A reason that this version does not know, so that it cannot say whether chance chose.
    #[error("decision reason {reason} is unknown")]
    UnknownReason {
        /// What was found.
        reason: i32,
    },
    /// A metric that this version cannot measure.
    #[error(
        "metric `{metric}` has type {kind} and aggregation {aggregation}, or a window or covariates, which are not measured"
    )]
    Metric {
        /// Its name.
        metric: String,
        /// `MetricPlan.type`.
        kind: i32,
        /// `MetricPlan.aggregation`.
        aggregation: i32,
    },
    /// Measurement is frozen in an iteration.
    #[error("iteration {iteration} of `{experiment_id}` in `{namespace}` starts with another plan")]
    PlanChanged {
        /// Of the experiment.
        namespace: String,
        /// The experiment.
        experiment_id: String,
        /// The iteration.
        iteration: i64,
    },
}
