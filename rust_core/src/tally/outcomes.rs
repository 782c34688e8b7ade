//! Outcomes of a batch onto the memberships of their entities.

use super::Tally;
use super::fold::{Folding, shard_of};
use super::key::{Key, Purpose, Scope};
use super::member::{Link, Outcome, Target};
use super::observer::{FoldedOutcome, Observer};
use super::plan::{Namespace, Plans};
use super::shard::{Arrival, Found, Happened, Identity, Rare, Types};
use crate::journal::rows::{OutcomeRow, OutcomeRows};
use crate::proto::storage::v1::{Arm, Batch};

/// Rows whose entities are looked up before the first of them is counted. The lookups do not wait
/// for one another, so that the processor fetches their memory side by side; counting does.
const LOOKAHEAD: usize = 32;

/// What the outcomes that name an arm do.
#[derive(Clone, Copy)]
enum Aimed {
    Unknown,
    Counted { target: Target, entity_type: u32 },
}

/// An outcome of an entity that may be a member somewhere.
struct Sought {
    row: usize,
    head: Link,
    happened: Happened,
}

/// One event of a batch.
#[derive(Clone, Copy)]
struct Event {
    /// In the namespace, if a metric reads it.
    number: Option<u32>,
    /// Of its name in the ledger.
    name: u32,
    /// Iterations that enrol and read it.
    running: u32,
}

/// What rows of a batch refer to, resolved once for all of them.
struct Resolved<'a> {
    key: &'a Key,
    batch: &'a Batch,
    namespace: Option<&'a Namespace>,
    /// Also without a namespace, in which nobody can be a member: the outcome is counted by name.
    scope: Scope,
    names: &'a [String],
    events: Vec<Event>,
    targets: Vec<Aimed>,
}

/// What a batch's rows came to, for those who listen.
#[derive(Default)]
struct Results {
    /// For one of its entities at least.
    repeated: bool,
    /// For another one.
    fresh: bool,
    matched: bool,
}

impl Tally {
    pub(super) fn fold_outcomes<O: Observer>(
        &mut self,
        batch: &Batch,
        events: &[String],
        targets: &[Arm],
        rows: OutcomeRows<'_>,
        folding: &mut Folding<'_, O>,
    ) {
        let namespace = self.plans.namespace(&batch.namespace);
        let ledger = &mut self.ledger;
        let resolved = Resolved {
            key: &self.key,
            batch,
            namespace,
            scope: self.key.scope(Purpose::Entity, &[&batch.namespace]),
            names: events,
            events: events
                .iter()
                .map(|event| {
                    let number = namespace.and_then(|namespace| namespace.event(event));
                    let running = namespace.zip(number).map_or(0, |(namespace, number)| namespace.running(number));
                    Event { number, name: ledger.events.number(&batch.namespace, event), running }
                })
                .collect(),
            targets: targets.iter().map(|arm| aimed(namespace, &self.plans, arm)).collect(),
        };
        let entity_types = namespace.map_or(0, |namespace| u32::try_from(namespace.types().len()).unwrap_or(0));
        let arrival = Arrival { time_ms: ledger.time_ms, entity_types };
        let mut results: Vec<Results> = Vec::new();
        if O::LISTENS {
            results.resize_with(rows.count(), Results::default);
        }
        let mut pending = rows.iter().enumerate().peekable();
        let mut sought = Vec::new();
        while pending.peek().is_some() {
            for (index, row) in pending.by_ref().take(LOOKAHEAD) {
                if let Some(event) = resolved.events.get(row.event as usize) {
                    ledger.events.add(event.name);
                }
                ledger.unknown_arms += u64::from(!resolved.seek(index, &row, &mut sought));
            }
            for one in &mut sought {
                let shard = shard_of(&mut self.shards, one.happened.key, folding.position);
                one.head = shard.map_or(Link::NONE, |shard| shard.find(one.happened.key));
            }
            for Sought { row, head, happened } in sought.drain(..) {
                let Some(shard) = shard_of(&mut self.shards, happened.key, folding.position) else { continue };
                let found = shard.outcome(head, &happened, arrival, &self.plans.iterations);
                if O::LISTENS
                    && let Some(result) = results.get_mut(row)
                {
                    result.repeated |= found == Found::Repeated;
                    result.fresh |= found != Found::Repeated;
                    result.matched |= found == Found::Matched;
                }
            }
        }
        if O::LISTENS {
            for (row, result) in rows.iter().zip(&results).filter(|(_, result)| result.fresh || !result.repeated) {
                let event = events.get(row.event as usize).map_or("", String::as_str);
                let target = row.target.and_then(|target| targets.get(target as usize));
                folding.observer.outcome(FoldedOutcome { batch, row, event, target, matched: result.matched });
            }
        }
    }
}

impl Resolved<'_> {
    /// Adds whom the outcome may belong to; `false` if it names an arm that is unknown.
    fn seek(&self, index: usize, row: &OutcomeRow<'_>, sought: &mut Vec<Sought>) -> bool {
        let Some(event) = self.events.get(row.event as usize) else { return true };
        let aimed = row.target.and_then(|target| self.targets.get(target as usize));
        let target = match aimed {
            None => None,
            Some(Aimed::Unknown) => return false,
            Some(Aimed::Counted { target, entity_type }) => Some((*target, *entity_type)),
        };
        let outcome = Outcome {
            event: event.number,
            value: row.value,
            at_ms: self.batch.arrival_ms.saturating_add(row.delay_ms),
            target: target.map(|(target, _)| target),
        };
        let mut add = |id: &str, types: Types| {
            if id.is_empty() {
                return;
            }
            let identity = row.identity.map(|of| self.identity(id, row.event, &of.event_id, &of.supersedes));
            let plain = identity.is_none() && types == Types::Except(Vec::new());
            let happened = Happened {
                key: self.scope.hash(id.as_bytes()),
                outcome,
                name: event.name,
                running: event.running,
                rare: (!plain).then(|| Box::new(Rare { types, identity })),
            };
            sought.push(Sought { row: index, head: Link::NONE, happened });
        };
        // None: no iteration has entities of this type.
        let number = |name: &str| self.namespace.and_then(|namespace| namespace.entity_type(name));
        if let Some((_, entity_type)) = target {
            let named = row.named.iter().find(|named| number(&named.entity_type) == Some(entity_type));
            add(named.map_or(row.entity_id, |named| &named.entity_id), Types::Only(vec![entity_type]));
            return true;
        }
        // One id under several names is one entity: its outcome must not look like a repeat of itself.
        for (at, of) in row.named.iter().enumerate() {
            let id = &of.entity_id;
            if id != row.entity_id && row.named.iter().take(at).all(|before| before.entity_id != *id) {
                let same = row.named.iter().filter(|other| other.entity_id == *id);
                add(id, Types::Only(same.filter_map(|other| number(&other.entity_type)).collect()));
            }
        }
        let others = row.named.iter().filter(|of| of.entity_id != row.entity_id);
        add(row.entity_id, Types::Except(others.filter_map(|of| number(&of.entity_type)).collect()));
        true
    }

    fn identity(&self, entity_id: &str, event: u32, event_id: &str, supersedes: &str) -> Identity {
        let scope = self.key.scope(Purpose::Event, &[&self.batch.namespace, entity_id]);
        let name = self.names.get(event as usize).map_or("", String::as_str);
        Identity {
            fingerprint: scope.hash(event_id.as_bytes()),
            supersedes: (!supersedes.is_empty()).then(|| scope.hash(supersedes.as_bytes())),
            event: self.key.scope(Purpose::Event, &[&self.batch.namespace]).hash(name.as_bytes()),
        }
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
