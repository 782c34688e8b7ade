//! The fold against lists of outcomes and sums over them.

use std::collections::BTreeMap;

use klero_core::proto::storage::v1::{IterationTally, Values};
use klero_core::proto::v1::{DecisionReason, Moments};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use prost::Message;

use crate::frames::{Exposed, Happened, Journal, START_MS};
use crate::histories::{EXPERIMENTS, Step, history, kinds, single};
use crate::restoring::restored_midway;
use crate::rich::{METRICS, Metric, rich};

/// How long outcomes wait for an exposure, and a late exposure for outcomes.
const GRACE_MS: i64 = 600_000;

/// An outcome that counts, in the order in which it came to count.
#[derive(Clone, Debug)]
struct Counted {
    event: String,
    value: f64,
    after_ms: i64,
}

#[derive(Default)]
struct Member {
    epoch: i64,
    variant: String,
    at_ms: i64,
    arrived_ms: i64,
    covariate: Option<f64>,
    conflicting: bool,
    /// By metric.
    counted: Vec<Vec<Counted>>,
    events: Vec<i64>,
}

impl Member {
    fn due_ms(&self, metric: &Metric) -> i64 {
        let lag = (self.arrived_ms - self.at_ms).clamp(0, GRACE_MS);
        (self.at_ms + metric.window_ms).max(if lag > 0 { self.arrived_ms + lag } else { i64::MIN })
    }

    fn settled(&self, metric: &Metric, time_ms: i64) -> bool {
        metric.window_ms > 0 && self.due_ms(metric) <= time_ms
    }
}

/// An outcome that came, as it came.
struct Past {
    happened: Happened,
    arrived_ms: i64,
    at_ms: i64,
}

#[derive(Default)]
struct Model {
    time_ms: i64,
    members: BTreeMap<(String, String), Member>,
    past: Vec<Past>,
    /// By entity and event id: event, value, time.
    identities: BTreeMap<(String, String), (String, f64, i64)>,
    stopped: Vec<String>,
    /// By experiment and number: the control's percent.
    epochs: BTreeMap<(String, i64), f64>,
    counts: BTreeMap<(String, &'static str), i64>,
}

impl Model {
    fn count(&mut self, experiment: &str, what: &'static str) {
        *self.counts.entry((experiment.to_owned(), what)).or_default() += 1;
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Expose(exposed) => self.expose(exposed),
            Step::Happen(happened) => self.happen(happened),
            Step::Stop(experiment) => self.stopped.push((*experiment).to_owned()),
            Step::Epoch(experiment, number, percent) => {
                self.epochs.entry(((*experiment).to_owned(), *number)).or_insert(*percent);
            }
        }
    }

    fn expose(&mut self, exposed: &Exposed) {
        let experiment = exposed.arm.experiment_id.clone();
        if self.stopped.contains(&experiment) {
            return self.count(&experiment, "exposed_after_stop");
        }
        if exposed.arm.reason() == DecisionReason::Rule {
            return self.count(&experiment, "not_randomized");
        }
        let key = (experiment.clone(), exposed.entity_id.clone());
        if let Some(member) = self.members.get_mut(&key) {
            member.conflicting |= member.variant != exposed.arm.variant_id;
            return;
        }
        let member = Member {
            epoch: exposed.arm.epoch,
            variant: exposed.arm.variant_id.clone(),
            at_ms: self.time_ms + exposed.delay_ms,
            arrived_ms: self.time_ms,
            covariate: exposed.numbers.first().map(|(_, number)| *number),
            counted: vec![Vec::new(); METRICS.len()],
            events: vec![0; METRICS.len()],
            ..Member::default()
        };
        self.members.insert(key, member);
        let past = std::mem::take(&mut self.past);
        let oldest_ms = self.time_ms - GRACE_MS;
        for outcome in past.iter().filter(|past| past.arrived_ms >= oldest_ms) {
            let (_, entity_type) = EXPERIMENTS.into_iter().find(|(id, _)| *id == experiment).unwrap();
            if id_of(&outcome.happened, entity_type) == exposed.entity_id
                && self.apply(&outcome.happened, outcome.at_ms, &experiment, entity_type, None)
            {
                self.count(&experiment, "early");
            }
        }
        self.past = past;
    }

    fn happen(&mut self, happened: &Happened) {
        let at_ms = self.time_ms + happened.delay_ms;
        let mut old = None;
        if let Some((event_id, supersedes)) = &happened.identity {
            let of = |id: &String| (happened.entity_id.clone(), id.clone());
            if self.identities.contains_key(&of(event_id)) {
                return;
            }
            if self.identities.get(&of(supersedes)).is_some_and(|old| old.0 == happened.event) {
                // Its identity stays known, and nothing takes its place a second time.
                old = self.identities.insert(of(supersedes), (String::new(), 0.0, 0));
            }
            self.identities.insert(of(event_id), (happened.event.clone(), happened.value, at_ms));
        }
        let old = old.map(|(_, value, at_ms)| (value, at_ms));
        for (experiment, entity_type) in EXPERIMENTS {
            self.apply(happened, at_ms, experiment, entity_type, old);
        }
        if let (Some(_), Some((_, supersedes))) = (old, &happened.identity) {
            self.past.retain(|past| {
                let same = past.happened.identity.as_ref().is_some_and(|(event_id, _)| event_id == supersedes);
                !(same && past.happened.entity_id == happened.entity_id)
            });
        }
        self.past.push(Past { happened: happened.clone(), arrived_ms: self.time_ms, at_ms });
    }

    /// Whether it counted.
    fn apply(
        &mut self,
        happened: &Happened,
        at_ms: i64,
        experiment: &str,
        entity_type: &str,
        old: Option<(f64, i64)>,
    ) -> bool {
        let key = (experiment.to_owned(), id_of(happened, entity_type).to_owned());
        let target = happened.target.as_ref();
        if happened.event == "unread" || target.is_some_and(|arm| arm.experiment_id != experiment) {
            return false;
        }
        let stopped = self.stopped.iter().any(|stopped| stopped == experiment);
        let Some(member) = self.members.get_mut(&key) else { return false };
        if target.is_some_and(|arm| arm.variant_id != member.variant) {
            self.count(experiment, "conflicting_outcomes");
            return false;
        }
        let after_ms = at_ms - member.at_ms;
        if after_ms < 0 {
            self.count(experiment, "before_exposure");
            return false;
        }
        let mut seen = Vec::new();
        let mut counted = false;
        for (index, metric) in METRICS.iter().enumerate().filter(|(_, metric)| metric.reads(&happened.event)) {
            if metric.window_ms > 0 && after_ms >= metric.window_ms {
                seen.push("after_window");
            } else if metric.window_ms == 0 && stopped {
                seen.push("after_stop");
            } else if member.settled(metric, self.time_ms) {
                seen.push("late");
            } else if !metric.admits(&happened.event, happened.value) {
                seen.push("out_of_bounds");
            } else {
                let list = &mut member.counted[index];
                let new = Counted { event: happened.event.clone(), value: happened.value, after_ms };
                let place = old.and_then(|(value, old_ms)| {
                    let same = |of: &Counted| {
                        of.event == new.event
                            && of.value.to_bits() == value.to_bits()
                            && of.after_ms == old_ms - member.at_ms
                    };
                    list.iter().position(same)
                });
                if let Some(place) = place {
                    list[place] = new;
                    seen.push("superseded");
                } else {
                    list.push(new);
                    member.events[index] += 1;
                }
                counted = true;
            }
        }
        seen.sort_unstable();
        seen.dedup();
        for what in seen {
            self.count(experiment, what);
        }
        counted
    }

    fn assert_is(&self, experiment: &str, tally: &IterationTally) {
        let of = |what| self.counts.get(&(experiment.to_owned(), what)).copied().unwrap_or_default();
        let members: Vec<_> = self.members.iter().filter(|((of, _), _)| of == experiment).map(|(_, m)| m).collect();
        let conflicting = members.iter().filter(|member| member.conflicting).count();
        assert_eq!(i64::try_from(conflicting).unwrap(), tally.conflicting);
        for (what, found) in [
            ("not_randomized", tally.not_randomized),
            ("before_exposure", tally.before_exposure),
            ("after_stop", tally.after_stop),
            ("exposed_after_stop", tally.exposed_after_stop),
            ("conflicting_outcomes", tally.conflicting_outcomes),
            ("late", tally.late),
            ("after_window", tally.after_window),
            ("early", tally.early),
            ("out_of_bounds", tally.out_of_bounds),
            ("superseded", tally.superseded),
        ] {
            assert_eq!(of(what), found, "{what} of {experiment}");
        }
        let epochs: Vec<_> =
            self.epochs.iter().filter(|((of, _), _)| of == experiment).map(|((_, number), a)| (*number, *a)).collect();
        assert_eq!(epochs, tally.epochs.iter().map(|of| (of.epoch, of.weights["a"])).collect::<Vec<_>>());
        let due = |metric: &Metric, member: &Member| metric.window_ms > 0 && !member.settled(metric, self.time_ms);
        let open = members.iter().any(|member| METRICS.iter().any(|metric| due(metric, member)));
        let stopped = self.stopped.iter().any(|stopped| stopped == experiment);
        assert_eq!((stopped && !open, open), (tally.closed, tally.open_until_ms != 0));
        let mut arms: BTreeMap<(i64, &str), Vec<&Member>> = BTreeMap::new();
        for member in members {
            arms.entry((member.epoch, &member.variant)).or_default().push(member);
        }
        let found: Vec<_> = tally.arms.iter().map(|arm| (arm.epoch, arm.variant_id.as_str())).collect();
        assert_eq!(arms.keys().copied().collect::<Vec<_>>(), found);
        for (members, arm) in arms.values().zip(&tally.arms) {
            let done = |member: &&&Member| METRICS.iter().all(|metric| !due(metric, member));
            assert_eq!(i64::try_from(members.len()).unwrap(), arm.enrolled);
            assert_eq!(i64::try_from(members.iter().filter(done).count()).unwrap(), arm.settled);
            for (index, (metric, tally)) in METRICS.iter().zip(&arm.metrics).enumerate() {
                assert_eq!(metric.name, tally.metric);
                assert_eq!(members.iter().map(|member| member.events[index]).sum::<i64>(), tally.events);
                assert_values(index, metric, members, tally.live.as_ref().unwrap());
                let settled: Vec<_> =
                    members.iter().copied().filter(|member| member.settled(metric, self.time_ms)).collect();
                match &tally.settled {
                    Some(found) => assert_values(index, metric, &settled, found),
                    None => assert_eq!(0, metric.window_ms),
                }
            }
        }
    }
}

/// Ids for one entity type: the one named for it, else the plain one.
fn id_of<'a>(happened: &'a Happened, entity_type: &str) -> &'a str {
    let named = happened.named.iter().find(|(named, _)| named == entity_type);
    named.map_or(&happened.entity_id, |(_, id)| id)
}

fn assert_values(index: usize, metric: &Metric, members: &[&Member], found: &Values) {
    let value = |member: &&Member| {
        let outcomes: Vec<_> =
            member.counted[index].iter().map(|of| (of.event.as_str(), of.value, of.after_ms)).collect();
        metric.value(&outcomes)
    };
    let values: Vec<_> = members.iter().filter_map(value).collect();
    let n = i64::try_from(values.len()).unwrap();
    assert_eq!(i64::try_from(members.len()).unwrap() - n, found.missing, "{}", metric.name);
    let nonzero = values.iter().filter(|value| value[0] != 0.0).count();
    assert_eq!(i64::try_from(nonzero).unwrap(), found.nonzero, "{}", metric.name);
    if let Some(sketch) = &found.sketch {
        let counts = sketch.positive_counts.iter().chain(&sketch.negative_counts).sum::<i64>();
        assert_eq!(n, counts + sketch.zeros);
        assert_eq!(
            i64::try_from(values.iter().filter(|value| value[0] < 0.0).count()).unwrap(),
            sketch.negative_counts.iter().sum::<i64>()
        );
        return;
    }
    let terms = metric.terms();
    let vectors: Vec<_> = values.iter().map(|value| value[..terms].to_vec()).collect();
    assert_moments(terms, &vectors, found.moments.as_ref().unwrap());
    if metric.covariate {
        let with = |member: &&Member| Some([value(member)?[0], member.covariate?].to_vec());
        let vectors: Vec<_> = members.iter().filter_map(with).collect();
        assert_moments(2, &vectors, found.covered.as_ref().unwrap());
    }
}

/// Two passes over the values.
#[allow(clippy::cast_precision_loss)]
fn assert_moments(terms: usize, vectors: &[Vec<f64>], found: &Moments) {
    assert_eq!(vectors.len(), usize::try_from(found.n).unwrap());
    if vectors.is_empty() {
        return;
    }
    let n = vectors.len() as f64;
    let scale = vectors.iter().flatten().fold(1.0f64, |scale, value| scale.max(value.abs()));
    let mean = |term: usize| vectors.iter().map(|vector| vector[term]).sum::<f64>() / n;
    let mut comoments = found.comoments.iter();
    for left in 0..terms {
        assert!((mean(left) - found.means[left]).abs() <= 1e-9 * scale, "{} {found:?}", mean(left));
        for right in left..terms {
            let product = |vector: &Vec<f64>| (vector[left] - mean(left)) * (vector[right] - mean(right));
            let (expected, found) = (vectors.iter().map(product).sum::<f64>(), comoments.next().unwrap());
            assert!((expected - found).abs() <= 1e-9 * scale * scale * n, "{expected} {found}");
        }
    }
}

proptest! {
    // The same cases in every run.
    #![proptest_config(ProptestConfig {
        cases: 128,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Everything that is shown rests on this: no row lost, none twice, none in the wrong arm, none
    /// before or after its time.
    #[test]
    fn the_fold_is_the_model(frames in history(), cut in any::<prop::sample::Index>()) {
        let controls = EXPERIMENTS.map(|(experiment, entity_type)| rich(experiment, entity_type));
        let mut journal = Journal::new(&controls);
        let mut one_by_one = Journal::new(&controls);
        let mut model = Model { time_ms: START_MS, ..Model::default() };
        let mut written = Vec::new();
        for (pause_ms, steps) in &frames {
            model.time_ms += pause_ms;
            written.push((model.time_ms, kinds(model.time_ms, steps)));
            journal.put_at(model.time_ms, kinds(model.time_ms, steps));
            one_by_one.put_at(model.time_ms, single(model.time_ms, steps));
            for step in steps {
                model.step(step);
            }
        }
        let restored = restored_midway(&controls, &written, cut.index(written.len()));
        for (experiment, _) in EXPERIMENTS {
            let tally = journal.iteration(experiment);
            model.assert_is(experiment, &tally);
            // Whatever was read in between, in whatever batches, and from whatever checkpoints: the same bits.
            prop_assert_eq!(tally.encode_to_vec(), journal.iteration(experiment).encode_to_vec());
            prop_assert_eq!(tally.encode_to_vec(), one_by_one.iteration(experiment).encode_to_vec());
            prop_assert_eq!(tally.encode_to_vec(), restored.iteration(experiment).encode_to_vec());
        }
        prop_assert_eq!(journal.tally.journal(), restored.tally.journal());
    }
}
