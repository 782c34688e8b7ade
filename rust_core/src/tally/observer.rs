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

/// Sees rows in journal order, without those of repeated batches and without repeated outcomes.
pub trait Observer {
    /// Whether anything is to be shown at all.
    const LISTENS: bool;

    /// An exposure; `plan` is that of its iteration, `number` its place in `rows`.
    #[allow(clippy::too_many_arguments)] // what a row consists of lies in as many places
    fn exposure(
        &mut self,
        batch: &Batch,
        arm: &Arm,
        plan: Option<&MeasurementPlan>,
        rows: &ExposureRows<'_>,
        number: usize,
        row: &ExposureRow<'_>,
        status: Status,
    );

    /// An outcome; `matched` tells whether an exposure of its entity was known.
    fn outcome(&mut self, batch: &Batch, event: &str, target: Option<&Arm>, row: &OutcomeRow<'_>, matched: bool);
}

/// Looks away.
#[derive(Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    const LISTENS: bool = false;

    fn exposure(
        &mut self,
        _: &Batch,
        _: &Arm,
        _: Option<&MeasurementPlan>,
        _: &ExposureRows<'_>,
        _: usize,
        _: &ExposureRow<'_>,
        _: Status,
    ) {
    }

    fn outcome(&mut self, _: &Batch, _: &str, _: Option<&Arm>, _: &OutcomeRow<'_>, _: bool) {}
}
