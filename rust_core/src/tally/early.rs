//! Outcomes that may have come before their exposure: a ring of the latest, by journal order.
//!
//! Clients that decide in their own process send exposures in batches, so that an outcome can reach
//! the journal first. A newcomer looks here for what it already has.

/// How long an outcome waits, by frame time.
pub(super) const KEPT_MS: i64 = 600_000;
/// Outcomes of one shard; a power of two. With 64 shards a million.
pub(super) const CAPACITY: usize = 1 << 14;
/// Lists that entries are spread over; a power of two.
const LISTS: usize = 1 << 14;
/// No type, iteration or variant.
pub(super) const NONE: u32 = u32::MAX;

/// One outcome of one entity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Early {
    pub(super) key: u64,
    /// Number of the event in the namespace; [`NONE`]: taken back.
    pub(super) event: u32,
    /// Entity type; [`NONE`]: every type of the namespace.
    pub(super) entity_type: u32,
    /// Iteration and variant that it names, or [`NONE`].
    pub(super) iteration: u32,
    pub(super) variant: u32,
    pub(super) value: f64,
    pub(super) at_ms: i64,
    /// Time of the frame that brought it.
    pub(super) arrived_ms: i64,
    /// Keyed hash of its event id; 0: none.
    pub(super) identity: u64,
}

/// The latest outcomes of one shard.
#[derive(Debug, Default)]
pub(super) struct Ring {
    /// Entry number `n` stands at `n % CAPACITY`, with the number of the one before it in its list.
    entries: Vec<(Early, u64)>,
    /// Number of the next entry. Numbers begin at 1, so that 0 ends a list.
    next: u64,
    /// Number of the latest entry of each list.
    heads: Vec<u64>,
    /// Entries that had to go before their time.
    pub(super) evicted: u64,
}

impl Ring {
    pub(super) fn push(&mut self, early: Early) {
        if self.heads.is_empty() {
            self.heads = vec![0; LISTS];
            // At once, because growing would copy it again and again; untouched memory costs nothing.
            self.entries.reserve_exact(CAPACITY);
            self.next = 1;
        }
        let list = list(early.key);
        let Some(head) = self.heads.get_mut(list) else { return };
        let entry = (early, std::mem::replace(head, self.next));
        if self.entries.len() < CAPACITY {
            self.entries.push(entry);
        } else if let Some(old) = self.entries.get_mut(place(self.next)) {
            self.evicted += u64::from(old.0.arrived_ms > early.arrived_ms - KEPT_MS && old.0.event != NONE);
            *old = entry;
        }
        self.next += 1;
    }

    /// Outcomes of an entity that still wait at `now_ms`, oldest first.
    pub(super) fn of(&self, key: u64, now_ms: i64) -> Vec<Early> {
        let mut found: Vec<_> = self
            .numbers(key)
            .filter_map(|number| self.entries.get(place(number)))
            .map(|(early, _)| *early)
            .filter(|early| early.event != NONE && early.arrived_ms >= now_ms - KEPT_MS)
            .collect();
        found.reverse();
        found
    }

    /// Takes back the outcomes of an entity that `which` names.
    pub(super) fn take_back(&mut self, key: u64, which: impl Fn(&Early) -> bool) {
        let numbers: Vec<_> = self.numbers(key).collect();
        for number in numbers {
            if let Some((early, _)) = self.entries.get_mut(place(number))
                && which(early)
            {
                early.event = NONE;
            }
        }
    }

    /// Those that still wait at `now_ms`, oldest first.
    pub(super) fn waiting(&self, now_ms: i64) -> impl Iterator<Item = &Early> {
        let length = self.entries.len() as u64;
        let numbers = self.next.saturating_sub(length).max(1)..self.next;
        let entries = numbers.filter_map(|number| self.entries.get(place(number)));
        entries.map(|(early, _)| early).filter(move |early| early.arrived_ms >= now_ms - KEPT_MS)
    }

    /// Numbers of an entity's entries, latest first.
    fn numbers(&self, key: u64) -> impl Iterator<Item = u64> {
        let oldest = self.next.saturating_sub(self.entries.len() as u64);
        let mut number = self.heads.get(list(key)).copied().unwrap_or_default();
        std::iter::from_fn(move || {
            while number != 0 && number >= oldest {
                let at = number;
                let (early, before) = self.entries.get(place(at))?;
                number = *before;
                if early.key == key {
                    return Some(at);
                }
            }
            None
        })
    }
}

// The low bits choose; both lengths are powers of two that fit.
#[allow(clippy::cast_possible_truncation)]
fn list(key: u64) -> usize {
    key as usize & (LISTS - 1)
}

/// Entry 1 stands first.
#[allow(clippy::cast_possible_truncation)]
fn place(number: u64) -> usize {
    (number - 1) as usize & (CAPACITY - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn early(key: u64, value: f64, arrived_ms: i64) -> Early {
        let (event, entity_type, iteration, variant) = (0, NONE, NONE, NONE);
        Early { key, event, entity_type, iteration, variant, value, at_ms: 0, arrived_ms, identity: 0 }
    }

    fn values(ring: &Ring, key: u64, now_ms: i64) -> Vec<f64> {
        ring.of(key, now_ms).iter().map(|early| early.value).collect()
    }

    #[test]
    fn an_entity_finds_its_own_oldest_first_for_ten_minutes() {
        let mut ring = Ring::default();
        let same_list = 7 + LISTS as u64;
        assert!(values(&ring, 7, 0).is_empty());
        for (key, value, arrived) in [(7, 1.0, 0), (same_list, 2.0, 1), (7, 3.0, 2), (7, 4.0, 3)] {
            ring.push(early(key, value, arrived));
        }
        ring.take_back(7, |early| early.arrived_ms == 2);

        assert_eq!(vec![1.0, 4.0], values(&ring, 7, KEPT_MS));
        assert_eq!(vec![4.0], values(&ring, 7, KEPT_MS + 1));
        assert_eq!(vec![2.0], values(&ring, same_list, 1));
    }

    #[test]
    fn what_falls_out_before_its_time_is_counted() {
        let mut ring = Ring::default();
        for number in 0..CAPACITY as u64 + 2 {
            ring.push(early(number, 0.0, 5));
        }

        assert_eq!(2, ring.evicted);
        assert!(values(&ring, 1, 5).is_empty());
        assert_eq!(1, values(&ring, 2, 5).len());
        assert_eq!(CAPACITY, ring.waiting(5).count());
        ring.push(early(0, 0.0, 5 + KEPT_MS));
        assert_eq!(2, ring.evicted);
    }
}
