//! Entities of one iteration in one shard: rows in the order of exposure, and the cells they make.

use super::plan::{Iteration, Measure};
use crate::moments::{Moments, Precision};

/// Totals beyond are left out: squares of what is below can still be added up for 10^28 entities.
const MAX_TOTAL: f64 = 1e140;

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
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub(super) iteration: u32,
    pub(super) variant: u32,
}

/// What else was counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) conflicting: u64,
    pub(super) before_exposure: u64,
    pub(super) after_stop: u64,
    pub(super) conflicting_outcomes: u64,
    pub(super) overflow: u64,
    pub(super) last_exposure_ms: i64,
    pub(super) last_outcome_ms: i64,
}

impl Counts {
    pub(super) fn merge(&mut self, other: &Self) {
        self.conflicting += other.conflicting;
        self.before_exposure += other.before_exposure;
        self.after_stop += other.after_stop;
        self.conflicting_outcomes += other.conflicting_outcomes;
        self.overflow += other.overflow;
        self.last_exposure_ms = self.last_exposure_ms.max(other.last_exposure_ms);
        self.last_outcome_ms = self.last_outcome_ms.max(other.last_outcome_ms);
    }
}

/// One metric of one arm.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cell {
    pub(super) moments: Moments,
    pub(super) events: u64,
    pub(super) nonzero: u64,
}

impl Cell {
    pub(super) fn merge(&mut self, other: &Self) {
        self.moments.merge(&other.moments);
        self.events += other.events;
        self.nonzero += other.nonzero;
    }
}

#[derive(Debug)]
struct Row {
    exposed_at_ms: i64,
    next: Link,
    arm: u32,
    conflicting: bool,
}

/// Rows and cells; a row has as many totals as the plan has metrics, a cell stands at
/// `arm * metrics + metric`.
#[derive(Debug, Default)]
pub(super) struct Members {
    rows: Vec<Row>,
    totals: Vec<f64>,
    events: Vec<u32>,
    metrics: usize,
    enrolled: Vec<u64>,
    cells: Vec<Cell>,
    pub(super) counts: Counts,
    /// Some moments have cancelled.
    pub(super) lost: bool,
}

impl Members {
    /// The entity's membership before this one.
    pub(super) fn next(&self, row: u32) -> Link {
        self.rows.get(row as usize).map_or(Link::NONE, |row| row.next)
    }

    /// Entities of an arm.
    pub(super) fn enrolled(&self, arm: usize) -> u64 {
        self.enrolled.get(arm).copied().unwrap_or_default()
    }

    /// A metric of an arm; `None` if nobody is in it.
    pub(super) fn cell(&self, arm: usize, metric: usize) -> Option<&Cell> {
        self.cells.get(arm * self.metrics + metric)
    }

    /// Adds an entity whose totals are all 0.
    pub(super) fn enrol(&mut self, arm: u32, exposed_at_ms: i64, next: Link, metrics: usize) -> u32 {
        self.metrics = metrics;
        let (slot, first) = (arm as usize, arm as usize * metrics);
        if self.enrolled.len() <= slot {
            self.enrolled.resize(slot + 1, 0);
            self.cells.resize(first + metrics, Cell::default());
        }
        let row = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        reserve(&mut self.rows, 1);
        self.rows.push(Row { exposed_at_ms, next, arm, conflicting: false });
        reserve(&mut self.totals, metrics);
        self.totals.resize(self.totals.len() + metrics, 0.0);
        reserve(&mut self.events, metrics);
        self.events.resize(self.events.len() + metrics, 0);
        self.counts.last_exposure_ms = self.counts.last_exposure_ms.max(exposed_at_ms);
        if let Some(enrolled) = self.enrolled.get_mut(slot) {
            *enrolled += 1;
        }
        for cell in self.cells.iter_mut().skip(first).take(metrics) {
            cell.moments.add(0.0);
        }
        row
    }

    /// Takes note if a member was given another variant; it stays in its first.
    pub(super) fn expose_again(&mut self, row: u32, arm: u32, iteration: &Iteration) {
        let Some(row) = self.rows.get_mut(row as usize) else { return };
        let variant = |arm: u32| iteration.arms.get(arm as usize).map(|arm| arm.variant);
        if !row.conflicting && variant(row.arm) != variant(arm) {
            row.conflicting = true;
            self.counts.conflicting += 1;
        }
    }

    /// Counts an outcome of a member in every metric that reads it.
    pub(super) fn outcome(&mut self, row: u32, outcome: &Outcome, iteration: &Iteration) {
        let mut readers = iteration.readers.iter().filter(|reader| Some(reader.event) == outcome.event).peekable();
        if readers.peek().is_none() {
            return;
        }
        let Some(&Row { exposed_at_ms, arm, .. }) = self.rows.get(row as usize) else { return };
        if iteration.stopped {
            self.counts.after_stop += 1;
            return;
        }
        if let Some(target) = outcome.target
            && iteration.arms.get(arm as usize).is_some_and(|arm| arm.variant != target.variant)
        {
            self.counts.conflicting_outcomes += 1;
            return;
        }
        if outcome.at_ms < exposed_at_ms {
            self.counts.before_exposure += 1;
            return;
        }
        let (mut counted, mut overflow) = (false, false);
        for reader in readers {
            let at = row as usize * self.metrics + reader.metric;
            let (Some(total), Some(events), Some(cell)) = (
                self.totals.get_mut(at),
                self.events.get_mut(at),
                self.cells.get_mut(arm as usize * self.metrics + reader.metric),
            ) else {
                continue;
            };
            let old = *total;
            let new = match reader.measure {
                Measure::Conversion => f64::from(old != 0.0 || outcome.value != 0.0),
                Measure::Sum => old + outcome.value,
            };
            if new.abs() > MAX_TOTAL {
                overflow = true;
                continue;
            }
            counted = true;
            *events = events.saturating_add(1);
            cell.events += 1;
            if new.to_bits() != old.to_bits() {
                *total = new;
                cell.nonzero = cell.nonzero + u64::from(new != 0.0) - u64::from(old != 0.0);
                self.lost |= cell.moments.replace(old, new) == Precision::Lost;
            }
        }
        self.counts.overflow += u64::from(overflow);
        if counted {
            self.counts.last_outcome_ms = self.counts.last_outcome_ms.max(outcome.at_ms);
        }
    }

    /// Computes the moments anew from the totals, in the order of exposure.
    pub(super) fn rebuild(&mut self) {
        self.lost = false;
        if self.metrics == 0 {
            return;
        }
        for cell in &mut self.cells {
            cell.moments = Moments::default();
        }
        for (row, totals) in self.rows.iter().zip(self.totals.chunks_exact(self.metrics)) {
            let cells = self.cells.iter_mut().skip(row.arm as usize * self.metrics);
            for (cell, total) in cells.zip(totals) {
                cell.moments.add(*total);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Row>() + self.totals.capacity() * 8 + self.events.capacity() * 4
    }
}

/// Grows by a quarter: doubling would leave half of the largest columns empty.
fn reserve<T>(column: &mut Vec<T>, more: usize) {
    if column.capacity() - column.len() < more {
        column.reserve_exact((column.len() / 4).max(more).max(16));
    }
}
