//! The fold against maps of entities and sums over them.

use std::collections::BTreeMap;

use klero_core::proto::storage::v1::IterationTally;
use klero_core::proto::storage::v1::journal_entry::Kind;
use klero_core::proto::v1::DecisionReason;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use prost::Message;

use crate::frames::{Exposed, Happened, Journal, START_MS, arm, batch, happened, started, stopped};

const EXPERIMENTS: [(&str, &str); 3] = [("one", "user"), ("two", "user"), ("run", "run")];
const METRICS: [(&str, &str); 3] = [("success", "done"), ("spent", "cost"), ("amount", "done")];

#[derive(Clone, Debug)]
enum Step {
    Expose(Exposed),
    Happen(Happened),
    Stop(&'static str),
}

#[derive(Default)]
struct Member {
    epoch: i64,
    variant: String,
    at_ms: i64,
    conflicting: bool,
    totals: [f64; 3],
    events: [i64; 3],
}

#[derive(Default)]
struct Model {
    members: BTreeMap<(String, String), Member>,
    stopped: Vec<String>,
    before_exposure: BTreeMap<String, i64>,
    after_stop: BTreeMap<String, i64>,
    exposed_after_stop: BTreeMap<String, i64>,
    not_randomized: BTreeMap<String, i64>,
    conflicting_outcomes: BTreeMap<String, i64>,
}

fn count(counts: &mut BTreeMap<String, i64>, experiment: &str) {
    *counts.entry(experiment.to_owned()).or_default() += 1;
}

impl Model {
    fn step(&mut self, step: &Step) {
        match step {
            Step::Expose(exposed) => self.expose(exposed),
            Step::Happen(happened) => {
                for (experiment, entity_type) in EXPERIMENTS {
                    self.happen(happened, experiment, entity_type);
                }
            }
            Step::Stop(experiment) => self.stopped.push((*experiment).to_owned()),
        }
    }

    fn expose(&mut self, exposed: &Exposed) {
        let experiment = &exposed.arm.experiment_id;
        if self.stopped.contains(experiment) {
            count(&mut self.exposed_after_stop, experiment);
        } else if exposed.arm.reason() == DecisionReason::Rule {
            count(&mut self.not_randomized, experiment);
        } else {
            let new = Member {
                epoch: exposed.arm.epoch,
                variant: exposed.arm.variant_id.clone(),
                at_ms: START_MS + exposed.delay_ms,
                ..Member::default()
            };
            let member = self.members.entry((experiment.clone(), exposed.entity_id.clone())).or_insert(new);
            member.conflicting |= member.variant != exposed.arm.variant_id;
        }
    }

    fn happen(&mut self, happened: &Happened, experiment: &str, entity_type: &str) {
        let named = happened.named.iter().find(|(named, _)| named == entity_type);
        let id = named.map_or(&happened.entity_id, |(_, id)| id);
        let Some(member) = self.members.get_mut(&(experiment.to_owned(), id.clone())) else { return };
        let target = happened.target.as_ref();
        if target.is_some_and(|arm| arm.experiment_id != experiment) || happened.event == "unread" {
            return;
        }
        if self.stopped.iter().any(|stopped| stopped == experiment) {
            count(&mut self.after_stop, experiment);
        } else if target.is_some_and(|arm| arm.variant_id != member.variant) {
            count(&mut self.conflicting_outcomes, experiment);
        } else if START_MS + happened.delay_ms < member.at_ms {
            count(&mut self.before_exposure, experiment);
        } else {
            for (metric, (name, event)) in METRICS.into_iter().enumerate() {
                if event == happened.event {
                    let total = &mut member.totals[metric];
                    member.events[metric] += 1;
                    match name {
                        "success" => *total = if happened.value == 0.0 { *total } else { 1.0 },
                        _ => *total += happened.value,
                    }
                }
            }
        }
    }

    fn assert_is(&self, experiment: &str, tally: &IterationTally) {
        let of = |counts: &BTreeMap<String, i64>| counts.get(experiment).copied().unwrap_or_default();
        let members: Vec<_> = self.members.iter().filter(|((of, _), _)| of == experiment).map(|(_, m)| m).collect();
        let conflicting = members.iter().filter(|member| member.conflicting).count();
        assert_eq!(i64::try_from(conflicting).unwrap(), tally.conflicting);
        assert_eq!(of(&self.not_randomized), tally.not_randomized);
        assert_eq!(of(&self.before_exposure), tally.before_exposure);
        assert_eq!(of(&self.after_stop), tally.after_stop);
        assert_eq!(of(&self.exposed_after_stop), tally.exposed_after_stop);
        assert_eq!(of(&self.conflicting_outcomes), tally.conflicting_outcomes);
        let mut arms: BTreeMap<(i64, &str), Vec<&Member>> = BTreeMap::new();
        for member in members {
            arms.entry((member.epoch, &member.variant)).or_default().push(member);
        }
        let found: Vec<_> = tally.arms.iter().map(|arm| (arm.epoch, arm.variant_id.as_str())).collect();
        assert_eq!(arms.keys().copied().collect::<Vec<_>>(), found);
        for (members, arm) in arms.values().zip(&tally.arms) {
            let n = i64::try_from(members.len()).unwrap();
            assert_eq!(n, arm.enrolled);
            for (metric, tally) in arm.metrics.iter().enumerate() {
                let totals: Vec<f64> = members.iter().map(|member| member.totals[metric]).collect();
                let nonzero = totals.iter().filter(|total| **total != 0.0).count();
                assert_eq!(METRICS[metric].0, tally.metric);
                assert_eq!(i64::try_from(nonzero).unwrap(), tally.nonzero);
                assert_eq!(members.iter().map(|member| member.events[metric]).sum::<i64>(), tally.events);
                assert_moments(&totals, tally.moments.as_ref().unwrap());
            }
        }
    }
}

/// Two passes over the totals.
#[allow(clippy::cast_precision_loss)]
fn assert_moments(totals: &[f64], found: &klero_core::proto::v1::Moments) {
    let n = totals.len() as f64;
    let mean = totals.iter().sum::<f64>() / n;
    let m2: f64 = totals.iter().map(|total| (total - mean).powi(2)).sum();
    let scale = totals.iter().fold(1.0f64, |scale, total| scale.max(total.abs()));
    assert_eq!(totals.len(), usize::try_from(found.n).unwrap());
    assert!((mean - found.means[0]).abs() <= 1e-9 * scale, "{mean} {found:?}");
    assert!((m2 - found.comoments[0]).abs() <= 1e-9 * scale * scale * n, "{m2} {found:?}");
}

fn entity() -> impl Strategy<Value = String> {
    (0..40u8).prop_map(|index| format!("entität-{index}"))
}

fn exposure() -> impl Strategy<Value = Step> {
    let reason = prop_oneof![9 => Just(DecisionReason::Split), 1 => Just(DecisionReason::Rule)];
    let variant = prop::sample::select(vec!["a", "b"]);
    (prop::sample::select(&EXPERIMENTS[..]), variant, 1..3i64, reason, entity(), -5..5i64).prop_map(
        |((experiment, _), variant, epoch, reason, entity_id, delay_ms)| {
            let arm = klero_core::proto::storage::v1::Arm { reason: reason.into(), ..arm(experiment, epoch, variant) };
            Step::Expose(Exposed { arm, entity_id, delay_ms })
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
    (event, entity(), value, named, target, -5..5i64).prop_map(|(event, id, value, named, target, delay_ms)| {
        Step::Happen(Happened { named: named.into_iter().collect(), target, delay_ms, ..happened(event, &id, value) })
    })
}

fn step() -> impl Strategy<Value = Step> {
    let stop = prop::sample::select(&EXPERIMENTS[..]).prop_map(|(experiment, _)| Step::Stop(experiment));
    prop_oneof![100 => exposure(), 200 => outcome(), 1 => stop]
}

/// The fewest batches that keep the order: a batch has its exposures before its outcomes.
fn kinds(steps: &[Step]) -> Vec<Kind> {
    let mut kinds = Vec::new();
    let (mut exposures, mut outcomes) = (Vec::new(), Vec::new());
    let mut flush = |exposures: &mut Vec<Exposed>, outcomes: &mut Vec<Happened>, control: Option<Kind>| {
        if !exposures.is_empty() || !outcomes.is_empty() {
            kinds.push(Kind::Batch(batch(START_MS, exposures, outcomes)));
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
        }
    }
    flush(&mut exposures, &mut outcomes, None);
    kinds
}

proptest! {
    // The same cases in every run.
    #![proptest_config(ProptestConfig {
        cases: 96,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Everything that is shown rests on this: no row lost, none twice, none in the wrong arm.
    #[test]
    fn the_fold_is_the_model(frames in prop::collection::vec(prop::collection::vec(step(), 1..60), 1..12)) {
        let controls = EXPERIMENTS.map(|(experiment, entity_type)| started(experiment, entity_type));
        let mut journal = Journal::new(&controls);
        let mut all_at_once = Journal::new(&controls);
        let mut model = Model::default();
        for steps in &frames {
            journal.put(kinds(steps));
            for step in steps {
                model.step(step);
            }
        }
        all_at_once.put(frames.iter().flat_map(|steps| kinds(steps)).collect());
        for (experiment, _) in EXPERIMENTS {
            let tally = journal.iteration(experiment);
            model.assert_is(experiment, &tally);
            model.assert_is(experiment, &all_at_once.iteration(experiment));
            prop_assert_eq!(tally.encode_to_vec(), journal.iteration(experiment).encode_to_vec());
        }
    }
}
