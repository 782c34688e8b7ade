use std::collections::BTreeMap;
use std::thread;

use super::*;
use crate::proto::storage::v1::{EventIdentity, OutcomeColumns};
use crate::proto::v1::attribute_value::Kind;
use crate::proto::v1::{AttributeValue, DecisionReason};

const NOW: Duration = Duration::ZERO;
const ARM: ArmRef<'static> =
    ArmRef { experiment_id: "e", iteration: 1, epoch: 1, variant_id: "a", reason: DecisionReason::Split };

fn queue(limit_bytes: usize) -> Queue {
    Queue::new([7; 16], 1000, limit_bytes)
}

fn batch(rows: usize, arrival_ms: i64) -> Batch {
    let outcomes = OutcomeColumns {
        events: vec!["done".into()],
        event: vec![0; rows],
        entity_ids: vec![b'x'; rows].into(),
        entity_id_lengths: vec![1; rows],
        values: vec![1.0; rows],
        delay_ms: vec![0; rows],
        ..OutcomeColumns::default()
    };
    Batch { namespace: "default".into(), arrival_ms, outcomes: Some(outcomes), ..Batch::default() }
}

fn control(time_ms: i64) -> Control {
    Control { time_ms, ..Control::default() }
}

fn frame(queue: &Queue) -> Box<PendingFrame> {
    match queue.take(NOW) {
        Take::Frame(frame) => frame,
        other => panic!("{other:?}"),
    }
}

/// `b3` a batch of three outcomes, `x2` two exposures, `c` a control.
fn shape(frame: &JournalFrame) -> Vec<String> {
    let shape = |entry: &JournalEntry| match entry.kind.as_ref().unwrap() {
        EntryKind::Control(_) => "c".to_owned(),
        EntryKind::Batch(Batch { outcomes: Some(columns), .. }) => format!("b{}", columns.event.len()),
        EntryKind::Batch(batch) => format!("x{}", batch.exposures.as_ref().unwrap().arm.len()),
    };
    frame.entries.iter().map(shape).collect()
}

#[test]
fn everything_leaves_in_the_order_in_which_it_came() {
    let queue = queue(DEFAULT_LIMIT_BYTES);
    queue.push_exposure("default", &ARM, "one", &Attributes::default(), 1).unwrap();
    queue.push_exposure("default", &ARM, "two", &Attributes::default(), 2).unwrap();
    queue.push_exposure("other", &ARM, "three", &Attributes::default(), 2).unwrap();
    let first = queue.push_batch(batch(3, 3)).unwrap();
    queue.push_exposure("default", &ARM, "four", &Attributes::default(), 4).unwrap();
    let second = queue.push_control(control(5)).unwrap();
    let pending = frame(&queue);

    assert_eq!(vec!["x2", "x1", "b3", "x1", "c"], shape(&pending.frame));
    assert_eq!((4, 3), (pending.exposures, pending.outcomes));
    assert_eq!(vec![Waiting { ticket: first, entry: 2 }, Waiting { ticket: second, entry: 4 }], pending.waiting);
    assert_eq!(pending.frame, frame::decode(pending.encoded.bytes.into(), pending.encoded.crc).unwrap());
}

#[test]
fn frames_are_numbered_and_their_time_never_goes_back() {
    let queue = queue(DEFAULT_LIMIT_BYTES);
    let mut found = Vec::new();
    for arrival_ms in [5, 2000, 1500, 3000] {
        queue.push_batch(batch(1, arrival_ms)).unwrap();
        let pending = frame(&queue);
        found.push((pending.frame.sequence, pending.frame.time_ms));
    }
    queue.push_exposure("default", &ARM, "one", &Attributes::default(), 3001).unwrap();
    queue.push_exposure("default", &ARM, "two", &Attributes::default(), 3007).unwrap();
    found.push((5, frame(&queue).frame.time_ms));

    assert_eq!(vec![(1, 1000), (2, 2000), (3, 2000), (4, 3000), (5, 3007)], found);
}

#[test]
fn an_eighth_is_kept_for_assign_and_controls_always_pass() {
    let queue = queue(64 << 10);
    while queue.push_batch(batch(10, 0)).is_ok() {}
    let batches = queue.held_bytes();
    let mut exposures = 0;
    while queue.push_exposure("default", &ARM, "entity", &Attributes::default(), 0).is_ok() {
        exposures += 1;
    }

    assert!(batches <= 56 << 10 && batches > 54 << 10, "{batches}");
    assert!((300..400).contains(&exposures), "{exposures}");
    assert!(queue.held_bytes() <= 64 << 10);
    assert_eq!(Err(QueueError::Full), queue.push_batch(batch(0, 0)));
    assert!(queue.push_control(control(0)).is_ok());
}

#[test]
fn room_is_free_again_when_the_frame_is_done_with_and_not_before() {
    let queue = queue(64 << 10);
    while queue.push_batch(batch(10, 0)).is_ok() {}
    let pending = frame(&queue);

    assert_eq!(Err(QueueError::Full), queue.push_batch(batch(10, 0)));
    drop(pending);
    assert_eq!(0, queue.held_bytes());
    assert!(queue.push_batch(batch(10, 0)).is_ok());
}

/// Callers choose how long attributes are; memory must stay bounded whatever they choose.
#[test]
fn attributes_and_identities_count_against_the_bound() {
    let names: Vec<String> = (0..8).map(|index| format!("name-{index}")).collect();
    let kind = |row: i64| Some(Kind::StringValue(format!("{row:0128}")));
    let sent = |row| names.iter().map(|name| (name.clone(), AttributeValue { kind: kind(row) })).collect();
    let queue = queue(1 << 20);
    let mut rows = 0;
    let full = loop {
        let sent: BTreeMap<String, AttributeValue> = sent(rows);
        let attributes = Attributes::select(&sent, &names, &names);
        if let Err(error) = queue.push_exposure("default", &ARM, "entity", &attributes, 0) {
            break error;
        }
        rows += 1;
    };
    let plain = size::batch(&batch(1, 0));
    let mut identified = batch(1, 0);
    let identity = EventIdentity { row: 0, event_id: "x".repeat(128), supersedes: "y".repeat(128) };
    identified.outcomes.as_mut().unwrap().identities.push(identity);

    assert_eq!(QueueError::Full, full);
    assert!((700..1000).contains(&rows), "{rows} rows of 8 texts of 128 bytes");
    assert!(queue.held_bytes() <= 1 << 20);
    assert!(size::batch(&identified) > plain + 256);
    let pending = frame(&queue);
    assert!(pending.encoded.bytes.len() <= queue.held_bytes(), "what is held covers what is stored");
    drop(pending);
    assert_eq!(0, queue.held_bytes());
}

#[test]
fn a_frame_is_bounded_and_the_rest_stays() {
    let queue = queue(DEFAULT_LIMIT_BYTES);
    let rows = 200_000;
    for _ in 0..5 {
        queue.push_batch(batch(rows, 0)).unwrap();
    }
    let frames = [frame(&queue).outcomes, frame(&queue).outcomes, frame(&queue).outcomes];

    assert_eq!([2 * rows, 2 * rows, rows], frames);
}

#[test]
fn exposures_of_assign_fall_into_batches_of_a_megabyte() {
    let queue = queue(DEFAULT_LIMIT_BYTES);
    for _ in 0..10_000 {
        queue.push_exposure("default", &ARM, &"x".repeat(256), &Attributes::default(), 0).unwrap();
    }

    assert_eq!(3, frame(&queue).frame.entries.len());
}

#[test]
fn one_entry_larger_than_a_frame_still_leaves() {
    let queue = queue(DEFAULT_LIMIT_BYTES);
    queue.push_batch(batch(1_000_000, 0)).unwrap();

    assert_eq!(1_000_000, frame(&queue).outcomes);
}

#[test]
fn a_closed_queue_gives_what_it_has_and_takes_nothing() {
    let queue = queue(DEFAULT_LIMIT_BYTES);
    queue.push_batch(batch(1, 0)).unwrap();
    queue.close();

    assert_eq!(Err(QueueError::Closed), queue.push_batch(batch(1, 0)));
    assert_eq!(Err(QueueError::Closed), queue.push_control(control(0)));
    assert_eq!(Err(QueueError::Closed), queue.push_exposure("default", &ARM, "one", &Attributes::default(), 0));
    assert_eq!(1, frame(&queue).outcomes);
    assert!(matches!(queue.take(Duration::from_secs(60)), Take::Closed));
}

#[test]
fn an_idle_queue_lets_the_writer_go() {
    assert!(matches!(queue(DEFAULT_LIMIT_BYTES).take(Duration::from_millis(1)), Take::TimedOut));
}

#[test]
fn a_sleeping_writer_wakes_for_a_push_and_for_the_end() {
    let queue = queue(DEFAULT_LIMIT_BYTES);
    let outcomes = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut outcomes = 0;
            while let Take::Frame(pending) = queue.take(Duration::from_secs(60)) {
                outcomes += pending.outcomes;
            }
            outcomes
        });
        let callers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..100 {
                        queue.push_batch(batch(1, 0)).unwrap();
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.join().unwrap();
        }
        queue.close();
        writer.join().unwrap()
    });

    assert_eq!(400, outcomes);
}
