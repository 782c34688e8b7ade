//! Histories of a journal by chance: exposures, outcomes and stops of three experiments.

use klero_core::proto::storage::v1::Epoch;
use klero_core::proto::storage::v1::control::Action;
use klero_core::proto::storage::v1::journal_entry::Kind;
use klero_core::proto::v1::DecisionReason;
use proptest::prelude::*;

use crate::frames::{Exposed, Happened, arm, batch, control, exposed, happened, stopped};

pub(crate) const EXPERIMENTS: [(&str, &str); 3] = [("one", "user"), ("two", "user"), ("run", "run")];
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Expose(Exposed),
    Happen(Happened),
    Stop(&'static str),
    /// Number and the control's percent.
    Epoch(&'static str, i64, f64),
}

fn entity() -> impl Strategy<Value = String> {
    (0..40u8).prop_map(|index| format!("entität-{index}"))
}

fn exposure() -> impl Strategy<Value = Step> {
    let reason = prop_oneof![9 => Just(DecisionReason::Split), 1 => Just(DecisionReason::Rule)];
    let variant = prop::sample::select(vec!["a", "b"]);
    let number = prop::option::weighted(0.8, -10.0..10.0f64);
    let delay = prop_oneof![3 => -5..5i64, 1 => -90_000..5_000i64, 1 => Just(-7 * 86_400_000i64)];
    (prop::sample::select(&EXPERIMENTS[..]), variant, 1..3i64, reason, entity(), delay, number).prop_map(
        |((experiment, _), variant, epoch, reason, entity_id, delay_ms, number)| {
            let arm = klero_core::proto::storage::v1::Arm { reason: reason.into(), ..arm(experiment, epoch, variant) };
            let numbers = number.map(|number| ("x".to_owned(), number)).into_iter().collect();
            Step::Expose(Exposed { delay_ms, numbers, ..exposed(&arm, &entity_id) })
        },
    )
}

fn outcome() -> impl Strategy<Value = Step> {
    let event = prop::sample::select(vec!["done", "cost", "unread"]);
    let value = prop_oneof![Just(0.0), Just(1.0), -100.0..100.0f64, Just(1e7), Just(-1e7)];
    let named = prop::option::weighted(0.2, entity().prop_map(|id| ("run".to_owned(), id)));
    let target = prop::option::weighted(
        0.2,
        (prop::sample::select(&EXPERIMENTS[..]), prop::sample::select(vec!["a", "b"]))
            .prop_map(|((experiment, _), variant)| arm(experiment, 1, variant)),
    );
    let delay = prop_oneof![3 => -5..5i64, 1 => -60_000..40_000i64];
    (event, entity(), value, named, target, delay).prop_map(|(event, id, value, named, target, delay_ms)| {
        Step::Happen(Happened { named: named.into_iter().collect(), target, delay_ms, ..happened(event, &id, value) })
    })
}

/// Without a maximum among its readers, and with an entity for every type alike.
fn identified() -> impl Strategy<Value = Step> {
    let id = |numbers: std::ops::Range<u8>| numbers.prop_map(|number| format!("id-{number}"));
    (entity(), 0..1000i32, id(0..12), prop::option::of(id(0..12)), -5_000..1000i64).prop_map(
        |(entity_id, value, event_id, supersedes, delay_ms)| {
            let supersedes = supersedes.filter(|of| *of != event_id).unwrap_or_default();
            // Halves: sums of them are exact in any order.
            let value = f64::from(value) / 2.0;
            Step::Happen(Happened {
                delay_ms,
                identity: Some((event_id, supersedes)),
                ..happened("score", &entity_id, value)
            })
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let stop = prop::sample::select(&EXPERIMENTS[..]).prop_map(|(experiment, _)| Step::Stop(experiment));
    let epoch = (prop::sample::select(&EXPERIMENTS[..]), 1..4i64, 0..100u8)
        .prop_map(|((experiment, _), number, percent)| Step::Epoch(experiment, number, f64::from(percent)));
    prop_oneof![100 => exposure(), 180 => outcome(), 40 => identified(), 1 => stop, 4 => epoch]
}

/// The fewest batches that keep the order: a batch has its exposures before its outcomes.
pub(crate) fn kinds(time_ms: i64, steps: &[Step]) -> Vec<Kind> {
    let mut kinds = Vec::new();
    let (mut exposures, mut outcomes) = (Vec::new(), Vec::new());
    let mut flush = |exposures: &mut Vec<Exposed>, outcomes: &mut Vec<Happened>, control: Option<Kind>| {
        if !exposures.is_empty() || !outcomes.is_empty() {
            kinds.push(Kind::Batch(batch(time_ms, exposures, outcomes)));
        }
        exposures.clear();
        outcomes.clear();
        kinds.extend(control);
    };
    for step in steps {
        match step {
            Step::Expose(exposed) => {
                if !outcomes.is_empty() {
                    flush(&mut exposures, &mut outcomes, None);
                }
                exposures.push(exposed.clone());
            }
            Step::Happen(happened) => outcomes.push(happened.clone()),
            Step::Stop(experiment) => {
                flush(&mut exposures, &mut outcomes, Some(Kind::Control(stopped(experiment))));
            }
            Step::Epoch(experiment, number, percent) => {
                let weights = [("a".to_owned(), *percent), ("b".to_owned(), 100.0 - percent)].into();
                let epoch = Action::Epoch(Epoch { number: *number, weights });
                flush(&mut exposures, &mut outcomes, Some(Kind::Control(control(experiment, epoch))));
            }
        }
    }
    flush(&mut exposures, &mut outcomes, None);
    kinds
}

/// The same steps, each in a batch of its own.
pub(crate) fn single(time_ms: i64, steps: &[Step]) -> Vec<Kind> {
    steps.iter().flat_map(|step| kinds(time_ms, std::slice::from_ref(step))).collect()
}

/// Frames: how much time has gone on, and what they say.
pub(crate) fn history() -> impl Strategy<Value = Vec<(i64, Vec<Step>)>> {
    let pause = prop_oneof![3 => 0..3000i64, 2 => 0..40_000i64, 1 => Just(700_000i64)];
    prop::collection::vec((pause, prop::collection::vec(step(), 0..60)), 1..14)
}
