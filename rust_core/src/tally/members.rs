//! Entities of one iteration in one shard: rows in the order of exposure, and the cells they make.

use super::cell::{Cell, View};
use super::counts::Counts;
use super::dictionary::Dictionary;
use super::early;
use super::identities::Known;
use super::measure::{Measure, Measurement, Seen, Value};
use super::member::{Exposure, Fate, Link, Outcome, Row, Target};
use super::plan::{Iteration, Reader};
use super::waiting::{Waiting, due_ms};
use crate::moments::Precision;

/// Rows and cells; a row has as many slots and outcome counts as the plan asks for, a cell stands at
/// `arm * metrics + metric`.
#[derive(Debug, Default)]
pub(super) struct Members {
    pub(super) rows: Vec<Row>,
    pub(super) slots: Vec<f64>,
    pub(super) events: Vec<u32>,
    pub(super) covariates: Vec<f64>,
    pub(super) dimensions: Vec<u32>,
    pub(super) dictionaries: Vec<Dictionary>,
    pub(super) enrolled: Vec<u64>,
    /// By arm: entities whose windows have all closed.
    pub(super) settled: Vec<u64>,
    pub(super) cells: Vec<Cell>,
    /// By window.
    pub(super) waiting: Vec<Waiting>,
    pub(super) counts: Counts,
    /// Some moments have cancelled.
    pub(super) lost: bool,
}

/// `stride` numbers of one row.
fn of_row<T>(column: &[T], row: u32, stride: usize) -> &[T] {
    let first = row as usize * stride;
    column.get(first..first + stride).unwrap_or_default()
}

fn of_row_mut<T>(column: &mut [T], row: u32, stride: usize) -> &mut [T] {
    let first = row as usize * stride;
    column.get_mut(first..first + stride).unwrap_or_default()
}

impl Members {
    /// Reads something of every column that an outcome of the row changes.
    #[inline]
    pub(super) fn touch(&self, row: u32) -> (u16, f64, u32) {
        let row = row as usize;
        let stride = |column: usize| column / self.rows.len().max(1);
        let settled = self.rows.get(row).map_or(0, |row| row.settled);
        let slot = self.slots.get(row * stride(self.slots.len())).copied().unwrap_or_default();
        let events = self.events.get(row * stride(self.events.len())).copied().unwrap_or_default();
        (settled, slot, events)
    }

    /// The entity's membership before this one.
    pub(super) fn next(&self, row: u32) -> Link {
        self.rows.get(row as usize).map_or(Link::NONE, |row| row.next)
    }

    /// Adds an entity without outcomes.
    pub(super) fn enrol(&mut self, exposure: &Exposure<'_>, next: Link, iteration: &Iteration) -> u32 {
        let Measurement { measures, windows, .. } = &iteration.measurement;
        self.prepare(exposure.arm as usize, iteration);
        let row = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        push(
            &mut self.rows,
            [Row {
                exposed_at_ms: exposure.at_ms,
                arrived_ms: exposure.arrived_ms,
                next,
                arm: exposure.arm,
                settled: 0,
                conflicting: false,
                removed: false,
            }],
        );
        push(&mut self.slots, std::iter::repeat_n(0.0, iteration.measurement.slots));
        push(&mut self.events, std::iter::repeat_n(0, measures.len()));
        push(&mut self.covariates, exposure.covariates.iter().copied());
        let dictionaries = self.dictionaries.iter_mut().zip(exposure.dimensions);
        push(
            &mut self.dimensions,
            dictionaries.map(|(texts, text)| text.map_or(Dictionary::OTHER, |text| texts.number(text))),
        );
        for (window_ms, waiting) in windows.iter().zip(&mut self.waiting) {
            let due = due_ms(exposure.at_ms, *window_ms, exposure.arrived_ms);
            waiting.push(row, due, exposure.at_ms.saturating_add(*window_ms));
        }
        self.counts.last_exposure_ms = self.counts.last_exposure_ms.max(exposure.at_ms);
        if let Some(enrolled) = self.enrolled.get_mut(exposure.arm as usize) {
            *enrolled += 1;
        }
        let first = exposure.arm as usize * measures.len();
        for (cell, measure) in self.cells.iter_mut().skip(first).zip(measures) {
            cell.live.add(measure, measure.value(&[], 0), exposure.covariates);
        }
        row
    }

    /// Room for one more arm, and on the first call for all that depends on the plan.
    fn prepare(&mut self, arm: usize, iteration: &Iteration) {
        let Measurement { measures, windows, dimensions, .. } = &iteration.measurement;
        if self.waiting.len() < windows.len() {
            self.waiting.resize_with(windows.len(), Waiting::new);
        }
        if self.dictionaries.len() < *dimensions {
            self.dictionaries.resize_with(*dimensions, Dictionary::default);
        }
        while self.enrolled.len() <= arm {
            self.enrolled.push(0);
            self.settled.push(0);
            self.cells.extend(measures.iter().map(Cell::new));
        }
    }

    /// Takes note if a member was given another variant; it stays in its first.
    pub(super) fn expose_again(&mut self, row: u32, arm: u32, iteration: &Iteration) -> bool {
        let Some(row) = self.rows.get_mut(row as usize) else { return false };
        let variant = |arm: u32| iteration.arms.get(arm as usize).map(|arm| arm.variant);
        let other = variant(row.arm) != variant(arm);
        if other && !row.conflicting {
            row.conflicting = true;
            self.counts.conflicting += 1;
        }
        other
    }

    /// Counts an outcome of a member in every metric that reads it, in the place of the one that it
    /// supersedes; whether one did.
    pub(super) fn outcome(
        &mut self,
        row: u32,
        outcome: &Outcome,
        supersedes: Option<&Known>,
        iteration: &Iteration,
    ) -> bool {
        let Some(event) = outcome.event else { return false };
        let mut readers = iteration.readers.iter().filter(|reader| reader.event == event).peekable();
        if readers.peek().is_none() {
            return false;
        }
        let Some(member) = self.rows.get(row as usize) else { return false };
        let variant = iteration.arms.get(member.arm as usize).map(|arm| arm.variant);
        let of_other = |target: Option<Target>| target.is_some_and(|target| Some(target.variant) != variant);
        if of_other(outcome.target) {
            self.counts.conflicting_outcomes += 1;
            return false;
        }
        let at = |at_ms: i64, value: f64| Seen { value, after_ms: at_ms.saturating_sub(member.exposed_at_ms) };
        let seen = at(outcome.at_ms, outcome.value);
        if seen.after_ms < 0 {
            self.counts.before_exposure += 1;
            return false;
        }
        // One from long before the exposure arrived did not wait for it, and one of another variant is not
        // its outcome.
        let waited = |old: &Known| old.arrived_ms >= member.arrived_ms - early::KEPT_MS;
        let known = supersedes.filter(|old| waited(old) && !of_other(old.target));
        let old = known.map(|old| at(old.at_ms, old.value));
        let (arm, settled) = (member.arm as usize, member.settled);
        let mut fate = Fate::default();
        for reader in readers {
            self.read(row, arm, reader, (seen, old), settled, iteration, &mut fate);
        }
        self.counts.note(fate, outcome.at_ms);
        fate.counted
    }

    /// Counts an outcome of a member in one metric; `seen` is the outcome and the one whose place it
    /// takes, `settled` has a bit for each window that has closed.
    #[allow(clippy::too_many_arguments)] // an inner step, apart only to be read apart
    fn read(
        &mut self,
        row: u32,
        arm: usize,
        reader: &Reader,
        (seen, old): (Seen, Option<Seen>),
        settled: u16,
        iteration: &Iteration,
        fate: &mut Fate,
    ) {
        let Measurement { measures, slots, covariates, .. } = &iteration.measurement;
        let Some(measure) = measures.get(reader.metric) else { return };
        let length_ms = iteration.measurement.window_ms(measure.window);
        let closed = measure.window.is_some_and(|window| settled & 1 << window != 0 || iteration.cut);
        let obstacle = if seen.after_ms >= length_ms {
            Some(&mut fate.after_window)
        } else if closed {
            Some(&mut fate.late)
        } else if measure.window.is_none() && iteration.stopped {
            Some(&mut fate.after_stop)
        } else if measure.admits(reader.role, seen.value) {
            None
        } else {
            Some(&mut fate.out_of_bounds)
        };
        if let Some(obstacle) = obstacle {
            *obstacle = true;
            return;
        }
        let first = row as usize * slots + measure.slot;
        let (Some(slots), Some(events), Some(cell)) = (
            self.slots.get_mut(first..first + measure.slots()),
            self.events.get_mut(row as usize * measures.len() + reader.metric),
            self.cells.get_mut(arm * measures.len() + reader.metric),
        ) else {
            return;
        };
        let kept: Value = [0, 1].map(|at| slots.get(at).copied().unwrap_or_default());
        let before = measure.value(slots, *events);
        // What was taken in before can be taken back; it was not if it lay outside.
        let inside = |old: &Seen| (0..length_ms).contains(&old.after_ms) && measure.admits(reader.role, old.value);
        let replaced = old.filter(|old| *events > 0 && inside(old));
        match replaced {
            Some(old) => measure.supersede(slots, reader.role, old, seen),
            None => measure.take(slots, *events, reader.role, seen),
        }
        if !measure.holds(slots) {
            slots.iter_mut().zip(kept).for_each(|(slot, kept)| *slot = kept);
            fate.overflow = true;
            return;
        }
        if replaced.is_some() {
            fate.superseded = true;
        } else {
            *events = events.saturating_add(1);
            cell.events += 1;
        }
        fate.counted = true;
        let beside = of_row(&self.covariates, row, *covariates);
        let precision = cell.live.change(measure, before, measure.value(slots, *events), beside);
        self.lost |= precision == Precision::Lost;
    }

    /// Adds an entity whose window has closed to the settled values.
    pub(super) fn settle(&mut self, row: u32, window: u16, iteration: &Iteration) {
        let Measurement { measures, windows, slots, covariates, .. } = &iteration.measurement;
        let Some(member) = self.rows.get_mut(row as usize) else { return };
        member.settled |= 1 << window;
        let all = windows.len() == member.settled.count_ones() as usize;
        let arm = member.arm as usize;
        if all && let Some(settled) = self.settled.get_mut(arm) {
            *settled += 1;
        }
        let cut = |length_ms: i64| {
            iteration.paused_between(member.exposed_at_ms, member.exposed_at_ms.saturating_add(length_ms))
        };
        let length_ms = iteration.measurement.window_ms(Some(window));
        if cut(length_ms) {
            // Once for each entity: at the shortest of the windows that the pause cuts.
            let shorter = (0..).zip(windows).map(|(other, _)| iteration.measurement.window_ms(Some(other)));
            let is_first = !shorter.filter(|shorter_ms| *shorter_ms < length_ms).any(cut);
            self.counts.paused += u64::from(is_first);
            return;
        }
        let (numbers, events) = (of_row(&self.slots, row, *slots), of_row(&self.events, row, measures.len()));
        let beside = of_row(&self.covariates, row, *covariates);
        for (metric, measure) in measures.iter().enumerate().filter(|(_, measure)| measure.window == Some(window)) {
            let of = numbers.get(measure.slot..measure.slot + measure.slots()).unwrap_or_default();
            let value = measure.value(of, events.get(metric).copied().unwrap_or_default());
            if let Some(cell) = self.cells.get_mut(arm * measures.len() + metric) {
                cell.settled.add(measure, value, beside);
            }
        }
    }

    /// The next row whose window closes, and when.
    pub(super) fn first_due(&self, window: u16, iteration: &Iteration) -> Option<(i64, u32)> {
        self.waiting.get(usize::from(window))?.first(|row| self.usual_due_ms(row, window, iteration))
    }

    /// When the last open window closes; `None` if none is open.
    pub(super) fn open_until_ms(&self, iteration: &Iteration) -> Option<i64> {
        let each = (0..).zip(&self.waiting);
        each.filter_map(|(window, waiting)| waiting.open_until_ms(|row| self.usual_due_ms(row, window, iteration)))
            .max()
    }

    /// Whether a window is open.
    pub(super) fn is_open(&self) -> bool {
        self.waiting.iter().any(|waiting| !waiting.regular.is_empty() || !waiting.irregular.is_empty())
    }

    fn usual_due_ms(&self, row: u32, window: u16, iteration: &Iteration) -> i64 {
        let length = iteration.measurement.window_ms(Some(window));
        self.rows.get(row as usize).map_or(i64::MAX, |row| row.exposed_at_ms.saturating_add(length))
    }

    /// Takes an entity out, as if it had never been here.
    pub(super) fn forget(&mut self, row: u32, iteration: &Iteration) {
        let Measurement { measures, slots, covariates, dimensions, windows } = &iteration.measurement;
        let Some(member) = self.rows.get_mut(row as usize) else { return };
        let arm = member.arm as usize;
        self.counts.conflicting -= u64::from(member.conflicting);
        self.counts.forgotten += 1;
        member.removed = true;
        if let (Some(enrolled), Some(settled)) = (self.enrolled.get_mut(arm), self.settled.get_mut(arm)) {
            *enrolled -= 1;
            *settled -= u64::from(!windows.is_empty() && windows.len() == member.settled.count_ones() as usize);
        }
        for waiting in &mut self.waiting {
            waiting.remove(row);
        }
        let cells = self.cells.iter_mut().skip(arm * measures.len());
        for (cell, events) in cells.zip(of_row_mut(&mut self.events, row, measures.len())) {
            cell.events -= u64::from(*events);
            *events = 0;
        }
        of_row_mut(&mut self.slots, row, *slots).fill(0.0);
        of_row_mut(&mut self.covariates, row, *covariates).fill(f64::NAN);
        of_row_mut(&mut self.dimensions, row, *dimensions).fill(Dictionary::OTHER);
        self.rebuild(iteration);
        self.rebuild_settled(iteration);
    }

    /// Computes the live values anew from the slots, in the order of exposure.
    pub(super) fn rebuild(&mut self, iteration: &Iteration) {
        self.lost = false;
        self.gather(iteration, |_, _| true, |cell| &mut cell.live);
    }

    /// Computes the settled values anew, in the order of exposure.
    fn rebuild_settled(&mut self, iteration: &Iteration) {
        self.gather(iteration, |row, measure| row.has_settled(measure.window, iteration), |cell| &mut cell.settled);
    }

    fn gather(
        &mut self,
        iteration: &Iteration,
        which: impl Fn(&Row, &Measure) -> bool,
        view: impl Fn(&mut Cell) -> &mut View,
    ) {
        let measures = &iteration.measurement.measures;
        let mut cells = std::mem::take(&mut self.cells);
        for (cell, measure) in cells.iter_mut().zip(measures.iter().cycle()) {
            *view(cell) = View::new(measure);
        }
        self.each_value(iteration, |_, row, metric, value, covariates| {
            let (cell, measure) = (cells.get_mut(row.arm as usize * measures.len() + metric), measures.get(metric));
            if let (Some(cell), Some(measure)) = (cell, measure)
                && which(row, measure)
            {
                view(cell).add(measure, value, covariates);
            }
        });
        self.cells = cells;
    }

    /// Outcomes of a row that a metric has read.
    pub(super) fn events_of(&self, row: u32, metric: usize, iteration: &Iteration) -> u32 {
        let events = of_row(&self.events, row, iteration.measurement.measures.len());
        events.get(metric).copied().unwrap_or_default()
    }

    /// Calls `visit` with number and row of every entity that is not forgotten, and with index, value
    /// and covariates of each of its metrics.
    pub(super) fn each_value(
        &self,
        iteration: &Iteration,
        mut visit: impl FnMut(u32, &Row, usize, Option<Value>, &[f64]),
    ) {
        let Measurement { measures, slots, covariates, .. } = &iteration.measurement;
        for (index, row) in (0..).zip(&self.rows).filter(|(_, row)| !row.removed) {
            let (numbers, events) = (of_row(&self.slots, index, *slots), of_row(&self.events, index, measures.len()));
            let beside = of_row(&self.covariates, index, *covariates);
            for (metric, measure) in measures.iter().enumerate() {
                let of = numbers.get(measure.slot..measure.slot + measure.slots()).unwrap_or_default();
                let value = measure.value(of, events.get(metric).copied().unwrap_or_default());
                visit(index, row, metric, value, beside);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let waiting: usize = self.waiting.iter().map(|waiting| waiting.regular.capacity() * 4).sum();
        let rows = self.rows.capacity() * size_of::<Row>();
        rows + self.slots.capacity() * 8 + self.events.capacity() * 4 + waiting
    }
}

/// Grows by a quarter: doubling would leave half of the largest columns empty.
fn push<T>(column: &mut Vec<T>, more: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>) {
    let more = more.into_iter();
    if column.capacity() - column.len() < more.len() {
        column.reserve_exact((column.len() / 4).max(more.len()).max(16));
    }
    column.extend(more);
}
