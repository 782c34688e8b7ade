//! Frames that cannot be folded change nothing.

use klero_core::proto::storage::v1::control::Action;
use klero_core::proto::storage::v1::journal_entry::Kind;
use klero_core::proto::storage::v1::{Batch, Control, JournalEntry, JournalFrame, MeasurementPlan};
use klero_core::proto::v1::{Aggregation, MetricType};
use klero_core::tally::FoldError;

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
        ("Metric", Some(Kind::Control(unmeasured(MetricType::Ratio, Aggregation::Sum)))),
        ("Metric", Some(Kind::Control(unmeasured(MetricType::Continuous, Aggregation::Max)))),
        ("Metric", Some(Kind::Control(unmeasured(MetricType::Unspecified, Aggregation::Sum)))),
    ]
}

/// The writer quarantines a frame whole: half of it must not be in the results.
#[test]
fn one_bad_entry_refuses_the_frame_and_counts_nothing_of_it() {
    for (expected, kind) in bad_entries() {
        let mut journal = Journal::new(&[started("exp", "user")]);
        journal.rows(&[exposed(&arm("exp", 1, "a"), "e1")], &[]);
        let before = journal.iteration("exp");
        let mut bad = frame(journal.next, START_MS + 1, vec![Kind::Batch(good())]);
        bad.entries.push(JournalEntry { kind });
        let error = journal.tally.apply(journal.next, &bad).unwrap_err();

        assert!(format!("{error:?}").starts_with(expected), "{expected}: {error:?}");
        assert_eq!((before, START_MS), (journal.iteration("exp"), journal.tally.time_ms()), "{expected}");
        // Its place and its identity are free for a good one.
        journal.put(vec![Kind::Batch(good())]);
        assert_eq!(2, journal.iteration("exp").arms[0].enrolled, "{expected}");
    }
}

/// Two plans for one iteration are as bad inside of a frame.
#[test]
fn a_plan_cannot_change_within_the_frame_that_starts_it() {
    let mut journal = Journal::new(&[]);
    let other = with_plan(MeasurementPlan { entity_type: "run".into(), ..plan("user") });
    let twice = frame(2, START_MS, vec![Kind::Control(started("exp", "user")), Kind::Control(other)]);

    assert!(matches!(journal.tally.apply(2, &twice), Err(FoldError::PlanChanged { entry: 1, .. })));
    assert_eq!(0, journal.tally.iterations().count());
}

/// A reader stops at what it does not know, and never goes back.
#[test]
fn frames_without_a_known_format_identity_or_place_are_refused() {
    let mut journal = Journal::new(&[started("exp", "user")]);
    let good = frame(2, START_MS, vec![Kind::Batch(good())]);
    let cases = [
        (2, JournalFrame { format: 2, ..good.clone() }, FoldError::UnknownFormat(2)),
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
