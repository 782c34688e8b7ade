//! Which event names came, so that a misspelt one can be noticed.

use std::collections::BTreeMap;

/// How often one event came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventCount {
    /// All its outcomes.
    pub outcomes: u64,
    /// Those whose entity was in no iteration, or not in the one they name.
    pub unmatched: u64,
}

impl EventCount {
    fn add(&mut self, more: Self) {
        self.outcomes += more.outcomes;
        self.unmatched += more.unmatched;
    }
}

/// Counts by namespace and event; names are bounded, because callers invent them.
#[derive(Debug)]
pub(super) struct Events {
    limit: usize,
    len: usize,
    namespaces: BTreeMap<String, BTreeMap<String, EventCount>>,
    unlisted: EventCount,
}

impl Events {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, len: 0, namespaces: BTreeMap::new(), unlisted: EventCount::default() }
    }

    pub(super) fn add(&mut self, namespace: &str, event: &str, count: EventCount) {
        if let Some(known) = self.namespaces.get_mut(namespace).and_then(|events| events.get_mut(event)) {
            known.add(count);
        } else if self.len < self.limit {
            self.len += 1;
            self.namespaces.entry(namespace.to_owned()).or_default().insert(event.to_owned(), count);
        } else {
            self.unlisted.add(count);
        }
    }

    pub(super) fn of(&self, namespace: &str) -> impl Iterator<Item = (&str, EventCount)> {
        let events = self.namespaces.get(namespace).into_iter().flatten();
        events.map(|(event, count)| (event.as_str(), *count))
    }

    pub(super) fn unlisted(&self) -> EventCount {
        self.unlisted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_what_comes_behind_is_counted_together() {
        let mut events = Events::new(2);
        let once = EventCount { outcomes: 2, unmatched: 1 };
        for (namespace, event) in [("a", "x"), ("b", "x"), ("a", "x"), ("a", "y"), ("c", "z")] {
            events.add(namespace, event, once);
        }
        let twice = EventCount { outcomes: 4, unmatched: 2 };

        assert_eq!(vec![("x", twice)], events.of("a").collect::<Vec<_>>());
        assert_eq!(vec![("x", once)], events.of("b").collect::<Vec<_>>());
        assert_eq!(0, events.of("c").count());
        assert_eq!(twice, events.unlisted());
    }
}
