//! Tallies that are put together from parts taken at different positions.

use bytes::Bytes;
use klero_core::proto::storage::v1::Control;
use klero_core::proto::storage::v1::journal_entry::Kind;
use klero_core::tally::{Found, PARTS, Tally};

use crate::frames::{Exposed, Journal, SECRET, START_MS, arm, exposed, frame, happened};

/// Folds frames, takes parts while doing so (the ledger behind frame `cut`, the others behind later
/// ones in turn), and puts a new tally together from them and the frames behind the ledger.
pub(crate) fn restored_midway(started: &[Control], frames: &[(i64, Vec<Kind>)], cut: usize) -> Journal {
    let first: Vec<_> = started.iter().cloned().map(Kind::Control).collect();
    let all: Vec<_> = std::iter::once((START_MS, first)).chain(frames.iter().cloned()).collect();
    let mut parts: Vec<Vec<Bytes>> = vec![Vec::new(); PARTS];
    let mut tally = Tally::new(SECRET);
    for (position, (time_ms, kinds)) in (1..).zip(&all) {
        tally.apply(position, &frame(position, *time_ms, kinds.clone())).unwrap();
        let behind = usize::try_from(position).unwrap() - 1;
        if behind >= cut {
            for (part, stored) in parts.iter_mut().enumerate() {
                // Two kept of each, the newer one first; the last frame is missing in most.
                let turn = if part == 0 { cut } else { cut + part % (all.len() - cut) };
                if behind == turn {
                    stored.insert(0, tally.part(part).unwrap().encode().into());
                }
            }
        }
    }
    let mut restored = Tally::new(SECRET);
    let mut found = Found::new(parts);
    let position = restored.restore(&mut found);
    assert_eq!((cut as u64 + 1, Vec::new()), (position, found.refused));
    for (position, (time_ms, kinds)) in (1..).zip(&all).skip(cut + 1) {
        restored.apply(position, &frame(position, *time_ms, kinds.clone())).unwrap();
    }
    Journal { tally: restored, next: all.len() as u64 + 1 }
}

type Damage = fn(&mut Vec<Vec<Bytes>>);

fn stored(journal: &Journal) -> Vec<Vec<Bytes>> {
    (0..PARTS).map(|part| vec![journal.tally.part(part).unwrap().encode().into()]).collect()
}

fn small() -> Journal {
    let mut journal = Journal::new(&[crate::rich::rich("exp", "user")]);
    journal.rows(&[exposed(&arm("exp", 1, "a"), "e1")], &[happened("cost", "e1", 1.0)]);
    journal
}

/// A damaged file must be noticed, and must not take the others along: the journal has everything.
#[test]
fn parts_that_cannot_be_used_are_named_and_the_journal_read_instead() {
    let journal = small();
    let cases: [(&str, Damage); 5] = [
        ("damaged", |parts| parts[3][0] = parts[3][0].slice(..parts[3][0].len() - 1)),
        ("damaged", |parts| parts[3][0] = Bytes::new()),
        ("damaged", |parts| {
            let mut flipped = parts[3][0].to_vec();
            flipped[5] ^= 1;
            parts[3][0] = flipped.into();
        }),
        ("part 4, not part 3", |parts| parts[3] = parts[4].clone()),
        ("", |parts| parts[3].clear()),
    ];
    for (said, damage) in cases {
        let mut parts = stored(&journal);
        damage(&mut parts);
        let mut tally = Tally::new(SECRET);
        let mut found = Found::new(parts);

        assert_eq!(0, tally.restore(&mut found), "{said}");
        assert_eq!(usize::from(!said.is_empty()), found.refused.len(), "{said}");
        assert!(found.refused.iter().all(|(part, error)| *part == 3 && error.to_string().contains(said)), "{said}");
        assert_eq!(0, tally.position());
    }
}

/// Two of each part are kept, so that one damaged file costs a longer replay and nothing else.
#[test]
fn an_older_part_steps_in_for_a_damaged_one() {
    let mut journal = small();
    let older = stored(&journal);
    journal.rows(&[exposed(&arm("exp", 1, "b"), "e2")], &[happened("cost", "e2", 3.0)]);
    let mut parts = stored(&journal);
    for (of, older) in parts.iter_mut().zip(older) {
        of.extend(older);
    }
    parts[7][0] = Bytes::from_static(b"nothing");
    let mut restored = Tally::new(SECRET);
    let mut found = Found::new(parts);

    // The ledger must not be ahead of the shard that has only its older part.
    assert_eq!(2, restored.restore(&mut found));
    let again = frame(
        3,
        START_MS,
        vec![Kind::Batch(crate::frames::batch(
            START_MS,
            &[exposed(&arm("exp", 1, "b"), "e2")],
            &[happened("cost", "e2", 3.0)],
        ))],
    );
    restored.apply(3, &again).unwrap();
    assert_eq!(Some(journal.iteration("exp")), restored.iteration("default", "exp", 1));
}

/// Exposures that come late after a restart still settle on time, not behind those before them.
#[test]
fn the_order_of_closing_survives() {
    let mut journal = Journal::new(&[crate::rich::rich("exp", "user")]);
    // So many that every shard has some.
    let rows: Vec<_> = (0..1000).map(|number| exposed(&arm("exp", 1, "a"), &format!("e{number}"))).collect();
    let at = |time_ms: i64, rows: &[Exposed]| vec![Kind::Batch(crate::frames::batch(time_ms, rows, &[]))];
    journal.put_at(START_MS + 1000, at(START_MS + 1000, &rows));
    let mut restored = Tally::new(SECRET);
    assert_eq!(2, restored.restore(&mut Found::new(stored(&journal))));
    let late = at(START_MS + 1500, &[Exposed { delay_ms: -1500, ..exposed(&arm("exp", 1, "a"), "late") }]);
    restored.apply(3, &frame(3, START_MS + 1500, late)).unwrap();
    restored.apply(4, &frame(4, START_MS + 60_500, vec![])).unwrap();

    assert_eq!(1, restored.iteration("default", "exp", 1).unwrap().arms[0].settled);
}
