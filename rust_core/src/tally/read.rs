//! What can be read from a tally. Reading changes nothing.

use super::members::{Cell, Counts};
use super::plan::Iteration;
use super::{EventCount, Tally};
use crate::moments::Moments;
use crate::proto::storage::v1::{ArmTally, IterationTally, MetricTally};
use crate::proto::v1;

/// An iteration that the journal has started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IterationRef<'a> {
    /// Of the experiment.
    pub namespace: &'a str,
    /// The experiment.
    pub experiment_id: &'a str,
    /// `Experiment.iteration`.
    pub iteration: i64,
    /// Whether its end is in the journal as well.
    pub stopped: bool,
}

impl Tally {
    /// Position of the last frame; 0 before the first.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The latest time of a frame, Unix milliseconds.
    #[must_use]
    pub fn time_ms(&self) -> i64 {
        self.time_ms
    }

    /// The oldest time that a request id may have, Unix milliseconds; older ones are refused, because
    /// a repeat would not be noticed.
    #[must_use]
    pub fn oldest_request_ms(&self) -> i64 {
        self.requests.oldest_ms()
    }

    /// Rows and controls that name an iteration without a start, or a variant that its plan lacks.
    #[must_use]
    pub fn unknown_arms(&self) -> u64 {
        self.unknown_arms
    }

    /// Names of events that came in a namespace, in alphabetical order.
    pub fn events_seen(&self, namespace: &str) -> impl Iterator<Item = (&str, EventCount)> {
        self.events.of(namespace)
    }

    /// Outcomes, of all namespaces, whose event came when the bound of names was reached.
    #[must_use]
    pub fn events_unlisted(&self) -> EventCount {
        self.events.unlisted()
    }

    /// All iterations, in the order of their starts.
    pub fn iterations(&self) -> impl Iterator<Item = IterationRef<'_>> {
        self.plans.iterations.iter().map(|iteration| IterationRef {
            namespace: &iteration.namespace,
            experiment_id: &iteration.experiment_id,
            iteration: iteration.number,
            stopped: iteration.stopped,
        })
    }

    /// All that was counted of one iteration; `None` if the journal has no start of it.
    ///
    /// The same journal gives the same bits, however often and whenever it is read.
    #[must_use]
    pub fn iteration(&self, namespace: &str, experiment_id: &str, iteration: i64) -> Option<IterationTally> {
        let (index, iteration) = self.plans.find(namespace, experiment_id, iteration)?;
        let mut counts = Counts::default();
        for members in self.shards.iter().filter_map(|shard| shard.members(index)) {
            counts.merge(&members.counts);
        }
        let mut arms: Vec<_> = iteration.arms.iter().enumerate().collect();
        arms.sort_by_key(|(_, key)| **key);
        let arms = arms.into_iter().filter_map(|(arm, _)| self.arm(index, iteration, arm));
        Some(IterationTally {
            position: signed(self.position),
            time_ms: self.time_ms,
            arms: arms.collect(),
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
        })
    }

    /// `None` if nobody is in the arm.
    fn arm(&self, index: usize, iteration: &Iteration, arm: usize) -> Option<ArmTally> {
        let key = iteration.arms.get(arm)?;
        let members = || self.shards.iter().filter_map(|shard| shard.members(index));
        let enrolled: u64 = members().map(|members| members.enrolled(arm)).sum();
        if enrolled == 0 {
            return None;
        }
        let metrics = iteration.plan.metrics.iter().enumerate().map(|(metric, plan)| {
            let mut all = Cell::default();
            for cell in members().filter_map(|members| members.cell(arm, metric)) {
                all.merge(cell);
            }
            MetricTally {
                metric: plan.name.clone(),
                moments: Some(message(&all.moments)),
                events: signed(all.events),
                nonzero: signed(all.nonzero),
            }
        });
        Some(ArmTally {
            epoch: key.epoch,
            variant_id: iteration.plan.variant_ids.get(key.variant as usize)?.clone(),
            enrolled: signed(enrolled),
            metrics: metrics.collect(),
        })
    }
}

fn message(moments: &Moments) -> v1::Moments {
    v1::Moments {
        n: signed(moments.n()),
        terms: vec!["y".to_owned()],
        means: vec![moments.mean()],
        comoments: vec![moments.m2()],
    }
}

/// Counts of things that took time to count stay below 2^63.
fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
