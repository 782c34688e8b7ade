//! Entities whose window is open, in the order in which it closes.
//!
//! Nearly all exposures come in the order of their times and soon after them: those form a queue of
//! rows. The others, exposures from the past and from the future, are sorted.

use std::collections::{BTreeSet, VecDeque};

/// An exposure that reaches the journal late leaves so much time, but no more than its own delay,
/// for outcomes that are as late.
const GRACE_MS: i64 = 600_000;

/// When the window of an entity closes, by frame time.
///
/// `exposed_ms` is the time of the exposure, `arrived_ms` that of the frame which brought it.
pub(super) fn due_ms(exposed_ms: i64, window_ms: i64, arrived_ms: i64) -> i64 {
    let delay_ms = arrived_ms.saturating_sub(exposed_ms).clamp(0, GRACE_MS);
    exposed_ms.saturating_add(window_ms).max(if delay_ms > 0 { arrived_ms.saturating_add(delay_ms) } else { i64::MIN })
}

/// Rows of one iteration and window in one shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Waiting {
    /// Due at exposure plus window, rising.
    pub(super) regular: VecDeque<u32>,
    /// Latest due of a regular row that ever was here.
    pub(super) last_ms: i64,
    /// Due and row.
    pub(super) irregular: BTreeSet<(i64, u32)>,
    /// When the shard's agenda has it; `i64::MAX`: not at all.
    pub(super) scheduled_ms: i64,
}

impl Waiting {
    pub(super) fn new() -> Self {
        Self { last_ms: i64::MIN, scheduled_ms: i64::MAX, ..Self::default() }
    }

    /// Adds a row; `usual_ms` is exposure plus window.
    pub(super) fn push(&mut self, row: u32, due_ms: i64, usual_ms: i64) {
        if due_ms == usual_ms && due_ms >= self.last_ms {
            self.last_ms = due_ms;
            self.regular.push_back(row);
        } else {
            self.irregular.insert((due_ms, row));
        }
    }

    /// The next row and when it is due; `usual_ms` gives exposure plus window of a row.
    pub(super) fn first(&self, usual_ms: impl Fn(u32) -> i64) -> Option<(i64, u32)> {
        let regular = self.regular.front().map(|row| (usual_ms(*row), *row));
        let irregular = self.irregular.first().copied();
        match (regular, irregular) {
            (Some(regular), Some(irregular)) => Some(regular.min(irregular)),
            (one, other) => one.or(other),
        }
    }

    /// Takes the row that [`Waiting::first`] gave.
    pub(super) fn pop(&mut self, first: (i64, u32)) {
        if !self.irregular.remove(&first) {
            self.regular.pop_front();
        }
    }

    /// Takes a row out, wherever it is.
    pub(super) fn remove(&mut self, row: u32) {
        self.regular.retain(|waiting| *waiting != row);
        self.irregular.retain(|(_, waiting)| *waiting != row);
    }

    /// When the last window closes; `None` if none is open.
    pub(super) fn open_until_ms(&self, usual_ms: impl Fn(u32) -> i64) -> Option<i64> {
        let regular = self.regular.back().map(|row| usual_ms(*row));
        regular.max(self.irregular.last().map(|(due, _)| *due))
    }

    pub(super) fn clear(&mut self) {
        self.regular = VecDeque::new();
        self.irregular.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_closes_on_time_and_late_exposures_have_as_long_as_they_were_late() {
        assert_eq!(1100, due_ms(1000, 100, 1000));
        assert_eq!(1100, due_ms(1000, 100, 1040));
        assert_eq!(1160, due_ms(1000, 100, 1080));
        assert_eq!(10_000_000 + GRACE_MS, due_ms(0, 100, 10_000_000));
        assert_eq!(6000, due_ms(5900, 100, 1000));
    }

    #[test]
    fn rows_come_out_as_they_are_due() {
        let usual = |row: u32| 10 * i64::from(row);
        let mut waiting = Waiting::new();
        for (row, due) in [(1, 10), (3, 30), (2, 20), (4, 40), (5, 45)] {
            waiting.push(row, due, usual(row));
        }
        waiting.remove(4);
        let mut order = Vec::new();
        assert_eq!(Some(45), waiting.open_until_ms(usual));
        while let Some(first) = waiting.first(usual) {
            waiting.pop(first);
            order.push(first.1);
        }

        assert_eq!(vec![1, 2, 3, 5], order);
        assert_eq!(None, waiting.open_until_ms(usual));
    }
}
