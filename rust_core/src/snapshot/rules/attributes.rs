//! Rules of the names of attributes that are kept of an exposure.

use std::collections::BTreeSet;

use super::{Report, shortened};

/// Of one list: covariates of a metric or of all metrics, dimensions of a plan.
pub(super) const MAX_ATTRIBUTES: usize = 8;
/// Of a name.
const MAX_NAME_BYTES: usize = 128;

pub(super) fn check(report: &mut Report, field: &str, names: &[String]) {
    let count = names.len();
    report.require(count <= MAX_ATTRIBUTES, field, || {
        format!("{count} attributes, at most {MAX_ATTRIBUTES} are allowed")
    });
    let mut found = BTreeSet::new();
    for (index, name) in names.iter().enumerate() {
        let field = format!("{field}[{index}]");
        let holds = (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.chars().any(char::is_control);
        report.require(holds, &field, || {
            format!("`{}` must have 1 to {MAX_NAME_BYTES} bytes and no control characters", shortened(name))
        });
        report.require(found.insert(name), &field, || format!("`{}` is named twice", shortened(name)));
    }
}
