//! Rules of keeping the first variant.

use super::{Report, enumeration};
use crate::proto::v1::{AssignmentSource, Experiment, StickyMode};
use crate::snapshot::sticky::remembers;

pub(super) fn check(report: &mut Report, definition: &Experiment) {
    enumeration::<StickyMode>(report, "sticky", definition.sticky, None);
    if definition.sticky() != StickyMode::Entity {
        return;
    }
    if !remembers(definition) {
        report.add("sticky", "`entity` needs a metric: of a flag without metrics nobody is remembered");
    }
    if definition.assignment_source() == AssignmentSource::External {
        report.add("sticky", "`entity` is not allowed where another system chooses: write `off`, or leave it out");
    }
}
