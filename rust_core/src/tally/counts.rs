//! What else is counted of an iteration.

use super::member::Fate;
use super::read::signed;

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
    pub(super) fn note(&mut self, fate: Fate, at_ms: i64) {
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

    /// In the order of the fields.
    pub(super) fn to_array(self) -> [i64; 14] {
        [
            signed(self.conflicting),
            signed(self.before_exposure),
            signed(self.after_stop),
            signed(self.conflicting_outcomes),
            signed(self.overflow),
            signed(self.late),
            signed(self.after_window),
            signed(self.early),
            signed(self.out_of_bounds),
            signed(self.superseded),
            signed(self.paused),
            signed(self.forgotten),
            self.last_exposure_ms,
            self.last_outcome_ms,
        ]
    }

    /// From what [`Counts::to_array`] gave; what is missing is 0.
    pub(super) fn from_array(array: &[i64]) -> Self {
        let mut numbers = array.iter().copied();
        let mut number = || numbers.next().unwrap_or_default();
        Self {
            conflicting: number().unsigned_abs(),
            before_exposure: number().unsigned_abs(),
            after_stop: number().unsigned_abs(),
            conflicting_outcomes: number().unsigned_abs(),
            overflow: number().unsigned_abs(),
            late: number().unsigned_abs(),
            after_window: number().unsigned_abs(),
            early: number().unsigned_abs(),
            out_of_bounds: number().unsigned_abs(),
            superseded: number().unsigned_abs(),
            paused: number().unsigned_abs(),
            forgotten: number().unsigned_abs(),
            last_exposure_ms: number(),
            last_outcome_ms: number(),
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
