//! Columns of a batch as rows: checked once, then read without a copy and without failing.

mod attributes;
mod ids;

use crate::proto::storage::v1::{EventIdentity, ExposureColumns, NamedEntity, OutcomeColumns};
pub use attributes::{NumberCells, TextCells};
use ids::Ids;

/// Why columns are no rows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ColumnError {
    /// A column is longer or shorter than the first one.
    #[error("column {column} has {found} rows, not {expected}")]
    Length {
        /// Its name.
        column: &'static str,
        /// Its length.
        found: usize,
        /// Length of the others.
        expected: usize,
    },
    /// Ids are not UTF-8, or their lengths cut them apart wrongly.
    #[error("entity ids of row {row} are not UTF-8 of the lengths given")]
    Ids {
        /// First row that is wrong.
        row: usize,
    },
    /// An index points behind its dictionary.
    #[error("column {column} has index {found} of {expected}")]
    Index {
        /// Its name.
        column: &'static str,
        /// What was found.
        found: u32,
        /// Length of the dictionary.
        expected: usize,
    },
    /// A column of some rows names one that there is not, or goes back.
    #[error("column {column} names row {row} out of order or of range")]
    Rows {
        /// Its name.
        column: &'static str,
        /// The row.
        row: u32,
    },
    /// Two columns are of the same attribute.
    #[error("{column} has attribute `{name}` twice")]
    Repeated {
        /// Name of the columns.
        column: &'static str,
        /// Name of the attribute.
        name: String,
    },
    /// A value is infinite or not a number.
    #[error("column {column} is not finite in row {row}")]
    Value {
        /// Its name.
        column: &'static str,
        /// The row.
        row: usize,
    },
    /// An identity without the id that it consists of.
    #[error("identity of row {row} has no event id")]
    Identity {
        /// The row.
        row: u32,
    },
}

/// One exposure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExposureRow<'a> {
    /// Index in `ExposureColumns.arms`, in range.
    pub arm: u32,
    /// Who was exposed.
    pub entity_id: &'a str,
    /// Time less the batch's arrival.
    pub delay_ms: i64,
}

/// One outcome.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutcomeRow<'a> {
    /// Index in `OutcomeColumns.events`, in range.
    pub event: u32,
    /// Whose outcome it is for entity types that `named` has not. Empty: for no other.
    pub entity_id: &'a str,
    /// Ids for single entity types.
    pub named: &'a [NamedEntity],
    /// Finite.
    pub value: f64,
    /// Time less the batch's arrival.
    pub delay_ms: i64,
    /// Index in `OutcomeColumns.targets`, in range.
    pub target: Option<u32>,
    /// What upstream calls it; its `event_id` is not empty.
    pub identity: Option<&'a EventIdentity>,
}

/// Exposures that are known to be rows.
#[derive(Clone, Copy, Debug)]
pub struct ExposureRows<'a> {
    columns: &'a ExposureColumns,
    ids: Ids<'a>,
}

impl<'a> ExposureRows<'a> {
    /// Checks all columns.
    ///
    /// # Errors
    /// The first fault found.
    pub fn new(columns: &'a ExposureColumns) -> Result<Self, ColumnError> {
        let rows = columns.arm.len();
        check_length("delay_ms", columns.delay_ms.len(), rows)?;
        check_indices("arm", &columns.arm, columns.arms.len())?;
        attributes::check_numbers(&columns.covariates, rows)?;
        attributes::check_texts(&columns.dimensions, rows)?;
        Ok(Self { columns, ids: Ids::new(&columns.entity_ids, &columns.entity_id_lengths, rows)? })
    }

    /// How many rows.
    #[must_use]
    pub fn count(&self) -> usize {
        self.columns.arm.len()
    }

    /// The attribute kept as a number, if any row has it; look it up once, not for each row.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<NumberCells<'a>> {
        self.columns.covariates.iter().find(|column| column.name == name).map(NumberCells::new)
    }

    /// The attribute kept as text, if any row has it; look it up once, not for each row.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<TextCells<'a>> {
        self.columns.dimensions.iter().find(|column| column.name == name).map(TextCells::new)
    }

    /// In the order of the batch.
    pub fn iter(&self) -> impl Iterator<Item = ExposureRow<'a>> + use<'a> {
        let columns = self.columns;
        columns.arm.iter().zip(self.ids).zip(&columns.delay_ms).map(|((arm, entity_id), delay_ms)| ExposureRow {
            arm: *arm,
            entity_id,
            delay_ms: *delay_ms,
        })
    }
}

/// Outcomes that are known to be rows.
#[derive(Clone, Copy, Debug)]
pub struct OutcomeRows<'a> {
    columns: &'a OutcomeColumns,
    ids: Ids<'a>,
}

impl<'a> OutcomeRows<'a> {
    /// Checks all columns.
    ///
    /// # Errors
    /// The first fault found.
    pub fn new(columns: &'a OutcomeColumns) -> Result<Self, ColumnError> {
        let rows = columns.event.len();
        check_length("values", columns.values.len(), rows)?;
        check_length("delay_ms", columns.delay_ms.len(), rows)?;
        check_indices("event", &columns.event, columns.events.len())?;
        if !columns.target.is_empty() {
            check_length("target", columns.target.len(), rows)?;
            // 0 names none, so that the indices begin with 1.
            check_indices("target", &columns.target, columns.targets.len() + 1)?;
        }
        if let Some(row) = columns.values.iter().position(|value| !value.is_finite()) {
            return Err(ColumnError::Value { column: "values", row });
        }
        let mut last = 0;
        for named in &columns.named {
            if named.row < last || named.row as usize >= rows {
                return Err(ColumnError::Rows { column: "named", row: named.row });
            }
            last = named.row;
        }
        check_rising("identities", columns.identities.iter().map(|identity| identity.row), rows)?;
        if let Some(identity) = columns.identities.iter().find(|identity| identity.event_id.is_empty()) {
            return Err(ColumnError::Identity { row: identity.row });
        }
        Ok(Self { columns, ids: Ids::new(&columns.entity_ids, &columns.entity_id_lengths, rows)? })
    }

    /// How many rows.
    #[must_use]
    pub fn count(&self) -> usize {
        self.columns.event.len()
    }

    /// In the order of the batch.
    pub fn iter(&self) -> impl Iterator<Item = OutcomeRow<'a>> + use<'a> {
        let columns = self.columns;
        let mut named = columns.named.as_slice();
        let mut identities = columns.identities.iter().peekable();
        let mut target = columns.target.iter();
        let plain = columns.event.iter().zip(self.ids).zip(&columns.values).zip(&columns.delay_ms);
        (0..).zip(plain).map(move |(row, (((event, entity_id), value), delay_ms))| OutcomeRow {
            event: *event,
            entity_id,
            named: take_row(&mut named, row),
            value: *value,
            delay_ms: *delay_ms,
            target: target.next().and_then(|target| target.checked_sub(1)),
            identity: identities.next_if(|identity| identity.row == row),
        })
    }
}

/// The leading entries of `row`; the rest stays.
fn take_row<'a>(named: &mut &'a [NamedEntity], row: u32) -> &'a [NamedEntity] {
    if named.first().is_none_or(|first| first.row != row) {
        return &[];
    }
    let (ours, rest) = named.split_at(named.partition_point(|entry| entry.row == row));
    *named = rest;
    ours
}

fn check_length(column: &'static str, found: usize, expected: usize) -> Result<(), ColumnError> {
    if found == expected { Ok(()) } else { Err(ColumnError::Length { column, found, expected }) }
}

fn check_indices(column: &'static str, indices: &[u32], expected: usize) -> Result<(), ColumnError> {
    match indices.iter().find(|index| **index as usize >= expected) {
        None => Ok(()),
        Some(found) => Err(ColumnError::Index { column, found: *found, expected }),
    }
}

/// Each row named once, in order.
fn check_rising(column: &'static str, named: impl Iterator<Item = u32>, rows: usize) -> Result<(), ColumnError> {
    let mut next = 0;
    for row in named {
        if (row as usize) < next || row as usize >= rows {
            return Err(ColumnError::Rows { column, row });
        }
        next = row as usize + 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
