//! Rules of numbers and durations.

use prost_types::{Duration, Timestamp};

use super::Report;

/// Ten years: longer than any experiment, and far from overflowing milliseconds.
const MAX_DURATION_S: i64 = 10 * 366 * 86_400;

pub(super) fn percentage(report: &mut Report, field: &str, value: f64) {
    report.require((0.0..=100.0).contains(&value), field, || format!("{value} must be from 0 to 100"));
}

/// Strictly between the two.
pub(super) fn inside(report: &mut Report, field: &str, value: f64, above: f64, below: f64) {
    report
        .require(value > above && value < below, field, || format!("{value} must be above {above} and below {below}"));
}

pub(super) fn not_negative(report: &mut Report, field: &str, value: i64) {
    report.require(value >= 0, field, || format!("{value} must be at least 0"));
}

pub(super) fn duration(report: &mut Report, field: &str, value: Option<&Duration>) {
    let Some(value) = value else { return };
    let whole = (0..=MAX_DURATION_S).contains(&value.seconds) && (0..1_000_000_000).contains(&value.nanos);
    report.require(whole && millis(value) > 0, field, || format!("{value} must be at least 1ms and at most ten years"));
}

/// Whole milliseconds of a duration that passed [`duration`].
pub(in crate::snapshot) fn millis(value: &Duration) -> i64 {
    value.seconds.saturating_mul(1000).saturating_add(i64::from(value.nanos) / 1_000_000)
}

/// Unix milliseconds of a time, whole ones that have begun.
pub(in crate::snapshot) fn instant_millis(time: &Timestamp) -> i64 {
    time.seconds.saturating_mul(1000).saturating_add(i64::from(time.nanos) / 1_000_000)
}
