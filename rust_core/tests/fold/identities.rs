//! Single outcomes that come again, or in the place of others.

use crate::frames::{Happened, Journal, START_MS, arm, exposed, happened};
use crate::rich::{METRICS, rich};

/// An outcome of `e1` with an event id, in the place of another one or of none.
fn score(value: f64, event_id: &str, supersedes: &str) -> Happened {
    let identity = Some((event_id.to_owned(), supersedes.to_owned()));
    Happened { identity, ..happened("score", "e1", value) }
}

/// Sum, outcomes read, and how many took the place of another one.
fn total(outcomes: &[Happened]) -> (f64, i64, i64) {
    let mut journal = Journal::new(&[rich("exp", "user")]);
    journal.rows(&[exposed(&arm("exp", 1, "a"), "e1")], &[]);
    for outcome in outcomes {
        journal.rows(&[], std::slice::from_ref(outcome));
    }
    let tally = journal.iteration("exp");
    let index = METRICS.iter().position(|metric| metric.name == "score").unwrap();
    let metric = &tally.arms[0].metrics[index];
    let mean = metric.live.as_ref().unwrap().moments.as_ref().unwrap().means[0];
    (mean, metric.events, tally.superseded)
}

/// Upstreams that deliver more than once, whatever batch they do it in, are counted once.
#[test]
fn an_event_id_counts_once() {
    assert_eq!((2.0, 1, 0), total(&[score(2.0, "a", ""), score(2.0, "a", ""), score(9.0, "a", "")]));
    assert_eq!((4.0, 2, 0), total(&[score(2.0, "a", ""), score(2.0, "b", "")]));
}

/// A score that is given again takes the place of the first; the count of outcomes stays.
#[test]
fn an_outcome_takes_the_place_of_another_one_once() {
    assert_eq!((5.0, 1, 1), total(&[score(2.0, "a", ""), score(5.0, "b", "a")]));
    assert_eq!((7.0, 1, 2), total(&[score(2.0, "a", ""), score(5.0, "b", "a"), score(7.0, "c", "b")]));
    // `a` has lost its place to `b`: there is nothing left for `c` to replace.
    assert_eq!((12.0, 2, 1), total(&[score(2.0, "a", ""), score(5.0, "b", "a"), score(7.0, "c", "a")]));
}

/// What is not known, or another event's, is replaced by nothing: the newcomer simply counts.
#[test]
fn an_unknown_outcome_is_replaced_by_nothing() {
    let other = Happened { identity: Some(("a".into(), String::new())), ..happened("done", "e1", 1.0) };

    assert_eq!((5.0, 1, 0), total(&[score(5.0, "b", "a")]));
    assert_eq!((5.0, 1, 0), total(&[other, score(5.0, "b", "a")]));
}

/// Two outcomes may look alike: what takes the place of one leaves the other.
#[test]
fn a_twin_that_waits_stays() {
    let mut journal = Journal::new(&[rich("exp", "user")]);
    journal.rows(&[], &[score(2.0, "a", ""), score(2.0, "twin", ""), score(5.0, "b", "a")]);
    journal.rows(&[exposed(&arm("exp", 1, "a"), "e1")], &[]);
    let tally = journal.iteration("exp");
    let index = METRICS.iter().position(|metric| metric.name == "score").unwrap();
    let metric = &tally.arms[0].metrics[index];

    assert_eq!((2, 7.0), (metric.events, metric.live.as_ref().unwrap().moments.as_ref().unwrap().means[0]));
}

/// An outcome that still waits for its exposure can be replaced as well.
#[test]
fn what_waits_can_be_replaced() {
    let mut journal = Journal::new(&[rich("exp", "user")]);
    journal.rows(&[], &[score(2.0, "a", ""), score(5.0, "b", "a")]);
    journal.rows(&[exposed(&arm("exp", 1, "a"), "e1")], &[]);
    let tally = journal.iteration("exp");
    let index = METRICS.iter().position(|metric| metric.name == "score").unwrap();

    assert_eq!((1, 1), (tally.early, tally.arms[0].metrics[index].events));
    assert_eq!(5.0, tally.arms[0].metrics[index].live.as_ref().unwrap().moments.as_ref().unwrap().means[0]);
    assert_eq!(START_MS, tally.last_outcome_ms);
}

/// One id under several names is one entity, and its outcome no repeat of itself.
#[test]
fn an_id_that_is_named_twice_counts_once() {
    for (entity_id, types) in [("e1", vec!["user"]), ("e1", vec!["task"]), ("e2", vec!["task", "user"])] {
        let named: Vec<_> = types.iter().map(|entity_type| ((*entity_type).to_owned(), "e1".to_owned())).collect();
        let outcome = Happened { entity_id: entity_id.into(), named, ..score(2.0, "a", "") };

        assert_eq!((2.0, 1, 0), total(std::slice::from_ref(&outcome)), "{types:?}");
        assert_eq!((2.0, 1, 0), total(&[outcome.clone(), outcome]), "{types:?}");
    }
}

/// What is named for a type that no iteration has waits for nobody.
#[test]
fn an_id_of_another_type_waits_for_nobody() {
    let mut journal = Journal::new(&[rich("exp", "user")]);
    let named = vec![("task".to_owned(), "e1".to_owned())];
    journal.rows(&[], &[Happened { named, ..happened("score", "e2", 2.0) }]);
    journal.rows(&[exposed(&arm("exp", 1, "a"), "e1")], &[]);

    assert_eq!(0, journal.iteration("exp").early);
}
