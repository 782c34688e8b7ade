//! What can be read from a tally. Reading changes nothing.

use std::collections::BTreeMap;

use super::cell::{Cell, Spread, View};
use super::counts::Counts;
use super::dictionary::Dictionary;
use super::measure::Measure;
use super::plan::Iteration;
use super::{Key, Purpose, Tally};
use crate::comoments::Comoments;
use crate::moments::Moments;
use crate::proto::storage::v1::{
    ArmTally, Breakdown, EpochTally, EventTally, IterationTally, JournalTally, MetricTally, Quarantined, SegmentTally,
    Sketch, Values,
};
use crate::proto::v1;
use crate::sketch::ACCURACY;

/// What the controls in the journal have said of an iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IterationState {
    /// Whether its end is there.
    pub stopped: bool,
    /// Whether it stopped and every window has closed.
    pub closed: bool,
    /// Whether a pause has begun and not ended.
    pub paused: bool,
    /// The highest epoch; 0 if none was told.
    pub epoch: i64,
}

/// Entities and cells of one arm.
struct Arm {
    enrolled: u64,
    settled: u64,
    cells: Vec<Cell>,
}

impl Arm {
    fn new(iteration: &Iteration) -> Self {
        Self { enrolled: 0, settled: 0, cells: iteration.measurement.measures.iter().map(Cell::new).collect() }
    }
}

impl Tally {
    /// Position of the last frame; 0 before the first.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.ledger.position
    }

    /// The latest time of a frame, Unix milliseconds.
    #[must_use]
    pub fn time_ms(&self) -> i64 {
        self.ledger.time_ms
    }

    /// The oldest time that a request id may have, Unix milliseconds; older ones are refused, because
    /// a repeat would not be noticed.
    #[must_use]
    pub fn oldest_request_ms(&self) -> i64 {
        self.ledger.requests.oldest_ms()
    }

    /// When the next window closes, Unix milliseconds; `None` if none is open.
    #[must_use]
    pub fn next_due_ms(&self) -> Option<i64> {
        self.shards.iter().filter_map(|shard| shard.agenda.first()).map(|(due, _, _)| *due).min()
    }

    /// What a control that forgets an entity names it by.
    #[must_use]
    pub fn entity_key(key: &Key, namespace: &str, entity_id: &str) -> u64 {
        key.scope(Purpose::Entity, &[namespace]).hash(entity_id.as_bytes())
    }

    /// What was said of an iteration; `None` if the journal has no start of it.
    #[must_use]
    pub fn state(&self, namespace: &str, experiment_id: &str, number: i64) -> Option<IterationState> {
        let (index, iteration) = self.plans.find(namespace, experiment_id, number)?;
        let mut shards = self.shards.iter().filter_map(|shard| shard.members(index));
        Some(IterationState {
            stopped: iteration.stopped,
            closed: iteration.stopped && shards.all(|members| members.open_until_ms(iteration).is_none()),
            paused: iteration.paused(),
            epoch: iteration.epochs.last().map_or(0, |epoch| epoch.number),
        })
    }

    /// Counts of the whole journal.
    #[must_use]
    pub fn journal(&self) -> JournalTally {
        let ledger = &self.ledger;
        let sum = |of: fn(&super::Shard) -> u64| signed(self.shards.iter().map(of).sum());
        let unmatched = |number: u32| {
            let each = self.shards.iter().filter_map(|shard| shard.unmatched.get(number as usize));
            signed(each.sum())
        };
        let event = |namespace: &str, event: &str, number: u32| EventTally {
            namespace: namespace.to_owned(),
            event: event.to_owned(),
            outcomes: signed(ledger.events.count(number)),
            unmatched: unmatched(number),
        };
        let named = ledger.events.names().map(|(namespace, name, number)| event(namespace, name, number));
        let unlisted = (ledger.events.count(0) > 0).then(|| event("", "", 0));
        JournalTally {
            position: signed(ledger.position),
            time_ms: ledger.time_ms,
            unmatched: sum(|shard| shard.unmatched.iter().sum()),
            repeated_batches: signed(ledger.repeated_batches),
            too_old_batches: signed(ledger.too_old_batches),
            repeated_events: sum(|shard| shard.repeated_events),
            unknown_arms: signed(ledger.unknown_arms),
            early_evicted: sum(|shard| shard.ring.evicted),
            repeated_frames: signed(ledger.repeated_frames),
            quarantined: signed(ledger.quarantined),
            quarantine: ledger
                .quarantine
                .iter()
                .map(|of| Quarantined {
                    position: signed(of.position),
                    entry: signed(of.entry as u64),
                    why: of.why.clone(),
                })
                .collect(),
            next_due_ms: self.next_due_ms().unwrap_or_default(),
            events: named.chain(unlisted).collect(),
        }
    }

    /// What was counted of an iteration; `None` if the journal has no start of it.
    #[must_use]
    pub fn iteration(&self, namespace: &str, experiment_id: &str, number: i64) -> Option<IterationTally> {
        let (index, iteration) = self.plans.find(namespace, experiment_id, number)?;
        let mut arms: Vec<_> = iteration.arms.iter().map(|_| Arm::new(iteration)).collect();
        let mut counts = Counts::default();
        let mut open_until_ms = None;
        for members in self.shards.iter().filter_map(|shard| shard.members(index)) {
            counts.merge(&members.counts);
            open_until_ms = open_until_ms.max(members.open_until_ms(iteration));
            let metrics = iteration.measurement.measures.len();
            let parts = members.enrolled.iter().zip(&members.settled).enumerate();
            for (arm, (at, (enrolled, settled))) in arms.iter_mut().zip(parts) {
                arm.enrolled += enrolled;
                arm.settled += settled;
                for (cell, part) in arm.cells.iter_mut().zip(members.cells.iter().skip(at * metrics)) {
                    cell.merge(part);
                }
            }
        }
        Some(IterationTally {
            position: signed(self.ledger.position),
            time_ms: self.ledger.time_ms,
            arms: messages(iteration, &arms),
            conflicting: signed(counts.conflicting),
            not_randomized: signed(iteration.not_randomized),
            before_exposure: signed(counts.before_exposure),
            after_stop: signed(counts.after_stop),
            last_exposure_ms: counts.last_exposure_ms,
            last_outcome_ms: counts.last_outcome_ms,
            stopped: iteration.stopped,
            exposed_after_stop: signed(iteration.exposed_after_stop),
            conflicting_outcomes: signed(counts.conflicting_outcomes),
            overflow: signed(counts.overflow),
            late: signed(counts.late),
            after_window: signed(counts.after_window),
            early: signed(counts.early),
            out_of_bounds: signed(counts.out_of_bounds),
            superseded: signed(counts.superseded),
            paused: signed(counts.paused),
            forgotten: signed(counts.forgotten),
            closed: iteration.stopped && open_until_ms.is_none(),
            open_until_ms: open_until_ms.unwrap_or_default(),
            epochs: iteration
                .epochs
                .iter()
                .map(|epoch| EpochTally {
                    epoch: epoch.number,
                    opened_ms: epoch.opened_ms,
                    weights: epoch.weights.clone(),
                })
                .collect(),
        })
    }

    /// An iteration by the values of one dimension, gathered from the entities; `None` if the journal
    /// has no start of it, or its plan no such dimension.
    #[must_use]
    pub fn breakdown(&self, namespace: &str, experiment_id: &str, number: i64, dimension: &str) -> Option<Breakdown> {
        let (index, iteration) = self.plans.find(namespace, experiment_id, number)?;
        let at = iteration.plan.dimensions.iter().position(|name| name == dimension)?;
        let stride = iteration.measurement.dimensions;
        let mut segments: BTreeMap<&str, Vec<Arm>> = BTreeMap::new();
        for members in self.shards.iter().filter_map(|shard| shard.members(index)) {
            let text = |row: u32| {
                let number = members.dimensions.get(row as usize * stride + at).copied();
                let texts = members.dictionaries.get(at);
                texts.map_or("", |texts| texts.text(number.unwrap_or(Dictionary::OTHER)))
            };
            let mut last = None;
            members.each_value(iteration, |number, row, metric, value, covariates| {
                let arms = segments
                    .entry(text(number))
                    .or_insert_with(|| iteration.arms.iter().map(|_| Arm::new(iteration)).collect());
                let Some(arm) = arms.get_mut(row.arm as usize) else { return };
                if last.replace(number) != Some(number) {
                    arm.enrolled += 1;
                    let windows = iteration.measurement.windows.len();
                    arm.settled += u64::from(row.settled.count_ones() as usize == windows && windows > 0);
                }
                let events = members.events_of(number, metric, iteration);
                let measure = iteration.measurement.measures.get(metric);
                if let (Some(cell), Some(measure)) = (arm.cells.get_mut(metric), measure) {
                    cell.events += u64::from(events);
                    cell.live.add(measure, value, covariates);
                    if row.has_settled(measure.window, iteration) {
                        cell.settled.add(measure, value, covariates);
                    }
                }
            });
        }
        let segments = segments
            .into_iter()
            .map(|(value, arms)| SegmentTally { value: value.to_owned(), arms: messages(iteration, &arms) });
        Some(Breakdown { segments: segments.collect() })
    }
}

/// Arms with entities, by epoch and variant.
fn messages(iteration: &Iteration, arms: &[Arm]) -> Vec<ArmTally> {
    let mut ordered: Vec<_> = iteration.arms.iter().zip(arms).filter(|(_, arm)| arm.enrolled > 0).collect();
    ordered.sort_by_key(|(key, _)| **key);
    let windows = !iteration.measurement.windows.is_empty();
    ordered
        .into_iter()
        .map(|(key, arm)| ArmTally {
            epoch: key.epoch,
            variant_id: iteration.plan.variant_ids.get(key.variant as usize).cloned().unwrap_or_default(),
            enrolled: signed(arm.enrolled),
            settled: signed(if windows { arm.settled } else { arm.enrolled }),
            metrics: iteration
                .plan
                .metrics
                .iter()
                .zip(iteration.measurement.measures.iter().zip(&arm.cells))
                .map(|(plan, (measure, cell))| MetricTally {
                    metric: plan.name.clone(),
                    events: signed(cell.events),
                    live: Some(values(&cell.live, measure, iteration)),
                    settled: measure.window.map(|_| values(&cell.settled, measure, iteration)),
                })
                .collect(),
        })
        .collect()
}

fn values(view: &View, measure: &Measure, iteration: &Iteration) -> Values {
    let covered = view.covered.as_ref();
    let (moments, sketch) = match &view.spread {
        Spread::Sketch(sketch) => (None, Some(sketch_message(sketch))),
        Spread::One(moments) => {
            let mut all = *moments;
            if let Some(covered) = covered {
                all.merge(&Moments::from_parts(covered.n(), first(covered.means()), first(covered.products())));
            }
            (Some(message(all.n(), &["y"], &[all.mean()], &[all.m2()])), None)
        }
        Spread::Two(moments) => {
            let mut all = moments.clone();
            if let Some(covered) = covered.and_then(two_terms) {
                all.merge(&covered);
            }
            (Some(message(all.n(), &["y", "z"], all.means(), all.products())), None)
        }
    };
    let names = measure.covariates.iter().filter_map(|at| iteration.plan.covariates.get(*at));
    let terms: Vec<String> = ["y", "z"]
        .iter()
        .take(measure.terms())
        .map(|&term| term.to_owned())
        .chain(names.map(|name| format!("x:{name}")))
        .collect();
    Values {
        moments,
        nonzero: signed(view.nonzero),
        missing: signed(view.missing),
        covered: covered.map(|covered| v1::Moments {
            n: signed(covered.n()),
            terms,
            means: covered.means().to_vec(),
            comoments: covered.products().to_vec(),
        }),
        sketch,
    }
}

/// The first two terms alone; the triangle's first row has one entry for each term.
fn two_terms(all: &Comoments) -> Option<Comoments> {
    let terms = all.means().len();
    let product = |at: usize| all.products().get(at).copied();
    Comoments::from_parts(all.n(), all.means().get(..2)?, &[product(0)?, product(1)?, product(terms)?])
}

fn first(numbers: &[f64]) -> f64 {
    numbers.first().copied().unwrap_or_default()
}

fn message(n: u64, terms: &[&str], means: &[f64], comoments: &[f64]) -> v1::Moments {
    v1::Moments {
        n: signed(n),
        terms: terms.iter().map(|&term| term.to_owned()).collect(),
        means: means.to_vec(),
        comoments: comoments.to_vec(),
    }
}

pub(super) fn sketch_message(sketch: &crate::sketch::Sketch) -> Sketch {
    let counts = |side: &BTreeMap<i32, u64>| side.values().map(|count| signed(*count)).collect();
    Sketch {
        accuracy: ACCURACY,
        zeros: signed(sketch.zeros()),
        positive: sketch.positive().keys().copied().collect(),
        positive_counts: counts(sketch.positive()),
        negative: sketch.negative().keys().copied().collect(),
        negative_counts: counts(sketch.negative()),
    }
}

/// Counts of things that took time to count stay below 2^63.
pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
