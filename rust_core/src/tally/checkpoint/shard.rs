//! A shard, to a message and back.

use super::super::early::{self, Early, Ring};
use super::super::identities::{Identities, Known};
use super::super::member::{Link, Target};
use super::super::plan::Plans;
use super::super::shard::{Entity, Shard, spread};
use super::{CheckpointError, members};
use crate::proto::storage::v1::{EarlyState, IdentitiesState, ShardState};

pub(super) fn state(shard: &Shard, time_ms: i64) -> ShardState {
    ShardState {
        keys: shard.index.iter().map(|entity| entity.key).collect(),
        heads: shard.index.iter().map(|entity| packed(entity.head)).collect(),
        members: shard.members.iter().map(members::state).collect(),
        early: Some(early_state(&shard.ring, time_ms)),
        identities: Some(identities_state(&shard.identities)),
        unmatched: shard.unmatched.clone(),
        repeated_events: shard.repeated_events,
    }
}

pub(super) fn restored(position: u64, state: ShardState, plans: &Plans) -> Result<Shard, CheckpointError> {
    let mut shard =
        Shard { position, unmatched: state.unmatched, repeated_events: state.repeated_events, ..Shard::default() };
    check(state.keys.len() == state.heads.len(), "entities without memberships")?;
    shard.index.reserve(state.keys.len(), |entity: &Entity| spread(entity.key));
    for (key, head) in state.keys.iter().zip(&state.heads) {
        let entity = Entity { key: *key, head: unpacked(*head) };
        shard.index.insert_unique(spread(*key), entity, |entity| spread(entity.key));
    }
    // A shard that is ahead may have members of iterations that the ledger does not know yet.
    let iterations = plans.iterations.iter().map(Some).chain(std::iter::repeat(None));
    for (of, iteration) in state.members.into_iter().zip(iterations) {
        shard.members.push(members::restored(of, iteration)?);
    }
    for (index, members) in (0..).zip(&shard.members) {
        for (window, waiting) in (0..).zip(&members.waiting) {
            if waiting.scheduled_ms != i64::MAX {
                shard.agenda.insert((waiting.scheduled_ms, index, window));
            }
        }
    }
    shard.ring = ring(&state.early.unwrap_or_default());
    let identities = state.identities.unwrap_or_default();
    // Those of before this column are passed over, because they would let go of every identity.
    check(identities.keys.len() == identities.fingerprints.len(), "identities without entities")?;
    let columns = identities.fingerprints.iter().zip(&identities.events).zip(&identities.values);
    let times = identities.at_ms.iter().zip(&identities.arrived_ms).zip(&identities.superseded);
    let whose = identities.keys.iter().zip(identities.iterations.iter().zip(&identities.variants));
    for ((((fingerprint, event), value), ((at_ms, arrived_ms), superseded)), (key, (iteration, variant))) in
        columns.zip(times).zip(whose)
    {
        shard.identities.insert(Known {
            fingerprint: *fingerprint,
            event: *event,
            value: *value,
            at_ms: *at_ms,
            arrived_ms: *arrived_ms,
            key: *key,
            target: (*iteration != early::NONE).then_some(Target { iteration: *iteration, variant: *variant }),
            superseded: *superseded,
        });
    }
    Ok(shard)
}

fn early_state(ring: &Ring, time_ms: i64) -> EarlyState {
    let mut state = EarlyState { evicted: ring.evicted, ..EarlyState::default() };
    for early in ring.waiting(time_ms) {
        state.keys.push(early.key);
        state.events.push(early.event);
        state.entity_types.push(early.entity_type);
        state.iterations.push(early.iteration);
        state.variants.push(early.variant);
        state.values.push(early.value);
        state.at_ms.push(early.at_ms);
        state.arrived_ms.push(early.arrived_ms);
        state.identities.push(early.identity);
    }
    state
}

fn ring(state: &EarlyState) -> Ring {
    let mut ring = Ring::default();
    let who = state.keys.iter().zip(&state.events).zip(&state.entity_types);
    let target = state.iterations.iter().zip(&state.variants);
    let when = state.at_ms.iter().zip(&state.arrived_ms);
    let what = state.values.iter().zip(&state.identities).zip(when);
    for ((((key, event), entity_type), (iteration, variant)), ((value, identity), (at_ms, arrived_ms))) in
        who.zip(target).zip(what)
    {
        ring.push(Early {
            key: *key,
            event: *event,
            entity_type: *entity_type,
            iteration: *iteration,
            variant: *variant,
            value: *value,
            at_ms: *at_ms,
            arrived_ms: *arrived_ms,
            identity: *identity,
        });
    }
    ring.evicted = state.evicted;
    ring
}

fn identities_state(identities: &Identities) -> IdentitiesState {
    let mut state = IdentitiesState::default();
    for known in identities.iter() {
        state.fingerprints.push(known.fingerprint);
        state.events.push(known.event);
        state.values.push(known.value);
        state.at_ms.push(known.at_ms);
        state.arrived_ms.push(known.arrived_ms);
        state.superseded.push(known.superseded);
        state.keys.push(known.key);
        state.iterations.push(known.target.map_or(early::NONE, |target| target.iteration));
        state.variants.push(known.target.map_or(early::NONE, |target| target.variant));
    }
    state
}

pub(super) fn packed(link: Link) -> u64 {
    u64::from(link.iteration) << 32 | u64::from(link.row)
}

/// Both halves fit by construction.
#[allow(clippy::cast_possible_truncation)]
pub(super) fn unpacked(link: u64) -> Link {
    Link { iteration: (link >> 32) as u32, row: link as u32 }
}

pub(super) fn check(holds: bool, what: &'static str) -> Result<(), CheckpointError> {
    if holds { Ok(()) } else { Err(CheckpointError::Inconsistent(what)) }
}
