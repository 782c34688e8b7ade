//! Numbers for the values of one dimension; bounded, because callers invent them.

use std::collections::HashMap;

/// Values that are kept apart in one shard.
const LIMIT: usize = 1000;

/// Values of one dimension, numbered in the order in which they came.
#[derive(Clone, Debug, Default)]
pub(super) struct Dictionary {
    texts: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Dictionary {
    /// Of entities without the attribute, and of values beyond the limit.
    pub(super) const OTHER: u32 = u32::MAX;

    pub(super) fn from_texts(texts: Vec<String>) -> Self {
        let numbers = (0..).zip(&texts).map(|(number, text)| (text.clone(), number)).collect();
        Self { texts, numbers }
    }

    pub(super) fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        if self.texts.len() >= LIMIT {
            return Self::OTHER;
        }
        let number = u32::try_from(self.texts.len()).unwrap_or(Self::OTHER);
        self.texts.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }

    /// The value; empty for [`Dictionary::OTHER`].
    pub(super) fn text(&self, number: u32) -> &str {
        self.texts.get(number as usize).map_or("", String::as_str)
    }

    pub(super) fn texts(&self) -> &[String] {
        &self.texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_beyond_the_limit_stand_together() {
        let mut texts = Dictionary::default();
        let numbers: Vec<_> = (0..=LIMIT).map(|text| texts.number(&text.to_string())).collect();

        assert_eq!((0, Dictionary::OTHER), (numbers[0], numbers[LIMIT]));
        assert_eq!(1, texts.number("1"));
        assert_eq!(("999", ""), (texts.text(999), texts.text(Dictionary::OTHER)));
    }
}
