//! Columns of a batch as rows: checked once, then read without a copy and without failing.

use std::slice;

use crate::proto::storage::v1::{ExposureColumns, NamedEntity, OutcomeColumns};

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
    /// `named` names a row that there is not, or goes back.
    #[error("named entities name row {row} out of order or of range")]
    Named {
        /// The row.
        row: u32,
    },
    /// A value is infinite or not a number.
    #[error("value of row {row} is not finite")]
    Value {
        /// The row.
        row: usize,
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
        Ok(Self { columns, ids: Ids::new(&columns.entity_ids, &columns.entity_id_lengths, rows)? })
    }

    /// How many rows.
    #[must_use]
    pub fn count(&self) -> usize {
        self.columns.arm.len()
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
            return Err(ColumnError::Value { row });
        }
        let mut last = 0;
        for named in &columns.named {
            if named.row < last || named.row as usize >= rows {
                return Err(ColumnError::Named { row: named.row });
            }
            last = named.row;
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
        let mut target = columns.target.iter();
        let plain = columns.event.iter().zip(self.ids).zip(&columns.values).zip(&columns.delay_ms);
        (0..).zip(plain).map(move |(row, (((event, entity_id), value), delay_ms))| OutcomeRow {
            event: *event,
            entity_id,
            named: take_row(&mut named, row),
            value: *value,
            delay_ms: *delay_ms,
            target: target.next().and_then(|target| target.checked_sub(1)),
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

/// Ids one behind the other, known to fall apart at their lengths.
#[derive(Clone, Copy, Debug)]
struct Ids<'a> {
    text: &'a str,
    lengths: &'a [u32],
}

impl<'a> Ids<'a> {
    fn new(bytes: &'a [u8], lengths: &'a [u32], rows: usize) -> Result<Self, ColumnError> {
        check_length("entity_id_lengths", lengths.len(), rows)?;
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => return Err(ColumnError::Ids { row: row_of(lengths, error.valid_up_to()) }),
        };
        let mut end = 0;
        for (row, length) in lengths.iter().enumerate() {
            end += *length as usize;
            if !text.is_char_boundary(end) {
                return Err(ColumnError::Ids { row });
            }
        }
        if end != text.len() {
            return Err(ColumnError::Ids { row: rows });
        }
        Ok(Self { text, lengths })
    }
}

impl<'a> IntoIterator for Ids<'a> {
    type Item = &'a str;
    type IntoIter = IdIter<'a>;

    fn into_iter(self) -> IdIter<'a> {
        IdIter { text: self.text, lengths: self.lengths.iter() }
    }
}

struct IdIter<'a> {
    text: &'a str,
    lengths: slice::Iter<'a, u32>,
}

impl<'a> Iterator for IdIter<'a> {
    type Item = &'a str;

    #[inline]
    fn next(&mut self) -> Option<&'a str> {
        let (id, rest) = self.text.split_at_checked(*self.lengths.next()? as usize)?;
        self.text = rest;
        Some(id)
    }
}

/// Row whose id has the byte at `offset`.
fn row_of(lengths: &[u32], offset: usize) -> usize {
    let mut end = 0;
    lengths
        .iter()
        .position(|length| {
            end += *length as usize;
            end > offset
        })
        .unwrap_or(lengths.len())
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

#[cfg(test)]
mod tests;
