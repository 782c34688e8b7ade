//! The same frame, batch or read twice.

use klero_core::proto::storage::v1::journal_entry::Kind;
use klero_core::proto::storage::v1::{Batch, JournalFrame};
use klero_core::tally::{Applied, EntryResult, First, Tally};
use prost::Message;

use crate::frames::{Journal, SECRET, START_MS, arm, batch, exposed, frame, happened, started};

const DAY_MS: i64 = 24 * 3_600_000;

/// A UUID of version 7 with this time.
fn request_id(time_ms: i64, tail: u8) -> Vec<u8> {
    let mut id = time_ms.to_be_bytes()[2..].to_vec();
    id.extend([0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, tail]);
    id
}

fn cost(request_id: Vec<u8>) -> Batch {
    Batch { request_id: request_id.into(), ..batch(START_MS, &[], &[happened("cost", "e1", 1.0)]) }
}

fn costs(journal: &Journal) -> i64 {
    journal.iteration("exp").arms[0].metrics[1].events
}

fn journal() -> Journal {
    let mut journal = Journal::new(&[started("exp", "user")]);
    journal.rows(&[exposed(&arm("exp", 1, "a"), "e1")], &[]);
    journal
}

/// Clients send a batch again when its answer was lost: it counts once and is told where.
#[test]
fn a_batch_counts_once_in_a_frame_and_between_frames() {
    let mut journal = journal();
    let id = request_id(START_MS, 1);
    let other = request_id(START_MS, 2);
    let first = journal.put(vec![Kind::Batch(cost(id.clone())), Kind::Batch(cost(id.clone()))]);
    let second = journal.put(vec![Kind::Batch(cost(other)), Kind::Batch(cost(id))]);

    let repeat = EntryResult::Repeat(First { position: 3, accepted: 1 });
    assert_eq!(vec![EntryResult::Counted, repeat.clone()], first);
    assert_eq!(vec![EntryResult::Counted, repeat], second);
    assert_eq!(2, costs(&journal));
}

/// Namespaces are tenants: one cannot swallow another's batch by guessing its id.
#[test]
fn request_ids_are_those_of_their_namespace() {
    let mut journal = journal();
    let id = request_id(START_MS, 1);
    let other = Batch { namespace: "other".into(), ..cost(id.clone()) };

    assert_eq!(
        [EntryResult::Counted, EntryResult::Counted].as_slice(),
        journal.put(vec![Kind::Batch(other), Kind::Batch(cost(id))])
    );
}

/// Without an id every batch is a new one.
#[test]
fn batches_without_id_have_no_repeats() {
    let mut journal = journal();
    journal.put(vec![Kind::Batch(cost(vec![])), Kind::Batch(cost(vec![]))]);

    assert_eq!(2, costs(&journal));
}

/// What is forgotten is refused by the fold itself: the check at the door may be a moment older.
#[test]
fn an_id_older_than_memory_is_refused_with_the_oldest_time() {
    let mut journal = journal();
    let oldest_ms = START_MS - 7 * DAY_MS;
    let results =
        journal.put(vec![Kind::Batch(cost(request_id(oldest_ms - 1, 1))), Kind::Batch(cost(request_id(oldest_ms, 1)))]);

    assert_eq!(vec![EntryResult::TooOld { oldest_ms }, EntryResult::Counted], results);
    assert_eq!((1, oldest_ms), (costs(&journal), journal.tally.oldest_request_ms()));
}

/// Beyond the limit the oldest are forgotten, and said to be.
#[test]
fn the_limit_raises_the_oldest_time() {
    let mut tally = Tally::with_limits(SECRET, 2, 10);
    for index in 0..3 {
        let batch = cost(request_id(START_MS + i64::from(index) * 60_000, index));
        tally.apply(u64::from(index) + 1, &frame(u64::from(index) + 1, START_MS, vec![Kind::Batch(batch)])).unwrap();
    }

    assert_eq!(START_MS + 1, tally.oldest_request_ms());
}

/// A journal that is read again, or appended again after a crash, changes nothing.
#[test]
fn a_frame_is_folded_once_per_incarnation_and_sequence() {
    let mut journal = journal();
    let again = frame(3, START_MS + 5, vec![Kind::Batch(cost(vec![]))]);
    let other = JournalFrame { incarnation: vec![8; 16].into(), sequence: 1, ..again.clone() };
    let results =
        [(3, &again), (4, &again), (9, &other)].map(|(position, frame)| journal.tally.apply(position, frame).unwrap());

    let applied = |repeated, entries: &[EntryResult]| Applied { repeated, entries: entries.to_vec() };
    let counted = applied(false, &[EntryResult::Counted]);
    assert_eq!([counted.clone(), applied(true, &[]), counted], results);
    assert_eq!((2, 9, START_MS + 5), (costs(&journal), journal.tally.position(), journal.tally.time_ms()));
}

/// Nodes that read at different moments publish the same results.
#[test]
fn reads_in_between_change_no_bit() {
    let frames: Vec<_> = (0..200u32)
        .map(|index| {
            let ids: Vec<_> = (0..20).map(|row| format!("e{}", (index * 7 + row * 13) % 150)).collect();
            let variant = if index % 3 == 0 { "a" } else { "b" };
            let exposures: Vec<_> = ids.iter().map(|id| exposed(&arm("exp", 1, variant), id)).collect();
            let value = f64::from(index).sin() * 10f64.powi(i32::try_from(index % 9).unwrap());
            let outcomes: Vec<_> = ids.iter().map(|id| happened("cost", id, value)).collect();
            Kind::Batch(batch(START_MS, &exposures, &outcomes))
        })
        .collect();
    let replay = |reads: bool| {
        let mut journal = Journal::new(&[started("exp", "user")]);
        // Also past a fixed position at which moments are rebuilt.
        journal.tally.apply((1 << 16) - 100, &frame(journal.next, START_MS, vec![])).unwrap();
        for (position, kind) in ((1 << 16) - 99..).zip(&frames) {
            journal.next += 1;
            journal.tally.apply(position, &frame(journal.next, START_MS, vec![kind.clone()])).unwrap();
            if reads {
                journal.iteration("exp");
            }
        }
        journal.iteration("exp").encode_to_vec()
    };

    assert_eq!(replay(false), replay(true));
}
