//! What cannot be folded.

use crate::journal::rows::ColumnError;

/// Why a frame was not folded; nothing of it was. Entries are counted from 0.
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
    #[error("entry {entry} has neither batch nor control")]
    UnknownEntry {
        /// Which.
        entry: usize,
    },
    /// A control whose action this version does not know.
    #[error("control in entry {entry} has no known action")]
    UnknownAction {
        /// Which.
        entry: usize,
    },
    /// A request id that is no UUID.
    #[error("request id in entry {entry} has {length} bytes, not 0 or 16")]
    RequestId {
        /// Which.
        entry: usize,
        /// Bytes found.
        length: usize,
    },
    /// Columns that are no rows.
    #[error("batch in entry {entry}")]
    Columns {
        /// Which.
        entry: usize,
        /// What is wrong.
        source: ColumnError,
    },
    /// A reason that this version does not know, so that it cannot say whether chance chose.
    #[error("decision reason {reason} in entry {entry} is unknown")]
    UnknownReason {
        /// Which.
        entry: usize,
        /// What was found.
        reason: i32,
    },
    /// A metric that this version cannot measure.
    #[error("metric `{metric}` in entry {entry} has type {kind} and aggregation {aggregation}, which are not measured")]
    Metric {
        /// Which.
        entry: usize,
        /// Its name.
        metric: String,
        /// `MetricPlan.type`.
        kind: i32,
        /// `MetricPlan.aggregation`.
        aggregation: i32,
    },
    /// Measurement is frozen in an iteration.
    #[error("entry {entry} starts iteration {iteration} of `{experiment_id}` in `{namespace}` with another plan")]
    PlanChanged {
        /// Which.
        entry: usize,
        /// Of the experiment.
        namespace: String,
        /// The experiment.
        experiment_id: String,
        /// The iteration.
        iteration: i64,
    },
}
