//! Which batches were already counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashTable;

use crate::proto::storage::v1::RequestBucket;

/// How long a batch is remembered, by the time in its UUID.
const KEPT_MS: i64 = 7 * 24 * 3_600_000;
/// Ids of so much UUID time stand and fall together.
const BUCKET_MS: i64 = 60_000;
const ACCEPTED_BITS: u32 = 24;
/// Positions below fit beside the accepted count.
pub(super) const POSITION_LIMIT: u64 = 1 << (u64::BITS - ACCEPTED_BITS);

/// What was stored when a batch came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct First {
    /// Position of its frame.
    pub position: u64,
    /// Rows that it had.
    pub accepted: u32,
}

/// What the table says of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Not before; it is remembered now.
    New,
    /// Before.
    Repeat(First),
    /// Perhaps before: it would be forgotten by now.
    TooOld,
}

/// Fingerprints of request ids, 16 bytes each, in buckets of UUID time: forgetting begins with the
/// oldest id, whenever it came, so that ids from the future cannot push out those of the present.
///
/// A copy shares the buckets, and who changes one then copies that one: a checkpoint of ten million
/// batches is taken in no time.
#[derive(Clone, Debug)]
pub(super) struct Requests {
    limit: usize,
    len: usize,
    buckets: BTreeMap<i64, Arc<Bucket>>,
    oldest_ms: i64,
}

#[derive(Clone, Debug, Default)]
struct Bucket {
    newest_ms: i64,
    entries: HashTable<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    fingerprint: u64,
    position_and_accepted: u64,
}

impl Entry {
    fn new(fingerprint: u64, first: First) -> Self {
        let accepted = u64::from(first.accepted).min((1 << ACCEPTED_BITS) - 1);
        Self { fingerprint, position_and_accepted: first.position << ACCEPTED_BITS | accepted }
    }

    fn first(&self) -> First {
        let accepted = self.position_and_accepted & ((1 << ACCEPTED_BITS) - 1);
        First {
            position: self.position_and_accepted >> ACCEPTED_BITS,
            accepted: u32::try_from(accepted).unwrap_or(u32::MAX),
        }
    }
}

impl Requests {
    /// Remembers at most `limit` batches.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, len: 0, buckets: BTreeMap::new(), oldest_ms: 0 }
    }

    /// How many batches are remembered at most.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// All that is remembered.
    pub(super) fn state(&self) -> Vec<RequestBucket> {
        let bucket = |(minute, bucket): (&i64, &Arc<Bucket>)| RequestBucket {
            minute: *minute,
            newest_ms: bucket.newest_ms,
            fingerprints: bucket.entries.iter().map(|entry| entry.fingerprint).collect(),
            firsts: bucket.entries.iter().map(|entry| entry.position_and_accepted).collect(),
        };
        self.buckets.iter().map(bucket).collect()
    }

    /// What had this [`Requests::state`] and this [`Requests::oldest_ms`], remembering at most `limit`.
    pub(super) fn from_state(limit: usize, oldest_ms: i64, state: &[RequestBucket]) -> Self {
        let mut requests = Self { oldest_ms, ..Self::new(limit) };
        for of in state {
            let mut entries = HashTable::with_capacity(of.fingerprints.len());
            for (fingerprint, position_and_accepted) in of.fingerprints.iter().zip(&of.firsts) {
                let entry = Entry { fingerprint: *fingerprint, position_and_accepted: *position_and_accepted };
                entries.insert_unique(*fingerprint, entry, |entry: &Entry| entry.fingerprint);
            }
            requests.len += entries.len();
            requests.buckets.insert(of.minute, Arc::new(Bucket { newest_ms: of.newest_ms, entries }));
        }
        requests
    }

    /// The oldest UUID time that is still accepted, Unix milliseconds.
    pub(super) fn oldest_ms(&self) -> i64 {
        self.oldest_ms
    }

    /// Moves on to the time of a frame and forgets what has become too old.
    pub(super) fn advance(&mut self, time_ms: i64) {
        self.oldest_ms = self.oldest_ms.max(time_ms.saturating_sub(KEPT_MS));
        while let Some(bucket) = self.buckets.first_entry()
            && bucket.get().newest_ms < self.oldest_ms
        {
            self.len -= bucket.remove().entries.len();
        }
    }

    /// Looks a batch up, and remembers it as `first` if it is new.
    pub(super) fn check(&mut self, fingerprint: u64, uuid_ms: i64, first: First) -> Seen {
        if uuid_ms < self.oldest_ms {
            return Seen::TooOld;
        }
        let bucket = Arc::make_mut(self.buckets.entry(uuid_ms.div_euclid(BUCKET_MS)).or_default());
        if let Some(entry) = bucket.entries.find(fingerprint, |entry| entry.fingerprint == fingerprint) {
            return Seen::Repeat(entry.first());
        }
        bucket.newest_ms = bucket.newest_ms.max(uuid_ms);
        bucket.entries.insert_unique(fingerprint, Entry::new(fingerprint, first), |entry| entry.fingerprint);
        self.len += 1;
        while self.len > self.limit
            && let Some((_, bucket)) = self.buckets.pop_first()
        {
            self.len -= bucket.entries.len();
            self.oldest_ms = self.oldest_ms.max(bucket.newest_ms + 1);
        }
        Seen::New
    }
}

/// The time in a UUID of version 7: its first 48 bits, Unix milliseconds.
pub(super) fn uuid_ms(id: &[u8; 16]) -> i64 {
    id.iter().take(6).fold(0, |time, byte| time << 8 | i64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 24 * 3_600_000;
    const NOW: i64 = 100 * DAY_MS;

    fn first(position: u64) -> First {
        First { position, accepted: 10 }
    }

    fn requests(limit: usize) -> Requests {
        let mut requests = Requests::new(limit);
        requests.advance(NOW);
        requests
    }

    #[test]
    fn a_batch_is_a_repeat_of_its_first_position() {
        let mut requests = requests(10);
        let largest = First { position: POSITION_LIMIT - 1, accepted: (1 << ACCEPTED_BITS) - 1 };

        assert_eq!(Seen::New, requests.check(1, NOW, largest));
        assert_eq!(Seen::Repeat(largest), requests.check(1, NOW, first(2)));
        assert_eq!(Seen::New, requests.check(2, NOW, first(3)));
    }

    #[test]
    fn seven_days_are_kept_to_the_millisecond() {
        let mut requests = requests(10);

        assert_eq!(NOW - KEPT_MS, requests.oldest_ms());
        assert_eq!(Seen::TooOld, requests.check(1, NOW - KEPT_MS - 1, first(1)));
        assert_eq!(Seen::New, requests.check(1, NOW - KEPT_MS, first(1)));
        assert_eq!(Seen::Repeat(first(1)), requests.check(1, NOW - KEPT_MS, first(2)));
        requests.advance(NOW + 1);
        assert_eq!(Seen::TooOld, requests.check(1, NOW - KEPT_MS, first(3)));
    }

    #[test]
    fn time_that_goes_back_remembers_nothing_that_was_forgotten() {
        let mut requests = requests(10);
        requests.advance(NOW - DAY_MS);

        assert_eq!(NOW - KEPT_MS, requests.oldest_ms());
    }

    #[test]
    fn what_the_limit_pushes_out_is_refused_not_counted_again() {
        let mut requests = requests(2);
        let minute = |index: i64| NOW + index * BUCKET_MS;
        // The newest id comes first: it is not the one to go.
        for (fingerprint, index) in [(1, 9), (2, 1), (3, 2)] {
            assert_eq!(Seen::New, requests.check(fingerprint, minute(index), first(fingerprint)));
        }

        assert_eq!(minute(1) + 1, requests.oldest_ms());
        assert_eq!(Seen::TooOld, requests.check(2, minute(1), first(9)));
        assert_eq!(Seen::Repeat(first(1)), requests.check(1, minute(9), first(9)));
        assert_eq!(Seen::Repeat(first(3)), requests.check(3, minute(2), first(9)));
    }

    #[test]
    fn the_table_is_emptied_as_time_goes_on() {
        let mut requests = requests(1000);
        for index in 0..100 {
            requests.check(index, NOW + i64::try_from(index).unwrap() * 1000, first(1));
        }
        requests.advance(NOW + KEPT_MS + DAY_MS);

        assert_eq!((0, 0), (requests.len, requests.buckets.len()));
    }

    #[test]
    fn an_entry_has_sixteen_bytes() {
        assert_eq!(16, size_of::<Entry>());
    }

    #[test]
    fn the_time_of_a_uuid_is_its_first_six_bytes() {
        // The example of RFC 9562, A.6: 2022-02-22T19:22:22Z.
        let id = *uuid::Uuid::try_parse("017F22E2-79B0-7CC3-98C4-DC0C0C07398F").unwrap().as_bytes();

        assert_eq!(1_645_557_742_000, uuid_ms(&id));
    }
}
