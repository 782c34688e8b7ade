//! First variants of entities, for experiments whose decisions look them up.
//!
//! Beside the tally, because a look-up must not wait for a fold. Eight bytes an entity: all of its
//! keyed hash but the last byte, and the variant in place of that byte. That two entities of an
//! iteration share the other 56 bits takes a hundred million of them, and then one has the variant of
//! the other.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use arc_swap::ArcSwap;
use hashbrown::HashTable;

use crate::tally::Scope;

/// Parts with a lock each; a power of two.
const PARTS: usize = 64;
/// Bits of an entry that are the variant.
const VARIANT: u64 = 0xFF;

/// An iteration that is looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Iteration {
    pub(super) namespace: String,
    pub(super) experiment_id: String,
    pub(super) number: i64,
}

/// First variants of one iteration.
#[derive(Debug)]
pub(super) struct Firsts {
    pub(super) iteration: Iteration,
    scope: Scope,
    /// As the iteration's plan orders them; at most 100.
    variant_ids: Vec<String>,
    parts: Vec<RwLock<HashTable<u64>>>,
    /// Whether entities from before are all here.
    complete: AtomicBool,
}

impl Firsts {
    pub(super) fn new(iteration: Iteration, scope: Scope, variant_ids: Vec<String>) -> Self {
        Self {
            iteration,
            scope,
            variant_ids,
            parts: (0..PARTS).map(|_| RwLock::default()).collect(),
            complete: AtomicBool::new(false),
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    pub(super) fn complete(&self) {
        self.complete.store(true, Ordering::Release);
    }

    pub(super) fn key(&self, entity_id: &str) -> u64 {
        self.scope.hash(entity_id.as_bytes())
    }

    /// The variant that the entity had first.
    pub(super) fn get(&self, key: u64) -> Option<&str> {
        let part = self.part(key)?.read().unwrap_or_else(PoisonError::into_inner);
        let found = *part.find(spread(key), |entry| same(*entry, key))?;
        drop(part);
        self.variant_ids.get(usize::try_from(found & VARIANT).ok()?).map(String::as_str)
    }

    /// Whether the entity is new and has this variant from now on.
    pub(super) fn claim(&self, key: u64, variant_id: &str) -> bool {
        let variant = self.variant_ids.iter().position(|known| known == variant_id);
        variant.and_then(|at| u32::try_from(at).ok()).is_some_and(|at| self.put(key, at, false))
    }

    /// Sets what the journal says; `variant` is an index in the plan.
    pub(super) fn set(&self, key: u64, variant: u32) {
        self.put(key, variant, true);
    }

    pub(super) fn remove(&self, key: u64) {
        let Some(part) = self.part(key) else { return };
        let mut part = part.write().unwrap_or_else(PoisonError::into_inner);
        if let Ok(entry) = part.find_entry(spread(key), |entry| same(*entry, key)) {
            entry.remove();
        }
    }

    /// Whether there was nothing of the entity.
    fn put(&self, key: u64, variant: u32, replace: bool) -> bool {
        let Some(part) = self.part(key) else { return false };
        let entry = key & !VARIANT | u64::from(variant) & VARIANT;
        let mut part = part.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = part.find_mut(spread(key), |entry| same(*entry, key)) {
            if replace {
                *known = entry;
            }
            return false;
        }
        part.insert_unique(spread(key), entry, |entry| spread(*entry));
        true
    }

    fn part(&self, key: u64) -> Option<&RwLock<HashTable<u64>>> {
        // The high bits: as many as there are parts, so that the index always fits.
        #[allow(clippy::cast_possible_truncation)]
        self.parts.get((key >> (u64::BITS - PARTS.ilog2())) as usize)
    }
}

fn same(entry: u64, key: u64) -> bool {
    entry & !VARIANT == key & !VARIANT
}

/// Hash for the table: the high bits of a key are the same all over a part, and the low ones its variant.
fn spread(key: u64) -> u64 {
    (key >> VARIANT.count_ones()).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

type Tables = HashMap<String, HashMap<String, Arc<Firsts>>>;

/// All iterations that are looked up.
#[derive(Debug, Default)]
pub(super) struct AllFirsts {
    // Of each experiment the latest iteration.
    tables: ArcSwap<Tables>,
    /// A copy, for those to whom this is all that matters.
    count: AtomicUsize,
    changing: Mutex<()>,
}

impl AllFirsts {
    /// Whether nothing is looked up at all, as nearly always.
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Reads an iteration in place: a count of readers would be shared between cores.
    pub(super) fn with<T>(
        &self,
        namespace: &str,
        experiment_id: &str,
        iteration: i64,
        read: impl FnOnce(&Arc<Firsts>) -> T,
    ) -> Option<T> {
        let tables = self.tables.load();
        let found = tables.get(namespace)?.get(experiment_id)?;
        (found.iteration.number == iteration).then(|| read(found))
    }

    pub(super) fn find(&self, namespace: &str, experiment_id: &str, iteration: i64) -> Option<Arc<Firsts>> {
        self.with(namespace, experiment_id, iteration, Arc::clone)
    }

    /// Adds an iteration, unless it is there; what is there then.
    pub(super) fn open(&self, new: Firsts) -> Arc<Firsts> {
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let Iteration { namespace, experiment_id, number } = &new.iteration;
        if let Some(known) = self.find(namespace, experiment_id, *number) {
            return known;
        }
        let mut tables = Tables::clone(&self.tables.load());
        let new = Arc::new(new);
        let of = &new.iteration;
        tables.entry(of.namespace.clone()).or_default().insert(of.experiment_id.clone(), Arc::clone(&new));
        self.publish(tables);
        new
    }

    /// Drops the iterations that are not `wanted`.
    pub(super) fn retain(&self, wanted: impl Fn(&Iteration) -> bool) {
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tables = Tables::clone(&self.tables.load());
        for of in tables.values_mut() {
            of.retain(|_, firsts| wanted(&firsts.iteration));
        }
        tables.retain(|_, of| !of.is_empty());
        self.publish(tables);
    }

    /// Forgets an entity of a namespace by the hash of its id.
    pub(super) fn forget(&self, namespace: &str, key: u64) {
        for firsts in self.tables.load().get(namespace).into_iter().flat_map(HashMap::values) {
            firsts.remove(key);
        }
    }

    fn publish(&self, tables: Tables) {
        let count = tables.values().map(HashMap::len).sum();
        self.tables.store(Arc::new(tables));
        self.count.store(count, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::{Key, Purpose};

    fn firsts(number: i64) -> Firsts {
        let scope = Key::new([1; 16]).scope(Purpose::Entity, &["default"]);
        let iteration = Iteration { namespace: "default".to_owned(), experiment_id: "exp".to_owned(), number };
        Firsts::new(iteration, scope, vec!["a".to_owned(), "b".to_owned()])
    }

    #[test]
    fn the_first_claim_holds_until_the_journal_says_otherwise() {
        let firsts = firsts(1);
        let keys: Vec<_> = (0..10_000).map(|index| firsts.key(&format!("u{index}"))).collect();
        for key in &keys {
            assert_eq!(None, firsts.get(*key));
            assert!(firsts.claim(*key, "b"));
            assert!(!firsts.claim(*key, "a"));
        }
        assert!(keys.iter().all(|key| firsts.get(*key) == Some("b")));

        firsts.set(keys[0], 0);
        firsts.remove(keys[1]);

        assert_eq!((Some("a"), None, Some("b")), (firsts.get(keys[0]), firsts.get(keys[1]), firsts.get(keys[2])));
        assert!(!firsts.claim(firsts.key("new"), "c"));
    }

    #[test]
    fn of_many_who_claim_at_once_one_succeeds() {
        let firsts = firsts(1);
        let won =
            |variant: &str| (0..20_000).filter(|index| firsts.claim(firsts.key(&format!("u{index}")), variant)).count();
        let counts = std::thread::scope(|scope| {
            let threads: Vec<_> = ["a", "b", "a", "b"].map(|variant| scope.spawn(move || won(variant))).into();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        });

        assert_eq!(20_000, counts);
    }

    #[test]
    fn a_later_iteration_begins_with_nothing() {
        let all = AllFirsts::default();
        assert!(all.is_empty());
        let first = all.open(firsts(1));
        let key = first.key("u1");
        first.set(key, 1);
        assert!(Arc::ptr_eq(&first, &all.open(firsts(1))));
        let second = all.open(firsts(2));

        assert_eq!(None, second.get(key));
        assert!(all.find("default", "exp", 1).is_none());
        second.set(key, 0);
        all.forget("default", key);
        assert_eq!(None, second.get(key));
        all.retain(|iteration| iteration.number == 1);
        assert!(all.is_empty());
    }
}
