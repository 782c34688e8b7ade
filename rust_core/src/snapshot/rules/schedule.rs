//! Rules of when an iteration begins and ends.

use prost_types::Timestamp;

use super::Report;
use crate::proto::v1::Schedule;

/// The years 1 to 9999, which is what timestamps can say.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

pub(super) fn check(report: &mut Report, schedule: &Schedule) {
    let before = report.violations.len();
    for (field, time) in [("schedule.startAt", &schedule.start_at), ("schedule.endAt", &schedule.end_at)] {
        let Some(time) = time else { continue };
        report.require(SECONDS.contains(&time.seconds) && (0..1_000_000_000).contains(&time.nanos), field, || {
            format!("{} seconds and {} nanoseconds are no time of the years 1 to 9999", time.seconds, time.nanos)
        });
    }
    if report.violations.len() > before {
        return;
    }
    if let (Some(start), Some(end)) = (&schedule.start_at, &schedule.end_at) {
        let order = |time: &Timestamp| (time.seconds, time.nanos);
        report
            .require(order(end) > order(start), "schedule.endAt", || format!("{end} must be after {start}, the start"));
    }
}
