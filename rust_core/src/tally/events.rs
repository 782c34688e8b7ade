//! Which event names came, so that a misspelt one can be noticed.

use std::collections::BTreeMap;

/// How often each event came, by number; names are bounded, because callers invent them.
#[derive(Debug)]
pub(super) struct Events {
    limit: usize,
    numbers: BTreeMap<String, BTreeMap<String, u32>>,
    /// By number; the first one is that of all names beyond the bound.
    counts: Vec<u64>,
}

impl Events {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, numbers: BTreeMap::new(), counts: vec![0] }
    }

    /// The number of a name; 0 beyond the bound.
    pub(super) fn number(&mut self, namespace: &str, event: &str) -> u32 {
        if let Some(known) = self.numbers.get(namespace).and_then(|events| events.get(event)) {
            return *known;
        }
        if self.counts.len() > self.limit {
            return 0;
        }
        let number = u32::try_from(self.counts.len()).unwrap_or_default();
        self.counts.push(0);
        self.numbers.entry(namespace.to_owned()).or_default().insert(event.to_owned(), number);
        number
    }

    pub(super) fn add(&mut self, number: u32) {
        self.set(number, self.count(number) + 1);
    }

    pub(super) fn set(&mut self, number: u32, count: u64) {
        if let Some(of) = self.counts.get_mut(number as usize) {
            *of = count;
        }
    }

    pub(super) fn count(&self, number: u32) -> u64 {
        self.counts.get(number as usize).copied().unwrap_or_default()
    }

    /// Namespace, event and number of every name, by name.
    pub(super) fn names(&self) -> impl Iterator<Item = (&str, &str, u32)> {
        self.numbers.iter().flat_map(|(namespace, events)| {
            events.iter().map(move |(event, number)| (namespace.as_str(), event.as_str(), *number))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_what_comes_behind_is_counted_together() {
        let mut events = Events::new(2);
        let numbers = [("a", "x"), ("b", "x"), ("a", "x"), ("a", "y"), ("c", "z")]
            .map(|(namespace, event)| events.number(namespace, event));
        for number in numbers {
            events.add(number);
        }

        assert_eq!([1, 2, 1, 0, 0], numbers);
        assert_eq!([2, 2, 1], [0, 1, 2].map(|number| events.count(number)));
        assert_eq!(vec![("a", "x", 1), ("b", "x", 2)], events.names().collect::<Vec<_>>());
    }
}
