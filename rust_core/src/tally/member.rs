//! One entity of an iteration, and what comes to it.

use super::plan::Iteration;

/// A membership: an iteration and the row in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) iteration: u32,
    pub(super) row: u32,
}

impl Link {
    /// Of an entity that is in no other iteration.
    pub(super) const NONE: Self = Self { iteration: u32::MAX, row: u32::MAX };
}

/// An outcome on its way to memberships.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    /// Number of the event; `None` if no metric of the namespace reads it.
    pub(super) event: Option<u32>,
    pub(super) value: f64,
    pub(super) at_ms: i64,
    pub(super) target: Option<Target>,
}

/// The iteration and variant that an outcome names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) iteration: u32,
    pub(super) variant: u32,
}

/// An exposure that chance chose, to an iteration that enrols.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exposure<'a> {
    pub(super) iteration: u32,
    /// Index in the iteration's arms.
    pub(super) arm: u32,
    pub(super) at_ms: i64,
    /// Time of the frame that brings it.
    pub(super) arrived_ms: i64,
    /// One per covariate of the plan; NaN where the attribute is missing.
    pub(super) covariates: &'a [f64],
    /// One per dimension of the plan; `None` where the attribute is missing.
    pub(super) dimensions: &'a [Option<&'a str>],
}

/// One entity.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) exposed_at_ms: i64,
    /// Time of the frame that brought the exposure.
    pub(super) arrived_ms: i64,
    pub(super) next: Link,
    pub(super) arm: u32,
    /// A bit for each window of the plan that has closed.
    pub(super) settled: u16,
    pub(super) conflicting: bool,
    /// Forgotten: it has left no trace but the row itself.
    pub(super) removed: bool,
}

impl Row {
    /// Whether it is in the settled values of a metric with this window.
    pub(super) fn has_settled(&self, window: Option<u16>, iteration: &Iteration) -> bool {
        window.is_some_and(|window| {
            let length = iteration.measurement.window_ms(Some(window));
            self.settled & 1 << window != 0
                && !iteration.paused_between(self.exposed_at_ms, self.exposed_at_ms.saturating_add(length))
        })
    }
}

/// What became of one outcome in one iteration.
#[allow(clippy::struct_excessive_bools)] // several can be true, one for each reason to count
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fate {
    pub(super) counted: bool,
    pub(super) late: bool,
    pub(super) after_window: bool,
    pub(super) after_stop: bool,
    pub(super) out_of_bounds: bool,
    pub(super) overflow: bool,
    pub(super) superseded: bool,
}
