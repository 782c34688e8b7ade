//! Which exposures are already durable: a hint that saves the queue repeats.
//!
//! Lossy on purpose: a fixed table in which a newcomer takes the place of whoever had it. What was
//! forgotten is queued again and ignored by the fold; that somebody new counts as seen takes two
//! equal 64-bit hashes. Set only after the commit, or a failed write would lose the exposure for good.

use std::sync::atomic::{AtomicU64, Ordering};

/// Keyed 64-bit hashes of (experiment, iteration, variant, entity), shared by all threads without a lock.
#[derive(Debug)]
pub struct Seen {
    slots: Box<[AtomicU64]>,
}

impl Seen {
    /// A table of `2^bits` slots of 8 bytes each; `bits` above 30 (8 GiB) count as 30.
    #[must_use]
    pub fn new(bits: u32) -> Self {
        Self { slots: (0..1_usize << bits.min(30)).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Whether `fingerprint` was inserted; may forget, never invents.
    #[must_use]
    pub fn contains(&self, fingerprint: u64) -> bool {
        // The word is the whole information: no other memory is read on its strength.
        self.slot(fingerprint).is_some_and(|slot| slot.load(Ordering::Relaxed) == stored(fingerprint))
    }

    /// Remembers `fingerprint` until another one needs its slot.
    pub fn insert(&self, fingerprint: u64) {
        if let Some(slot) = self.slot(fingerprint) {
            slot.store(stored(fingerprint), Ordering::Relaxed);
        }
    }

    fn slot(&self, fingerprint: u64) -> Option<&AtomicU64> {
        // The low bits choose; the length is a power of two that fits.
        #[allow(clippy::cast_possible_truncation)]
        self.slots.get(fingerprint as usize & (self.slots.len() - 1))
    }
}

/// 0 is the empty slot, so that the hash 0 shares the place of the hash 1 << 63.
fn stored(fingerprint: u64) -> u64 {
    if fingerprint == 0 { 1 << 63 } else { fingerprint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_inserted_is_seen_and_nothing_else() {
        let seen = Seen::new(4);
        for fingerprint in [0, 7, u64::MAX] {
            assert!(!seen.contains(fingerprint));
            seen.insert(fingerprint);
            assert!(seen.contains(fingerprint));
        }

        assert!(!seen.contains(7 + 16));
    }

    #[test]
    fn a_newcomer_takes_the_slot() {
        let seen = Seen::new(0);
        seen.insert(1);
        seen.insert(2);

        assert_eq!((false, true), (seen.contains(1), seen.contains(2)));
    }
}
