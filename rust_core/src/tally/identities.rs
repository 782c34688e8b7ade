//! Which single outcomes were already counted, for upstreams that deliver more than once.

use std::collections::VecDeque;

use hashbrown::HashTable;

use super::member::Target;

/// How long an identity is remembered, by frame time.
const KEPT_MS: i64 = 7 * 24 * 3_600_000;
/// Identities of one shard. With 64 shards four million.
pub(super) const CAPACITY: usize = 1 << 16;

/// An outcome that has an identity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Known {
    pub(super) fingerprint: u64,
    /// Keyed hash of the event's name.
    pub(super) event: u64,
    pub(super) value: f64,
    pub(super) at_ms: i64,
    /// Time of the frame that brought it.
    pub(super) arrived_ms: i64,
    /// Keyed hash of the entity.
    pub(super) key: u64,
    /// The arm that it names: it counts in no other.
    pub(super) target: Option<Target>,
    /// Whether another one took its place, or its entity was forgotten with it.
    pub(super) superseded: bool,
}

/// Identities of one shard, oldest forgotten first.
#[derive(Debug, Default)]
pub(super) struct Identities {
    table: HashTable<Known>,
    order: VecDeque<u64>,
}

impl Identities {
    pub(super) fn find(&self, fingerprint: u64) -> Option<Known> {
        self.table.find(fingerprint, |known| known.fingerprint == fingerprint).copied()
    }

    /// The outcome of this event whose place another one takes now; `None` if it is unknown, or if
    /// another one did before.
    pub(super) fn take_place_of(&mut self, fingerprint: u64, event: u64) -> Option<Known> {
        let known = self.table.find_mut(fingerprint, |known| known.fingerprint == fingerprint);
        let known = known.filter(|known| known.event == event && !known.superseded)?;
        known.superseded = true;
        Some(*known)
    }

    /// Leaves of an entity's outcomes only that they were there: nothing takes their place.
    pub(super) fn forget(&mut self, key: u64) {
        for known in self.table.iter_mut().filter(|known| known.key == key) {
            (known.value, known.at_ms, known.target, known.superseded) = (0.0, 0, None, true);
        }
    }

    /// Remembers an outcome that is not known.
    pub(super) fn insert(&mut self, known: Known) {
        self.forget_until(known.arrived_ms.saturating_sub(KEPT_MS));
        self.order.push_back(known.fingerprint);
        self.table.insert_unique(known.fingerprint, known, |known| known.fingerprint);
    }

    /// Those remembered, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = Known> {
        self.order.iter().filter_map(|fingerprint| self.find(*fingerprint))
    }

    /// Makes room for one more, and lets go of what is older.
    fn forget_until(&mut self, oldest_ms: i64) {
        while let Some(fingerprint) = self.order.front().copied() {
            let Ok(entry) = self.table.find_entry(fingerprint, |known| known.fingerprint == fingerprint) else {
                self.order.pop_front();
                continue;
            };
            if self.order.len() < CAPACITY && entry.get().arrived_ms >= oldest_ms {
                return;
            }
            entry.remove();
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(fingerprint: u64, arrived_ms: i64) -> Known {
        Known {
            fingerprint,
            event: 1,
            value: 2.0,
            at_ms: 3,
            arrived_ms,
            key: fingerprint,
            target: None,
            superseded: false,
        }
    }

    #[test]
    fn seven_days_are_kept() {
        let mut identities = Identities::default();
        identities.insert(known(1, 0));
        identities.insert(known(2, KEPT_MS));
        assert_eq!(Some(known(1, 0)), identities.find(1));
        identities.insert(known(3, KEPT_MS + 1));

        assert_eq!(None, identities.find(1));
        assert_eq!(vec![2, 3], identities.iter().map(|known| known.fingerprint).collect::<Vec<_>>());
    }

    #[test]
    fn nothing_takes_the_place_of_what_is_forgotten() {
        let mut identities = Identities::default();
        identities.insert(known(1, 0));
        identities.insert(known(2, 0));
        identities.forget(1);

        assert!(identities.find(1).is_some());
        assert_eq!(None, identities.take_place_of(1, 1));
        assert!(identities.take_place_of(2, 1).is_some());
        assert_eq!(None, identities.take_place_of(2, 1));
    }

    #[test]
    fn the_oldest_make_room() {
        let mut identities = Identities::default();
        for fingerprint in 0..=CAPACITY as u64 {
            identities.insert(known(fingerprint, 0));
        }

        assert_eq!(None, identities.find(0));
        assert_eq!(CAPACITY, identities.iter().count());
    }
}
