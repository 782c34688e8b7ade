//! Attributes of some rows: columns that say which rows have them.

use std::collections::BTreeSet;

use super::{ColumnError, check_indices, check_length, check_rising};
use crate::proto::storage::v1::{NumberColumn, TextColumn};

/// One attribute as numbers.
#[derive(Clone, Copy, Debug)]
pub struct NumberCells<'a> {
    rows: &'a [u32],
    values: &'a [f64],
}

impl<'a> NumberCells<'a> {
    pub(super) fn new(column: &'a NumberColumn) -> Self {
        Self { rows: &column.rows, values: &column.values }
    }

    /// The attribute of `row`, finite; `None` if the row has none.
    #[must_use]
    pub fn of(&self, row: usize) -> Option<f64> {
        self.values.get(place(self.rows, row)?).copied()
    }
}

/// One attribute as text.
#[derive(Clone, Copy, Debug)]
pub struct TextCells<'a> {
    column: &'a TextColumn,
}

impl<'a> TextCells<'a> {
    pub(super) fn new(column: &'a TextColumn) -> Self {
        Self { column }
    }

    /// The attribute of `row`; `None` if the row has none.
    #[must_use]
    pub fn of(&self, row: usize) -> Option<&'a str> {
        let text = self.column.text.get(place(&self.column.rows, row)?)?;
        self.column.texts.get(*text as usize).map(String::as_str)
    }
}

fn place(rows: &[u32], row: usize) -> Option<usize> {
    rows.binary_search(&u32::try_from(row).ok()?).ok()
}

pub(super) fn check_numbers(columns: &[NumberColumn], rows: usize) -> Result<(), ColumnError> {
    const COLUMN: &str = "covariates";
    check_names(COLUMN, columns.iter().map(|column| column.name.as_str()))?;
    for column in columns {
        check_rising(COLUMN, column.rows.iter().copied(), rows)?;
        check_length(COLUMN, column.values.len(), column.rows.len())?;
        let cells = column.rows.iter().zip(&column.values);
        if let Some((row, _)) = cells.into_iter().find(|(_, value)| !value.is_finite()) {
            return Err(ColumnError::Value { column: COLUMN, row: *row as usize });
        }
    }
    Ok(())
}

pub(super) fn check_texts(columns: &[TextColumn], rows: usize) -> Result<(), ColumnError> {
    const COLUMN: &str = "dimensions";
    check_names(COLUMN, columns.iter().map(|column| column.name.as_str()))?;
    for column in columns {
        check_rising(COLUMN, column.rows.iter().copied(), rows)?;
        check_length(COLUMN, column.text.len(), column.rows.len())?;
        check_indices(COLUMN, &column.text, column.texts.len())?;
    }
    Ok(())
}

/// One column a name: a second one would never be read.
fn check_names<'a>(column: &'static str, names: impl Iterator<Item = &'a str>) -> Result<(), ColumnError> {
    let mut found = BTreeSet::new();
    for name in names {
        if !found.insert(name) {
            return Err(ColumnError::Repeated { column, name: name.to_owned() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::rows::ExposureRows;
    use crate::proto::storage::v1::{Arm, ExposureColumns};

    fn numbers(name: &str, rows: &[u32], values: &[f64]) -> NumberColumn {
        NumberColumn { name: name.into(), rows: rows.to_vec(), values: values.to_vec() }
    }

    fn texts(name: &str, rows: &[u32], text: &[u32]) -> TextColumn {
        TextColumn {
            name: name.into(),
            rows: rows.to_vec(),
            texts: vec!["de".into(), "fr".into()],
            text: text.to_vec(),
        }
    }

    /// Four exposures.
    fn exposures(covariates: Vec<NumberColumn>, dimensions: Vec<TextColumn>) -> ExposureColumns {
        ExposureColumns {
            arms: vec![Arm::default()],
            arm: vec![0; 4],
            entity_ids: b"abcd".to_vec().into(),
            entity_id_lengths: vec![1; 4],
            delay_ms: vec![0; 4],
            covariates,
            dimensions,
        }
    }

    #[test]
    fn a_row_has_the_attributes_whose_columns_name_it() {
        let columns = exposures(
            vec![numbers("age", &[0, 3], &[30.0, -0.5]), numbers("spend", &[2], &[9.0])],
            vec![texts("country", &[1, 2, 3], &[1, 0, 1])],
        );
        let rows = ExposureRows::new(&columns).unwrap();
        let (age, country) = (rows.number("age").unwrap(), rows.text("country").unwrap());

        assert_eq!([Some(30.0), None, None, Some(-0.5), None], [0, 1, 2, 3, 4].map(|row| age.of(row)));
        assert_eq!([None, Some("fr"), Some("de"), Some("fr"), None], [0, 1, 2, 3, 4].map(|row| country.of(row)));
        assert_eq!(Some(9.0), rows.number("spend").unwrap().of(2));
        assert!(rows.number("country").is_none() && rows.text("age").is_none());
    }

    #[test]
    fn columns_that_are_no_attributes_are_refused() {
        let covariates = |columns: &[NumberColumn]| exposures(columns.to_vec(), vec![]);
        let dimensions = |columns: &[TextColumn]| exposures(vec![], columns.to_vec());
        let rows = |column, row| ColumnError::Rows { column, row };
        let length = |column| ColumnError::Length { column, found: 1, expected: 2 };
        let repeated = |column| ColumnError::Repeated { column, name: "a".to_owned() };
        let cases = [
            (covariates(&[numbers("a", &[4], &[1.0])]), rows("covariates", 4)),
            (covariates(&[numbers("a", &[1, 1], &[1.0, 1.0])]), rows("covariates", 1)),
            (covariates(&[numbers("a", &[2, 1], &[1.0, 1.0])]), rows("covariates", 1)),
            (covariates(&[numbers("a", &[1, 2], &[1.0])]), length("covariates")),
            (
                covariates(&[numbers("a", &[1, 3], &[1.0, f64::NAN])]),
                ColumnError::Value { column: "covariates", row: 3 },
            ),
            (covariates(&[numbers("a", &[], &[]), numbers("a", &[], &[])]), repeated("covariates")),
            (dimensions(&[texts("a", &[4], &[0])]), rows("dimensions", 4)),
            (dimensions(&[texts("a", &[1, 1], &[0, 0])]), rows("dimensions", 1)),
            (dimensions(&[texts("a", &[1, 2], &[0])]), length("dimensions")),
            (dimensions(&[texts("a", &[1], &[2])]), ColumnError::Index { column: "dimensions", found: 2, expected: 2 }),
            (dimensions(&[texts("a", &[], &[]), texts("a", &[], &[])]), repeated("dimensions")),
        ];
        for (columns, expected) in cases {
            assert_eq!(Some(expected), ExposureRows::new(&columns).err());
        }
    }
}
