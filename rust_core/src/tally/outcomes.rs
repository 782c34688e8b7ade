//! Outcomes of a batch onto the memberships of their entities.

use super::Tally;
use super::events::EventCount;
use super::fold::shard_of;
use super::members::{Link, Outcome, Target};
use super::plan::{EntityType, Namespace, Plans};
use crate::journal::rows::{OutcomeRow, OutcomeRows};
use crate::proto::storage::v1::{Arm, Batch};

/// Rows whose entities are looked up before the first of them is counted. The lookups do not wait
/// for one another, so that the processor fetches their memory side by side; counting does.
const LOOKAHEAD: usize = 32;

/// What the outcomes that name an arm do.
#[derive(Clone, Copy)]
enum Aimed {
    Unknown,
    Counted { target: Target, entity_type: usize },
}

/// An outcome of an entity that may be a member somewhere.
struct Sought {
    row: usize,
    /// Index in the events of the batch.
    event: u32,
    key: u64,
    head: Link,
    outcome: Outcome,
}

/// What rows of a batch refer to, resolved once for all of them.
struct Resolved<'a> {
    arrival_ms: i64,
    types: &'a [EntityType],
    events: Vec<Option<u32>>,
    targets: Vec<Aimed>,
}

impl Tally {
    pub(super) fn fold_outcomes(&mut self, batch: &Batch, events: &[String], targets: &[Arm], rows: OutcomeRows<'_>) {
        let namespace = self.plans.namespace(&batch.namespace);
        let resolved = Resolved {
            arrival_ms: batch.arrival_ms,
            types: namespace.map_or(&[], |namespace| &namespace.types),
            events: events.iter().map(|event| namespace?.event(event)).collect(),
            targets: targets.iter().map(|arm| aimed(namespace, &self.plans, arm)).collect(),
        };
        let mut counts = vec![EventCount::default(); events.len()];
        let mut rows = rows.iter().enumerate().peekable();
        let mut sought = Vec::new();
        let mut matched = None;
        while rows.peek().is_some() {
            for (index, row) in rows.by_ref().take(LOOKAHEAD) {
                // Taken back below for those whose entity is a member.
                if let Some(count) = counts.get_mut(row.event as usize) {
                    count.outcomes += 1;
                    count.unmatched += 1;
                }
                self.unknown_arms += u64::from(!resolved.seek(index, &row, &mut sought));
            }
            for one in &mut sought {
                one.head = shard_of(&mut self.shards, one.key).map_or(Link::NONE, |shard| shard.find(one.key));
            }
            for Sought { row, event, key, head, outcome } in sought.drain(..) {
                let Some(shard) = shard_of(&mut self.shards, key) else { continue };
                if shard.outcome(head, &outcome, &self.plans.iterations) && matched != Some(row) {
                    // Once a row, however many types of entities it names.
                    matched = Some(row);
                    if let Some(count) = counts.get_mut(event as usize) {
                        count.unmatched -= 1;
                    }
                }
            }
        }
        for (event, count) in events.iter().zip(counts) {
            self.events.add(&batch.namespace, event, count);
        }
    }
}

impl Resolved<'_> {
    /// Adds whom the outcome may belong to; `false` if it names an arm that is unknown.
    fn seek(&self, index: usize, row: &OutcomeRow<'_>, sought: &mut Vec<Sought>) -> bool {
        let (target, types) = match row.target.and_then(|target| self.targets.get(target as usize)) {
            None => (None, self.types),
            Some(Aimed::Unknown) => return false,
            Some(Aimed::Counted { target, entity_type }) => {
                (Some(*target), self.types.get(*entity_type..=*entity_type).unwrap_or_default())
            }
        };
        let outcome = Outcome {
            event: self.events.get(row.event as usize).copied().flatten(),
            value: row.value,
            at_ms: self.arrival_ms.saturating_add(row.delay_ms),
            target,
        };
        for entity_type in types {
            let id = entity_id(row, &entity_type.name);
            if !id.is_empty() {
                let key = entity_type.scope.hash(id.as_bytes());
                sought.push(Sought { row: index, event: row.event, key, head: Link::NONE, outcome });
            }
        }
        true
    }
}

fn aimed(namespace: Option<&Namespace>, plans: &Plans, arm: &Arm) -> Aimed {
    let found = namespace.and_then(|namespace| namespace.iteration(&arm.experiment_id, arm.iteration));
    let Some(iteration) = found else { return Aimed::Unknown };
    let Some(plan) = plans.iterations.get(iteration as usize) else { return Aimed::Unknown };
    match plan.variant(&arm.variant_id) {
        None => Aimed::Unknown,
        Some(variant) => Aimed::Counted { target: Target { iteration, variant }, entity_type: plan.entity_type },
    }
}

/// The row's id for an entity type; empty if it has none.
fn entity_id<'a>(row: &OutcomeRow<'a>, entity_type: &str) -> &'a str {
    let named = row.named.iter().find(|named| named.entity_type == entity_type);
    named.map_or(row.entity_id, |named| &named.entity_id)
}
