//! Entity ids of all rows in one text.

use std::slice;

use super::{ColumnError, check_length};

/// Ids one behind the other, known to fall apart at their lengths.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ids<'a> {
    text: &'a str,
    lengths: &'a [u32],
}

impl<'a> Ids<'a> {
    pub(super) fn new(bytes: &'a [u8], lengths: &'a [u32], rows: usize) -> Result<Self, ColumnError> {
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

pub(super) struct IdIter<'a> {
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
