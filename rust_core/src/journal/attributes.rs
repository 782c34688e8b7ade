//! Attributes of exposures that plans read, put in columns as they come.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::size;
use crate::proto::storage::v1::{NumberColumn, TextColumn};
use crate::proto::v1::AttributeValue;
use crate::proto::v1::attribute_value::Kind;

/// Longer texts are taken for absent: whoever breaks results down needs few different ones.
const MAX_TEXT_BYTES: usize = 128;

/// Attributes of one exposure that are stored with it; borrowed, and empty for most.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes<'a> {
    numbers: Vec<(&'a str, f64)>,
    texts: Vec<(&'a str, Cow<'a, str>)>,
}

impl<'a> Attributes<'a> {
    /// Of what was `sent`, numbers named by `covariates` and texts named by `dimensions`.
    ///
    /// Neither list has a name twice. What cannot be read as a finite number, or as a text of at
    /// most 128 bytes, counts as not sent.
    #[must_use]
    pub fn select(
        sent: &'a BTreeMap<String, AttributeValue>,
        covariates: &'a [String],
        dimensions: &'a [String],
    ) -> Self {
        let number = |name: &'a String| Some((name.as_str(), number(sent.get(name)?)?));
        let text = |name: &'a String| Some((name.as_str(), text(sent.get(name)?)?));
        Self {
            numbers: covariates.iter().filter_map(number).collect(),
            texts: dimensions.iter().filter_map(text).collect(),
        }
    }

    /// Memory that they take at most.
    pub(super) fn bytes(&self) -> usize {
        let numbers = self.numbers.iter().map(|(name, _)| size::named(name) + size::NUMBER);
        let texts = self.texts.iter().map(|(name, text)| size::named(name) + size::text(text) + size::TEXT);
        numbers.sum::<usize>() + texts.sum::<usize>()
    }
}

fn number(value: &AttributeValue) -> Option<f64> {
    match value.kind.as_ref()? {
        Kind::DoubleValue(number) => number.is_finite().then_some(*number),
        #[allow(clippy::cast_precision_loss)] // what is lost beyond 2^53 explains nothing
        Kind::IntValue(number) => Some(*number as f64),
        Kind::BoolValue(flag) => Some(f64::from(*flag)),
        Kind::StringValue(_) | Kind::ListValue(_) => None,
    }
}

fn text(value: &AttributeValue) -> Option<Cow<'_, str>> {
    match value.kind.as_ref()? {
        Kind::StringValue(text) => (text.len() <= MAX_TEXT_BYTES).then_some(Cow::Borrowed(text)),
        Kind::DoubleValue(number) => {
            let text = number.is_finite().then(|| number.to_string())?;
            (text.len() <= MAX_TEXT_BYTES).then_some(Cow::Owned(text))
        }
        Kind::IntValue(number) => Some(Cow::Owned(number.to_string())),
        Kind::BoolValue(true) => Some(Cow::Borrowed("true")),
        Kind::BoolValue(false) => Some(Cow::Borrowed("false")),
        Kind::ListValue(_) => None,
    }
}

/// Columns that grow row by row. Ordered maps: what callers send cannot make them slow.
#[derive(Debug, Default)]
pub(crate) struct AttributeColumns {
    numbers: BTreeMap<String, Numbers>,
    texts: BTreeMap<String, Texts>,
}

#[derive(Debug, Default)]
struct Numbers {
    rows: Vec<u32>,
    values: Vec<f64>,
}

#[derive(Debug, Default)]
struct Texts {
    rows: Vec<u32>,
    text: Vec<u32>,
    index: BTreeMap<String, u32>,
}

impl AttributeColumns {
    /// Adds the attributes of `row`, which comes behind all rows before; answers their bytes of
    /// memory.
    pub(crate) fn push(&mut self, row: u32, attributes: &Attributes<'_>) -> usize {
        let mut bytes = 0;
        for (name, value) in &attributes.numbers {
            bytes += change(&mut self.numbers, name, |column| column.push(row, *value));
        }
        for (name, text) in &attributes.texts {
            bytes += change(&mut self.texts, name, |column| column.push(row, text));
        }
        bytes
    }

    pub(crate) fn finish(self) -> (Vec<NumberColumn>, Vec<TextColumn>) {
        let numbers = self.numbers.into_iter();
        let numbers = numbers.map(|(name, Numbers { rows, values })| NumberColumn { name, rows, values });
        let texts = self.texts.into_iter().map(|(name, texts)| texts.finish(name));
        (numbers.collect(), texts.collect())
    }
}

impl Numbers {
    fn push(&mut self, row: u32, value: f64) -> usize {
        self.rows.push(row);
        self.values.push(value);
        size::NUMBER
    }
}

impl Texts {
    fn push(&mut self, row: u32, text: &str) -> usize {
        self.rows.push(row);
        if let Some(index) = self.index.get(text) {
            self.text.push(*index);
            return size::TEXT;
        }
        let index = u32::try_from(self.index.len()).unwrap_or(u32::MAX);
        self.index.insert(text.to_owned(), index);
        self.text.push(index);
        size::TEXT + size::text(text)
    }

    fn finish(self, name: String) -> TextColumn {
        let mut texts: Vec<(u32, String)> = self.index.into_iter().map(|(text, index)| (index, text)).collect();
        texts.sort_unstable();
        let texts = texts.into_iter().map(|(_, text)| text).collect();
        TextColumn { name, rows: self.rows, texts, text: self.text }
    }
}

/// Changes the column of `name`, which is made if there is none; answers the bytes added.
fn change<T: Default>(columns: &mut BTreeMap<String, T>, name: &str, push: impl FnOnce(&mut T) -> usize) -> usize {
    if let Some(column) = columns.get_mut(name) {
        return push(column);
    }
    push(columns.entry(name.to_owned()).or_default()) + size::named(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1::StringList;

    fn sent(values: &[(&str, Kind)]) -> BTreeMap<String, AttributeValue> {
        let value = |kind: &Kind| AttributeValue { kind: Some(kind.clone()) };
        values.iter().map(|(name, kind)| ((*name).to_owned(), value(kind))).collect()
    }

    #[test]
    fn what_was_sent_is_read_as_number_and_as_text() {
        let list = Kind::ListValue(StringList { values: vec!["a".to_owned()] });
        let long = "ä".repeat(65);
        let cases = [
            (Kind::DoubleValue(-0.5), Some(-0.5), Some("-0.5")),
            (Kind::DoubleValue(3.0), Some(3.0), Some("3")),
            (Kind::DoubleValue(f64::NAN), None, None),
            (Kind::DoubleValue(f64::NEG_INFINITY), None, None),
            (Kind::DoubleValue(f64::MAX), Some(f64::MAX), None),
            (Kind::IntValue(i64::MIN), Some(-9_223_372_036_854_775_808.0), Some("-9223372036854775808")),
            (Kind::BoolValue(true), Some(1.0), Some("true")),
            (Kind::BoolValue(false), Some(0.0), Some("false")),
            (Kind::StringValue("5".to_owned()), None, Some("5")),
            (Kind::StringValue(long[..128].to_owned()), None, Some(&long[..128])),
            (Kind::StringValue(long.clone()), None, None),
            (list, None, None),
        ];
        let names = ["a".to_owned()];
        for (kind, number, text) in cases {
            let sent = sent(&[("a", kind), ("b", Kind::BoolValue(true))]);
            let found = Attributes::select(&sent, &names, &names);

            assert_eq!(number, found.numbers.first().map(|(_, number)| *number));
            assert_eq!(text, found.texts.first().map(|(_, text)| text.as_ref()));
            assert_eq!(Attributes::default(), Attributes::select(&sent, &[], &[]));
        }
        let unset = BTreeMap::from([("a".to_owned(), AttributeValue { kind: None })]);
        assert_eq!(Attributes::default(), Attributes::select(&unset, &names, &names));
    }

    #[test]
    fn columns_have_the_rows_that_have_them_and_are_counted_byte_by_byte() {
        let (covariates, dimensions) = (["n".to_owned(), "m".to_owned()], ["t".to_owned()]);
        let text = |text: &str| Kind::StringValue(text.to_owned());
        let rows = [
            sent(&[("n", Kind::IntValue(1)), ("t", text("z"))]),
            sent(&[]),
            sent(&[("m", Kind::IntValue(2)), ("t", text("a"))]),
            sent(&[("n", Kind::IntValue(3)), ("t", text("z"))]),
        ];
        let mut columns = AttributeColumns::default();
        let mut added = Vec::new();
        for (row, sent) in (0..).zip(&rows) {
            let attributes = Attributes::select(sent, &covariates, &dimensions);
            added.push(columns.push(row, &attributes));
            assert!(added[row as usize] <= attributes.bytes());
        }
        let numbers = |name: &str, rows, values| NumberColumn { name: name.to_owned(), rows, values };
        let texts = TextColumn {
            name: "t".to_owned(),
            rows: vec![0, 2, 3],
            texts: vec!["z".to_owned(), "a".to_owned()],
            text: vec![0, 1, 0],
        };
        let expected = (vec![numbers("m", vec![2], vec![2.0]), numbers("n", vec![0, 3], vec![1.0, 3.0])], vec![texts]);

        assert_eq!(expected, columns.finish());
        assert_eq!(0, added[1]);
        assert_eq!(size::NUMBER + size::TEXT, added[3]);
        assert!(added[0] > added[2] && added[2] > added[3], "{added:?}");
    }
}
