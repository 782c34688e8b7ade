//! Who wants to see each row as it is folded: an export does, the running server does not.

use crate::journal::rows::{ExposureRow, ExposureRows, OutcomeRow};
use crate::proto::storage::v1::{Arm, Batch, MeasurementPlan};

/// What an exposure did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It enrolled the entity.
    First,
    /// The entity was in this variant before.
    Again,
    /// It was in another variant, and stays there.
    Conflicting,
    /// Chance did not choose the variant.
    NotRandomized,
    /// The iteration had stopped.
    AfterStop,
    /// The journal knows no such iteration or variant.
    Unknown,
}

impl Status {
    /// As exports spell it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Again => "again",
            Self::Conflicting => "conflicting",
            Self::NotRandomized => "not_randomized",
            Self::AfterStop => "after_stop",
            Self::Unknown => "unknown",
        }
    }
}

/// An exposure that was folded.
#[derive(Clone, Copy, Debug)]
pub struct FoldedExposure<'a> {
    /// What it came in.
    pub batch: &'a Batch,
    /// Rows of the batch, for the attributes.
    pub rows: &'a ExposureRows<'a>,
    /// Its place in them.
    pub number: usize,
    /// The row itself.
    pub row: ExposureRow<'a>,
    /// Its arm.
    pub arm: &'a Arm,
    /// That of its iteration; `None` if the journal knows none.
    pub plan: Option<&'a MeasurementPlan>,
    /// What it did.
    pub status: Status,
}

/// An outcome that was folded.
#[derive(Clone, Copy, Debug)]
pub struct FoldedOutcome<'a> {
    /// What it came in.
    pub batch: &'a Batch,
    /// The row itself.
    pub row: OutcomeRow<'a>,
    /// What happened.
    pub event: &'a str,
    /// The arm that it names.
    pub target: Option<&'a Arm>,
    /// Whether an exposure of its entity was known.
    pub matched: bool,
}

/// Sees rows in journal order, without those of repeated batches and without repeated outcomes.
pub trait Observer {
    /// Whether anything is to be shown at all.
    const LISTENS: bool;

    /// Sees an exposure.
    fn exposure(&mut self, exposure: FoldedExposure<'_>);

    /// Sees an outcome.
    fn outcome(&mut self, outcome: FoldedOutcome<'_>);

    /// Whoever is forgotten, with all rows so far.
    fn forgotten(&mut self, namespace: &str, key: u64);
}

/// Looks away.
#[derive(Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    const LISTENS: bool = false;

    fn exposure(&mut self, _: FoldedExposure<'_>) {}

    fn outcome(&mut self, _: FoldedOutcome<'_>) {}

    fn forgotten(&mut self, _: &str, _: u64) {}
}
