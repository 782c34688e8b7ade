//! What else is counted of an iteration.

use super::members::Fate;

/// Entities and outcomes that took another way than into a metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) conflicting: u64,
    pub(super) before_exposure: u64,
    pub(super) after_stop: u64,
    pub(super) conflicting_outcomes: u64,
    pub(super) overflow: u64,
    pub(super) late: u64,
    pub(super) after_window: u64,
    pub(super) early: u64,
    pub(super) out_of_bounds: u64,
    pub(super) superseded: u64,
    pub(super) paused: u64,
    pub(super) forgotten: u64,
    pub(super) last_exposure_ms: i64,
    pub(super) last_outcome_ms: i64,
}

impl Counts {
    /// Counts an outcome by what became of it, once for each thing that happened to it.
    pub(super) fn note(&mut self, fate: &Fate, at_ms: i64) {
        self.late += u64::from(fate.late);
        self.after_window += u64::from(fate.after_window);
        self.after_stop += u64::from(fate.after_stop);
        self.out_of_bounds += u64::from(fate.out_of_bounds);
        self.overflow += u64::from(fate.overflow);
        self.superseded += u64::from(fate.superseded);
        if fate.counted {
            self.last_outcome_ms = self.last_outcome_ms.max(at_ms);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.conflicting += other.conflicting;
        self.before_exposure += other.before_exposure;
        self.after_stop += other.after_stop;
        self.conflicting_outcomes += other.conflicting_outcomes;
        self.overflow += other.overflow;
        self.late += other.late;
        self.after_window += other.after_window;
        self.early += other.early;
        self.out_of_bounds += other.out_of_bounds;
        self.superseded += other.superseded;
        self.paused += other.paused;
        self.forgotten += other.forgotten;
        self.last_exposure_ms = self.last_exposure_ms.max(other.last_exposure_ms);
        self.last_outcome_ms = self.last_outcome_ms.max(other.last_outcome_ms);
    }
}
