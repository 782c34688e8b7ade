//! What counts, and where.

use klero_core::proto::storage::v1::journal_entry::Kind;
use klero_core::proto::storage::v1::{Arm, IterationTally};
use klero_core::proto::v1::{DecisionReason, Moments};

use crate::frames::{Exposed, Happened, Journal, START_MS, arm, exposed, frame, happened, started, stopped};

fn journal() -> Journal {
    Journal::new(&[started("exp", "user")])
}

/// Mean of a metric in the arm at `index`.
fn mean(tally: &IterationTally, index: usize, metric: &str) -> f64 {
    let metric = tally.arms[index].metrics.iter().find(|found| found.metric == metric).unwrap();
    metric.live.as_ref().unwrap().moments.as_ref().unwrap().means[0]
}

/// Moments of `spent` in the first arm.
fn spent(tally: &IterationTally) -> Moments {
    tally.arms[0].metrics[1].live.clone().unwrap().moments.unwrap()
}

/// Namespace, event, outcomes and those without exposure.
fn seen(journal: &Journal) -> Vec<(&'static str, &'static str, i64, i64)> {
    let known = |text: String| *["default", "other", "cost"].iter().find(|known| **known == text).unwrap();
    let events = journal.tally.journal().events.into_iter();
    events.map(|of| (known(of.namespace), known(of.event), of.outcomes, of.unmatched)).collect()
}

fn events(tally: &IterationTally, metric: usize) -> i64 {
    tally.arms.iter().map(|arm| arm.metrics[metric].events).sum()
}

/// Who analyses reads arms by epoch, then in the order of the plan, and empty ones not at all.
#[test]
fn arms_are_in_order_and_have_entities() {
    let mut journal = journal();
    journal.rows(
        &[exposed(&arm("exp", 2, "a"), "e1"), exposed(&arm("exp", 1, "b"), "e2"), exposed(&arm("exp", 1, "a"), "e3")],
        &[],
    );
    // Known already: no arm of epoch 3 comes of it.
    journal.rows(&[exposed(&arm("exp", 3, "a"), "e1")], &[]);
    let tally = journal.iteration("exp");
    let found: Vec<_> = tally.arms.iter().map(|arm| (arm.epoch, arm.variant_id.as_str(), arm.enrolled)).collect();

    assert_eq!(vec![(1, "a", 1), (1, "b", 1), (2, "a", 1)], found);
    assert_eq!((0, START_MS, 2), (tally.conflicting, tally.last_exposure_ms, tally.position - 1));
}

/// A conversion is at least one outcome other than 0, a sum all of them; both count what they read.
#[test]
fn outcomes_become_totals() {
    let mut journal = journal();
    let a = arm("exp", 1, "a");
    journal.rows(&[exposed(&a, "e1"), exposed(&a, "e2")], &[]);
    let cases = [("done", 0.0), ("done", 3.0), ("done", 3.0), ("cost", 0.5), ("cost", -0.25), ("unread", 9.0)];
    journal.rows(&[], &cases.map(|(event, value)| happened(event, "e1", value)));
    let tally = journal.iteration("exp");

    assert_eq!([0.5, 0.125, 3.0], ["success", "spent", "amount"].map(|metric| mean(&tally, 0, metric)));
    assert_eq!([3, 2, 3], [0, 1, 2].map(|metric| events(&tally, metric)));
    assert_eq!([1, 1, 1], [0, 1, 2].map(|metric| tally.arms[0].metrics[metric].live.as_ref().unwrap().nonzero));
    assert_eq!(START_MS, tally.last_outcome_ms);
}

/// A total that returns to 0 is that of an entity without outcome.
#[test]
fn nonzero_counts_totals_not_outcomes() {
    let mut journal = journal();
    journal.rows(&[exposed(&arm("exp", 1, "a"), "e1")], &[]);
    journal.rows(&[], &[happened("cost", "e1", 2.0), happened("cost", "e1", -2.0)]);

    assert_eq!(0, journal.iteration("exp").arms[0].metrics[1].live.as_ref().unwrap().nonzero);
}

/// Intention to treat: the first variant keeps the entity and its outcomes.
#[test]
fn a_second_variant_is_a_conflict_counted_once() {
    let mut journal = journal();
    let (a, b) = (arm("exp", 1, "a"), arm("exp", 1, "b"));
    journal.rows(&[exposed(&a, "e1"), exposed(&a, "e1"), exposed(&b, "e1"), exposed(&b, "e1")], &[]);
    journal.rows(&[], &[happened("cost", "e1", 1.0)]);
    let tally = journal.iteration("exp");

    assert_eq!((1, 1), (tally.conflicting, tally.arms.len()));
    assert_eq!(("a", 1.0), (tally.arms[0].variant_id.as_str(), mean(&tally, 0, "spent")));
}

/// Overrides and forced rules are no evidence, until chance chooses for the same entity.
#[test]
fn only_what_chance_chose_is_tallied() {
    let by = |reason: DecisionReason| Arm { reason: reason.into(), ..arm("exp", 1, "a") };
    for (reason, randomized) in [
        (DecisionReason::Unspecified, true),
        (DecisionReason::Split, true),
        (DecisionReason::Sticky, true),
        (DecisionReason::EntityOverride, false),
        (DecisionReason::ExperimentOverride, false),
        (DecisionReason::Rule, false),
    ] {
        let mut journal = journal();
        journal.rows(&[exposed(&by(reason), "e1")], &[]);
        let tally = journal.iteration("exp");
        assert_eq!(i64::from(!randomized), tally.not_randomized, "{reason:?}");
        assert_eq!(usize::from(randomized), tally.arms.len(), "{reason:?}");
        journal.rows(&[exposed(&by(DecisionReason::Split), "e1")], &[]);
        assert_eq!(1, journal.iteration("exp").arms[0].enrolled, "{reason:?}");
    }
}

/// The exposure begins the measurement: what was before it, the variant cannot have caused.
#[test]
fn outcomes_count_from_the_millisecond_of_the_exposure() {
    let mut journal = journal();
    let at = Exposed { delay_ms: 10, ..exposed(&arm("exp", 1, "a"), "e1") };
    let outcome = |delay_ms| Happened { delay_ms, ..happened("done", "e1", 1.0) };
    journal.rows(&[at], &[outcome(9), outcome(10)]);
    let tally = journal.iteration("exp");

    assert_eq!((1, 1), (tally.before_exposure, events(&tally, 0)));
    assert_eq!((START_MS + 10, START_MS + 10), (tally.last_exposure_ms, tally.last_outcome_ms));
}

/// Results are final after the stop: rows behind it in the journal are only counted.
#[test]
fn nothing_changes_after_the_stop() {
    let mut journal = journal();
    let a = arm("exp", 1, "a");
    journal.rows(&[exposed(&a, "e1")], &[happened("cost", "e1", 1.0)]);
    let before = journal.iteration("exp").arms;
    journal.put(vec![Kind::Control(stopped("exp"))]);
    journal
        .rows(&[exposed(&a, "e2"), exposed(&a, "e1")], &[happened("cost", "e1", 5.0), happened("unread", "e1", 5.0)]);
    let tally = journal.iteration("exp");

    assert_eq!(before, tally.arms);
    assert_eq!((true, 2, 1), (tally.stopped, tally.exposed_after_stop, tally.after_stop));
}

/// After a crash the catalog repeats what the journal may lack.
#[test]
fn a_repeated_control_changes_nothing() {
    let mut journal = journal();
    journal.rows(&[exposed(&arm("exp", 1, "a"), "e1")], &[]);
    for control in [started("exp", "user"), stopped("exp"), stopped("exp"), started("exp", "user")] {
        journal.put(vec![Kind::Control(control)]);
    }

    assert!(journal.tally.state("default", "exp", 1).unwrap().stopped);
    assert_eq!(1, journal.iteration("exp").arms[0].enrolled);
}

/// What names something that was never started shows in health instead of vanishing.
#[test]
fn unknown_iterations_and_variants_are_counted() {
    let mut journal = journal();
    let next = Arm { iteration: 2, ..arm("exp", 1, "a") };
    let aimed = Happened { target: Some(next.clone()), ..happened("done", "e1", 1.0) };
    journal.rows(
        &[exposed(&arm("none", 1, "a"), "e1"), exposed(&next, "e1"), exposed(&arm("exp", 1, "c"), "e1")],
        &[aimed],
    );
    journal.put(vec![Kind::Control(stopped("none"))]);

    assert_eq!(5, journal.tally.journal().unknown_arms);
    assert!(journal.iteration("exp").arms.is_empty());
    assert!(journal.tally.iteration("default", "exp", 2).is_none());
    assert!(journal.tally.iteration("other", "exp", 1).is_none());
}

/// The caller of Record need not say which experiments an entity is in.
#[test]
fn an_outcome_reaches_all_experiments_of_its_entities_and_no_other() {
    let mut journal =
        Journal::new(&[started("one", "user"), started("two", "user"), started("run", "run"), started("off", "user")]);
    journal.rows(
        &[
            exposed(&arm("one", 1, "a"), "x"),
            exposed(&arm("two", 1, "b"), "x"),
            exposed(&arm("run", 1, "a"), "x"),
            exposed(&arm("run", 1, "b"), "r"),
            exposed(&arm("off", 1, "a"), "y"),
        ],
        &[],
    );
    let named = |entity_id: &str, entity_type: &str, id: &str| Happened {
        named: vec![(entity_type.into(), id.into())],
        ..happened("cost", entity_id, 1.0)
    };
    journal.rows(
        &[],
        &[happened("cost", "x", 1.0), named("x", "run", "r"), named("", "run", "r"), named("", "other", "x")],
    );
    let costs = |experiment| journal.iteration(experiment).arms.iter().map(|arm| arm.metrics[1].events).collect();

    let found: [Vec<i64>; 4] = ["one", "two", "run", "off"].map(costs);
    assert_eq!([vec![2], vec![2], vec![1, 2], vec![0]], found);
    assert_eq!(vec![("default", "cost", 4, 1)], seen(&journal));
}

/// Finished data sets bring outcomes that belong to one experiment and one variant.
#[test]
fn an_outcome_that_names_its_arm_counts_there_alone() {
    let mut journal = Journal::new(&[started("one", "user"), started("two", "user")]);
    journal.rows(&[exposed(&arm("one", 1, "a"), "x"), exposed(&arm("two", 1, "a"), "x")], &[]);
    let aimed = |arm: Arm, entity_id| Happened { target: Some(arm), ..happened("cost", entity_id, 1.0) };
    journal.rows(
        &[],
        &[
            aimed(arm("one", 1, "a"), "x"),
            // The epoch is that of the exposure, whatever the outcome's sender believes.
            aimed(arm("one", 9, "a"), "x"),
            aimed(arm("one", 1, "b"), "x"),
            aimed(arm("one", 1, "a"), "stranger"),
        ],
    );
    let (one, two) = (journal.iteration("one"), journal.iteration("two"));

    assert_eq!((2, 0), (events(&one, 1), events(&two, 1)));
    assert_eq!((1, 0), (one.conflicting_outcomes, two.conflicting_outcomes));
    assert_eq!(vec![("default", "cost", 4, 1)], seen(&journal));
}

/// A broken client must not turn everyone's mean into infinity.
#[test]
fn a_total_too_large_to_square_keeps_its_last_value() {
    let mut journal = journal();
    journal.rows(&[exposed(&arm("exp", 1, "a"), "e1")], &[]);
    for value in [2.0, f64::MAX, -f64::MAX, 1e141, 3.0] {
        journal.rows(&[], &[happened("cost", "e1", value)]);
    }
    let tally = journal.iteration("exp");

    assert_eq!((3, 2, 5.0), (tally.overflow, events(&tally, 1), mean(&tally, 0, "spent")));
    assert_eq!(vec![0.0], spent(&tally).comoments);
}

/// Teams share a server, not their entities.
#[test]
fn namespaces_do_not_meet() {
    let mut journal = journal();
    journal.rows(&[exposed(&arm("exp", 1, "a"), "e1")], &[]);
    let mut batch = crate::frames::batch(START_MS, &[], &[happened("cost", "e1", 1.0)]);
    batch.namespace = "other".into();
    journal.put(vec![Kind::Batch(batch)]);

    assert_eq!(0, events(&journal.iteration("exp"), 1));
    assert_eq!(vec![("other", "cost", 1, 1)], seen(&journal));
}

/// One huge value that is taken back must not leave its rounding errors in the variance.
#[test]
fn moments_are_rebuilt_where_a_replacement_cancels() {
    let mut journal = journal();
    let ids: Vec<_> = (0..2000).map(|index| format!("e{index}")).collect();
    let a = arm("exp", 1, "a");
    journal.rows(&ids.iter().map(|id| exposed(&a, id)).collect::<Vec<_>>(), &[]);
    journal.rows(&[], &ids.iter().map(|id| happened("cost", id, 1.0)).collect::<Vec<_>>());
    journal.rows(&[], &[happened("cost", "e0", 1e15)]);
    journal.rows(&[], &[happened("cost", "e0", -1e15)]);
    let moments = spent(&journal.iteration("exp"));

    assert_eq!((2000, vec![1.0]), (moments.n, moments.means));
    assert!(moments.comoments[0] < 1e-20, "{:?}", moments.comoments);
}

/// Rounding errors of updates do not pile up: at fixed positions and at the end, moments are those of
/// the totals, whatever way these took.
#[test]
fn moments_are_rebuilt_at_fixed_positions_and_at_the_stop() {
    let a = arm("exp", 1, "a");
    let ids: Vec<_> = (0..300).map(|index| format!("e{index}")).collect();
    let moments = |detour: f64, last: &dyn Fn(&mut Journal)| {
        let mut journal = journal();
        journal.rows(&ids.iter().map(|id| exposed(&a, id)).collect::<Vec<_>>(), &[]);
        for (index, id) in (0..).zip(&ids) {
            // Whole numbers: the total is the same with the detour, only the updates are others.
            journal.rows(&[], &[happened("cost", id, f64::from(index) + detour), happened("cost", id, -detour)]);
        }
        last(&mut journal);
        spent(&journal.iteration("exp"))
    };
    let at = |position: u64| {
        move |journal: &mut Journal| {
            journal.tally.apply(position, &frame(journal.next, START_MS, vec![])).unwrap();
        }
    };
    let stop = |journal: &mut Journal| drop(journal.put(vec![Kind::Control(stopped("exp"))]));

    assert_ne!(moments(0.0, &at((1 << 16) - 1)), moments(7777.0, &at((1 << 16) - 1)));
    assert_eq!(moments(0.0, &at(1 << 16)), moments(7777.0, &at(1 << 16)));
    assert_eq!(moments(0.0, &at((1 << 16) + 9)), moments(7777.0, &at((1 << 16) + 9)));
    assert_eq!(moments(0.0, &stop), moments(7777.0, &stop));
}
