//! Frames that cannot be folded change nothing.

use klero_core::proto::storage::v1::control::Action;
use klero_core::proto::storage::v1::journal_entry::Kind;
use klero_core::proto::storage::v1::{Batch, Control, JournalEntry, JournalFrame, MeasurementPlan};
use klero_core::proto::v1::{Aggregation, MetricType};
use klero_core::tally::{EntryResult, FoldError};

use crate::frames::{Journal, START_MS, arm, batch, exposed, frame, happened, plan, started};

fn good() -> Batch {
    batch(START_MS, &[exposed(&arm("exp", 1, "a"), "e2")], &[happened("cost", "e1", 1.0)])
}

fn with_plan(plan: MeasurementPlan) -> Control {
    Control { action: Some(Action::Started(plan)), ..started("exp", "user") }
}

fn unmeasured(kind: MetricType, aggregation: Aggregation) -> Control {
    let mut plan = plan("user");
    plan.metrics[1].r#type = kind.into();
    plan.metrics[1].aggregation = aggregation.into();
    Control { iteration: 2, ..with_plan(plan) }
}

/// The second entry of a frame whose first is good.
fn bad_entries() -> Vec<(&'static str, Option<Kind>)> {
    let mut reason = good();
    reason.exposures.as_mut().unwrap().arms[0].reason = 999;
    let mut short = good();
    short.outcomes.as_mut().unwrap().values.clear();
    let mut text = good();
    text.exposures.as_mut().unwrap().entity_ids = vec![0xff, b'2'].into();
    let id = Batch { request_id: vec![1; 15].into(), ..good() };
    let mut other = plan("user");
    other.metrics.pop();
    vec![
        ("UnknownEntry", None),
        ("UnknownAction", Some(Kind::Control(Control { action: None, ..started("exp", "user") }))),
        ("UnknownReason", Some(Kind::Batch(reason))),
        ("Columns", Some(Kind::Batch(short))),
        ("Columns", Some(Kind::Batch(text))),
        ("RequestId", Some(Kind::Batch(id))),
        ("PlanChanged", Some(Kind::Control(with_plan(other)))),
        ("Metric", Some(Kind::Control(unmeasured(MetricType::Continuous, Aggregation::Unspecified)))),
        ("Metric", Some(Kind::Control(unmeasured(MetricType::Unspecified, Aggregation::Sum)))),
    ]
}

/// One fault must not take the other outcomes of its frame along, nor be overlooked.
#[test]
fn a_bad_entry_is_set_aside_and_named_and_the_others_count() {
    for (expected, kind) in bad_entries() {
        let mut journal = Journal::new(&[started("exp", "user")]);
        journal.rows(&[exposed(&arm("exp", 1, "a"), "e1")], &[]);
        let mut bad = frame(journal.next, START_MS + 1, vec![Kind::Batch(good())]);
        bad.entries.push(JournalEntry { kind });
        bad.entries.push(JournalEntry { kind: Some(Kind::Batch(good())) });
        let entries = journal.tally.apply(journal.next, &bad).unwrap().entries;
        let (found, counts) = (journal.iteration("exp"), journal.tally.journal());

        assert!(format!("{:?}", entries[1]).starts_with(&format!("Quarantined({expected}")), "{expected}: {entries:?}");
        assert_eq!([EntryResult::Counted, EntryResult::Counted], [entries[0].clone(), entries[2].clone()]);
        assert_eq!((2, 2), (found.arms[0].enrolled, found.arms[0].metrics[1].events), "{expected}");
        assert_eq!((1, 3, 1), (counts.quarantined, counts.quarantine[0].position, counts.quarantine[0].entry));
    }
}

/// Two plans for one iteration are as bad inside of a frame.
#[test]
fn a_plan_cannot_change_within_the_frame_that_starts_it() {
    let mut journal = Journal::new(&[]);
    let other = with_plan(MeasurementPlan { entity_type: "run".into(), ..plan("user") });
    let entries = journal.put(vec![Kind::Control(started("exp", "user")), Kind::Control(other)]);

    assert!(matches!(entries[1], EntryResult::Quarantined(FoldError::PlanChanged { .. })));
    assert_eq!(Some(0), journal.tally.state("default", "exp", 1).map(|state| state.epoch));
}

/// A reader stops at what it does not know, and never goes back.
#[test]
fn frames_without_a_known_format_identity_or_place_are_refused() {
    let mut journal = Journal::new(&[started("exp", "user")]);
    let good = frame(2, START_MS, vec![Kind::Batch(good())]);
    let cases = [
        (2, JournalFrame { format: 3, ..good.clone() }, FoldError::UnknownFormat(3)),
        (2, JournalFrame { format: 0, ..good.clone() }, FoldError::UnknownFormat(0)),
        (2, JournalFrame { sequence: 0, ..good.clone() }, FoldError::Identity { length: 16, sequence: 0 }),
        (
            2,
            JournalFrame { incarnation: vec![1; 4].into(), ..good.clone() },
            FoldError::Identity { length: 4, sequence: 2 },
        ),
        (1, good.clone(), FoldError::Position { found: 1, last: 1 }),
        (1 << 40, good.clone(), FoldError::Position { found: 1 << 40, last: 1 }),
    ];
    for (position, frame, expected) in cases {
        assert_eq!(Err(expected), journal.tally.apply(position, &frame));
    }
    assert_eq!(1, journal.tally.position());
}
