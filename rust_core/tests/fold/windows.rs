//! When entities settle, and what closes their windows.

use std::collections::BTreeMap;

use klero_core::proto::storage::v1::control::Action;
use klero_core::proto::storage::v1::journal_entry::Kind;
use klero_core::proto::storage::v1::{Epoch, IterationTally, Paused, Resumed, Stopped};

use crate::frames::{Exposed, Happened, Journal, START_MS, arm, control, exposed, happened};
use crate::rich::{METRICS, rich};

const MINUTE_MS: i64 = 60_000;
/// The longest window of the plan.
const LONGEST_MS: i64 = MINUTE_MS;

fn journal() -> Journal {
    Journal::new(&[rich("exp", "user")])
}

fn action(action: Action) -> Kind {
    Kind::Control(control("exp", action))
}

fn expose(journal: &mut Journal, at_ms: i64, entity_ids: &[&str]) {
    let rows: Vec<_> = entity_ids.iter().map(|id| exposed(&arm("exp", 1, "a"), id)).collect();
    journal.put_at(at_ms, vec![Kind::Batch(crate::frames::batch(at_ms, &rows, &[]))]);
}

fn record(journal: &mut Journal, at_ms: i64, outcomes: &[Happened]) {
    journal.put_at(at_ms, vec![Kind::Batch(crate::frames::batch(at_ms, &[], outcomes))]);
}

/// Entities in live and settled values of a metric in the first arm.
fn counted(tally: &IterationTally, name: &str) -> (i64, i64) {
    let metric = tally.arms[0].metrics.iter().find(|metric| metric.metric == name).unwrap();
    let n = |values: &Option<klero_core::proto::storage::v1::Values>| {
        values.as_ref().map_or(0, |values| values.moments.as_ref().map_or(0, |moments| moments.n))
    };
    (n(&metric.live), n(&metric.settled))
}

/// Automatic decisions read settled entities only, and those are the ones whose time is over.
#[test]
fn an_entity_settles_in_the_millisecond_in_which_its_window_closes() {
    let mut journal = journal();
    expose(&mut journal, START_MS, &["e1"]);
    expose(&mut journal, START_MS + 1, &["e2"]);
    for (time_ms, settled, arms) in
        [(LONGEST_MS - 1, 0, 0), (LONGEST_MS, 1, 1), (LONGEST_MS, 1, 1), (LONGEST_MS + 1, 2, 2)]
    {
        journal.put_at(START_MS + time_ms, vec![]);
        let tally = journal.iteration("exp");
        assert_eq!((2, settled), counted(&tally, "success"), "{time_ms}");
        assert_eq!(arms, tally.arms[0].settled, "{time_ms}");
    }
    assert_eq!(None, journal.tally.next_due_ms());
}

/// Outcomes count in the window without its last millisecond, which is when the entity settles.
#[test]
fn the_window_is_open_at_its_end() {
    let mut journal = journal();
    let at = |delay_ms| Happened { delay_ms, ..happened("done", "e1", 1.0) };
    expose(&mut journal, START_MS, &["e1"]);
    record(&mut journal, START_MS, &[at(LONGEST_MS - 1), at(LONGEST_MS)]);
    let tally = journal.iteration("exp");

    assert_eq!((1, 1), (tally.arms[0].metrics[1].events, tally.after_window));
}

/// Somebody has to write a frame when nothing comes: they are told when.
#[test]
fn the_next_closing_is_known() {
    let mut journal = journal();
    assert_eq!(None, journal.tally.next_due_ms());
    expose(&mut journal, START_MS, &["e1"]);
    expose(&mut journal, START_MS + 5, &["e2"]);
    assert_eq!(Some(START_MS + 20_000), journal.tally.next_due_ms());
    journal.put_at(START_MS + 20_000, vec![]);

    assert_eq!(Some(START_MS + 20_005), journal.tally.next_due_ms());
    assert_eq!(START_MS + 5 + LONGEST_MS, journal.iteration("exp").open_until_ms);
}

/// An exposure from the future settles after its own window, and holds nobody else up.
#[test]
fn exposures_out_of_order_wait_for_themselves_alone() {
    let mut journal = journal();
    let ahead = Exposed { delay_ms: 3_600_000, ..exposed(&arm("exp", 1, "a"), "ahead") };
    journal.rows(&[ahead], &[]);
    expose(&mut journal, START_MS + 1, &["e1"]);
    journal.put_at(START_MS + 1 + LONGEST_MS, vec![]);

    assert_eq!(1, journal.iteration("exp").arms[0].settled);
    journal.put_at(START_MS + 3_600_000 + LONGEST_MS, vec![]);
    assert_eq!(2, journal.iteration("exp").arms[0].settled);
}

/// A finished data set comes with its windows long over: its outcomes have ten minutes to follow.
#[test]
fn exposures_from_long_ago_leave_time_for_their_outcomes() {
    let mut journal = journal();
    let past = Exposed { delay_ms: -30 * 86_400_000, ..exposed(&arm("exp", 1, "a"), "e1") };
    journal.rows(&[past], &[]);
    let outcome = Happened { delay_ms: -30 * 86_400_000 - 599_999 + 1000, ..happened("done", "e1", 1.0) };
    record(&mut journal, START_MS + 599_999, &[outcome]);
    journal.put_at(START_MS + 600_000, vec![]);
    let tally = journal.iteration("exp");

    assert_eq!((1, 1), counted(&tally, "success"));
    assert_eq!((0, 0, 1), (tally.late, tally.after_window, tally.arms[0].metrics[1].events));
}

/// After the stop nobody is enrolled, but what was begun with a variant is still coming in.
#[test]
fn windows_go_on_to_fill_after_the_stop() {
    let mut journal = journal();
    expose(&mut journal, START_MS, &["e1"]);
    journal.put_at(START_MS + 10, vec![action(Action::Stopped(Stopped { immediate: false }))]);
    record(&mut journal, START_MS + 20, &[happened("done", "e1", 1.0), happened("cost", "e1", 1.0)]);
    let open = journal.iteration("exp");
    journal.put_at(START_MS + LONGEST_MS, vec![]);
    let closed = journal.iteration("exp");

    assert_eq!((true, false, true), (open.stopped, open.closed, closed.closed));
    assert_eq!(1, closed.arms[0].metrics[1].settled.as_ref().unwrap().nonzero);
    // A metric without window ended with the iteration.
    assert_eq!((0, 1), (closed.arms[0].metrics[0].events, closed.after_stop));
}

/// Who cannot wait closes the windows: final at once, without those entities.
#[test]
fn an_immediate_stop_leaves_out_whoever_is_open() {
    let mut journal = journal();
    expose(&mut journal, START_MS, &["e1"]);
    expose(&mut journal, START_MS + LONGEST_MS, &["e2"]);
    // The catalog says so after a stop that did wait, and once more after a crash.
    for immediate in [false, true, true] {
        journal.put_at(START_MS + LONGEST_MS + 1, vec![action(Action::Stopped(Stopped { immediate }))]);
    }
    record(&mut journal, START_MS + LONGEST_MS + 2, &[happened("done", "e2", 1.0)]);
    journal.put_at(START_MS + 3 * LONGEST_MS, vec![]);
    let tally = journal.iteration("exp");

    assert_eq!((true, 1, 1), (tally.closed, tally.arms[0].settled, tally.late));
    assert_eq!((2, 1), counted(&tally, "success"));
    assert_eq!(None, journal.tally.next_due_ms());
}

/// During a pause everyone gets the control: windows that saw one compare nothing.
#[test]
fn windows_that_overlap_a_pause_are_left_out() {
    let mut journal = journal();
    expose(&mut journal, START_MS, &["before"]);
    expose(&mut journal, START_MS + 30_000, &["inside"]);
    journal.put_at(START_MS + LONGEST_MS, vec![action(Action::Paused(Paused {}))]);
    let end_ms = START_MS + LONGEST_MS + 1000;
    journal.put_at(end_ms, vec![action(Action::Resumed(Resumed {}))]);
    expose(&mut journal, end_ms, &["after"]);
    journal.put_at(end_ms + LONGEST_MS, vec![]);
    let tally = journal.iteration("exp");

    assert_eq!((3, 2), counted(&tally, "success"));
    let whole = journal.tally.breakdown("default", "exp", 1, "model").unwrap();
    assert_eq!(tally.arms, whole.segments[0].arms);
    // One entity, whose windows of 45 and 60 seconds are cut; that of 20 seconds was over before.
    assert_eq!((1, 3), (tally.paused, tally.arms[0].settled));
}

/// Estimates are stratified over epochs: what weights each had must be known for ever.
#[test]
fn epochs_are_remembered_once() {
    let mut journal = journal();
    expose(&mut journal, START_MS, &["before"]);
    let epoch = |number, a| {
        let weights = [("a".to_owned(), a), ("b".to_owned(), 100.0 - a)].into();
        action(Action::Epoch(Epoch { number, weights }))
    };
    // A journal of an earlier version is told of the first epoch after the second.
    journal.put(vec![epoch(2, 80.0), epoch(1, 50.0), epoch(2, 10.0), epoch(1, 10.0)]);
    let found = journal.iteration("exp").epochs;

    assert_eq!(
        vec![(1, START_MS, 50.0), (2, START_MS, 80.0)],
        found.iter().map(|of| (of.epoch, of.opened_ms, of.weights["a"])).collect::<Vec<_>>()
    );
}

/// What the catalog has and the journal lacks is told at the next start, and nothing twice.
#[test]
fn the_state_is_what_controls_have_said() {
    let mut journal = journal();
    let mut state = |time_ms: i64, kind: Option<Action>| {
        journal.put_at(time_ms, kind.map(action).into_iter().collect());
        let found = journal.tally.state("default", "exp", 1).unwrap();
        (found.stopped, found.closed, found.paused, found.epoch)
    };
    let epoch = |number| Some(Action::Epoch(Epoch { number, weights: BTreeMap::new() }));

    assert_eq!((false, false, false, 0), state(START_MS, None));
    assert_eq!((false, false, false, 1), state(START_MS, epoch(1)));
    assert_eq!((false, false, true, 1), state(START_MS, Some(Action::Paused(Paused {}))));
    assert_eq!((false, false, true, 3), state(START_MS, epoch(3)));
    assert_eq!((false, false, true, 3), state(START_MS, epoch(2)));
    assert_eq!((false, false, false, 3), state(START_MS, Some(Action::Resumed(Resumed {}))));
    expose(&mut journal, START_MS, &["open"]);
    let stop = action(Action::Stopped(Stopped { immediate: false }));
    journal.put_at(START_MS, vec![stop]);
    let closed = |journal: &Journal| journal.tally.state("default", "exp", 1).map(|of| (of.stopped, of.closed));
    assert_eq!(Some((true, false)), closed(&journal));
    journal.put_at(START_MS + LONGEST_MS, vec![]);
    assert_eq!(Some((true, true)), closed(&journal));
    assert_eq!(None, journal.tally.state("default", "exp", 2));
}

/// Results by an attribute that was fixed before the treatment.
#[test]
fn a_breakdown_has_the_parts_of_the_whole() {
    let mut journal = journal();
    let row = |id: &str, model: Option<&str>| {
        let texts = model.map(|model| ("model".to_owned(), model.to_owned())).into_iter().collect();
        Exposed { texts, ..exposed(&arm("exp", 1, "a"), id) }
    };
    journal.rows(&[row("e1", Some("large")), row("e2", Some("small")), row("e3", Some("small")), row("e4", None)], &[]);
    // The first exposure decides.
    journal.rows(&[row("e1", Some("small"))], &[happened("cost", "e2", 2.0), happened("cost", "e3", 4.0)]);
    let found = journal.tally.breakdown("default", "exp", 1, "model").unwrap();
    let spent = |at: usize| {
        let moments = found.segments[at].arms[0].metrics[0].live.clone().unwrap().moments.unwrap();
        (found.segments[at].value.as_str(), moments.n, moments.means[0])
    };

    assert_eq!([("", 1, 0.0), ("large", 1, 0.0), ("small", 2, 3.0)], [spent(0), spent(1), spent(2)]);
    assert_eq!(2, found.segments[2].arms[0].metrics[0].events);
    assert_eq!(None, journal.tally.breakdown("default", "exp", 1, "colour"));
}

/// A person's wish to be forgotten must leave no trace in any number, as if they had never come.
#[test]
fn a_forgotten_entity_leaves_no_trace_in_the_values() {
    let rows = |ids: &[&str]| ids.iter().map(|id| exposed(&arm("exp", 1, "a"), id)).collect::<Vec<_>>();
    let outcomes = |ids: &[&str]| ids.iter().map(|id| happened("cost", id, 0.1)).collect::<Vec<_>>();
    let values = |forgotten: bool| {
        let mut journal = journal();
        let ids: &[&str] = if forgotten { &["e1", "e2", "e3"] } else { &["e1", "e3"] };
        journal.rows(&rows(ids), &outcomes(ids));
        journal.put_at(START_MS + 30_000, vec![]);
        if forgotten {
            let key = klero_core::tally::Tally::entity_key(
                &klero_core::tally::Key::new(crate::frames::SECRET),
                "default",
                "e2",
            );
            journal.put_at(
                START_MS + 30_000,
                vec![action(Action::Forgotten(klero_core::proto::storage::v1::Forgotten { key }))],
            );
            record(&mut journal, START_MS + 30_001, &outcomes(&["e2"]));
        }
        journal.put_at(START_MS + LONGEST_MS, vec![]);
        journal.iteration("exp")
    };
    let (with, without) = (values(true), values(false));

    assert_eq!((1, 0), (with.forgotten, without.forgotten));
    assert_eq!(without.arms, with.arms);
    assert_eq!(METRICS.len(), with.arms[0].metrics.len());
}
