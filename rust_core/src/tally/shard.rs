//! One part of the entities, by their hash; folds by itself, in journal order.

use std::collections::BTreeSet;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::early::{self, Early, Ring};
use super::identities::{Identities, Known};
use super::member::{Exposure, Link, Outcome, Target};
use super::members::Members;
use super::plan::Iteration;

/// An entity, and its latest membership; the others hang on it.
///
/// 16 bytes: a probe reads one line of memory beside the control bytes.
#[derive(Debug)]
pub(super) struct Entity {
    pub(super) key: u64,
    pub(super) head: Link,
}

/// Entities and, per iteration, those that are in it.
#[derive(Debug, Default)]
pub(super) struct Shard {
    /// Last frame that it has.
    pub(super) position: u64,
    pub(super) index: HashTable<Entity>,
    /// By the index of the iteration.
    pub(super) members: Vec<Members>,
    /// When windows close: time, iteration, window; one entry for each that is open.
    pub(super) agenda: BTreeSet<(i64, u32, u16)>,
    pub(super) ring: Ring,
    pub(super) identities: Identities,
    /// By the number of the event's name: outcomes that found no exposure.
    pub(super) unmatched: Vec<u64>,
    pub(super) repeated_events: u64,
    /// Iterations whose moments have cancelled in this frame.
    pub(super) lost: Vec<u32>,
}

/// What an exposure did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exposed {
    /// It enrolled the entity.
    First,
    /// The entity was in this variant before.
    Again,
    /// It was in another variant, and stays there.
    Conflicting,
}

/// Entity types whose memberships an outcome is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Types {
    Only(Vec<u32>),
    /// Those that the outcome names ids of their own for.
    Except(Vec<u32>),
}

impl Types {
    fn admit(&self, entity_type: u32) -> bool {
        match self {
            Self::Only(only) => only.contains(&entity_type),
            Self::Except(named) => !named.contains(&entity_type),
        }
    }
}

/// What an upstream says of an outcome, hashed with its entity.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    pub(super) fingerprint: u64,
    pub(super) supersedes: Option<u64>,
    /// Of the event's name.
    pub(super) event: u64,
}

/// An outcome of one entity.
#[derive(Debug)]
pub(super) struct Happened {
    pub(super) key: u64,
    pub(super) outcome: Outcome,
    /// Number of the event's name.
    pub(super) name: u32,
    /// Iterations that enrol and read the event.
    pub(super) running: u32,
    /// What few outcomes have.
    pub(super) rare: Option<Box<Rare>>,
}

/// What few outcomes bring: ids for single entity types, or an identity.
#[derive(Debug)]
pub(super) struct Rare {
    pub(super) types: Types,
    pub(super) identity: Option<Identity>,
}

/// What all outcomes of a batch share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    /// Time of the frame.
    pub(super) time_ms: i64,
    /// How many entity types the namespace has.
    pub(super) entity_types: u32,
}

/// What became of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Its event id was counted before.
    Repeated,
    /// No exposure of its entity is known, or none that it names.
    Unmatched,
    Matched,
}

impl Shard {
    /// Enrols the entity, unless it is already a member.
    pub(super) fn expose(&mut self, key: u64, exposure: &Exposure<'_>, iteration: &Iteration) -> Exposed {
        let slot = exposure.iteration as usize;
        if self.members.len() <= slot {
            self.members.resize_with(slot + 1, Members::default);
        }
        let entry = self.index.entry(spread(key), |entity| entity.key == key, |entity| spread(entity.key));
        let last = match &entry {
            Entry::Occupied(known) => known.get().head,
            Entry::Vacant(_) => Link::NONE,
        };
        let mut link = last;
        while let Some(members) = self.members.get_mut(link.iteration as usize) {
            if link.iteration == exposure.iteration {
                let other = members.expose_again(link.row, exposure.arm, iteration);
                return if other { Exposed::Conflicting } else { Exposed::Again };
            }
            link = members.next(link.row);
        }
        let Some(members) = self.members.get_mut(slot) else { return Exposed::Again };
        let row = members.enrol(exposure, last, iteration);
        let head = Link { iteration: exposure.iteration, row };
        match entry {
            Entry::Occupied(mut known) => known.get_mut().head = head,
            Entry::Vacant(new) => {
                new.insert(Entity { key, head });
            }
        }
        self.schedule(exposure.iteration, iteration);
        self.count_early(key, head, iteration, exposure.arrived_ms);
        Exposed::First
    }

    /// Counts what came before the exposure.
    fn count_early(&mut self, key: u64, link: Link, iteration: &Iteration, now_ms: i64) {
        let Some(members) = self.members.get_mut(link.iteration as usize) else { return };
        for early in self.ring.of(key, now_ms) {
            let ours = early.entity_type == early::NONE || early.entity_type == iteration.entity_type;
            let target = (early.iteration != early::NONE)
                .then_some(Target { iteration: early.iteration, variant: early.variant });
            if !ours || target.is_some_and(|target| target.iteration != link.iteration) {
                continue;
            }
            let outcome = Outcome { event: Some(early.event), value: early.value, at_ms: early.at_ms, target };
            members.counts.early += u64::from(members.outcome(link.row, &outcome, None, iteration));
        }
        self.note_lost(link.iteration);
    }

    /// The entity's latest membership, [`Link::NONE`] if it has none.
    pub(super) fn find(&self, key: u64) -> Link {
        let head = self.index.find(spread(key), |entity| entity.key == key).map_or(Link::NONE, |entity| entity.head);
        if let Some(members) = self.members.get(head.iteration as usize) {
            // Read now, so that its memory is near when the outcome is counted.
            std::hint::black_box(members.touch(head.row));
        }
        head
    }

    /// Counts an outcome in the iterations that its entity is in, or in the one it names. `link` is the
    /// entity's latest membership.
    pub(super) fn outcome(
        &mut self,
        mut link: Link,
        happened: &Happened,
        arrival: Arrival,
        iterations: &[Iteration],
    ) -> Found {
        let outcome = &happened.outcome;
        let rare = happened.rare.as_deref();
        let mut supersedes = None;
        if let Some(identity) = rare.and_then(|rare| rare.identity) {
            if self.identities.find(identity.fingerprint).is_some() {
                self.repeated_events += 1;
                return Found::Repeated;
            }
            supersedes = self.supersede(happened, identity, arrival);
        }
        let (mut matched, mut reading) = (false, 0);
        while let (Some(members), Some(iteration)) =
            (self.members.get_mut(link.iteration as usize), iterations.get(link.iteration as usize))
        {
            let at = link;
            link = members.next(at.row);
            if outcome.target.is_some_and(|target| target.iteration != at.iteration)
                || rare.is_some_and(|rare| !rare.types.admit(iteration.entity_type))
            {
                continue;
            }
            matched = true;
            let running = !iteration.stopped && outcome.event.is_some_and(|event| iteration.reads(event));
            reading += u32::from(running);
            let intact = !members.lost;
            let elsewhere = |old: &Known| old.target.is_some_and(|target| target.iteration != at.iteration);
            let old = supersedes.as_ref().filter(|old| !elsewhere(old));
            members.outcome(at.row, outcome, old, iteration);
            if intact && members.lost {
                self.lost.push(at.iteration);
            }
        }
        if !matched {
            let name = happened.name as usize;
            if self.unmatched.len() <= name {
                self.unmatched.resize(name + 1, 0);
            }
            if let Some(unmatched) = self.unmatched.get_mut(name) {
                *unmatched += 1;
            }
        }
        if reading < happened.running && !(matched && outcome.target.is_some()) {
            self.keep_early(happened, arrival);
        }
        if matched { Found::Matched } else { Found::Unmatched }
    }

    /// The outcome whose place this one takes; it waits no longer either.
    fn supersede(&mut self, happened: &Happened, identity: Identity, arrival: Arrival) -> Option<Known> {
        let Outcome { value, at_ms, target, .. } = happened.outcome;
        let old = identity.supersedes.and_then(|old| self.identities.take_place_of(old, identity.event));
        self.identities.insert(Known {
            fingerprint: identity.fingerprint,
            event: identity.event,
            value,
            at_ms,
            arrived_ms: arrival.time_ms,
            key: happened.key,
            target,
            superseded: false,
        });
        let old = old?;
        self.ring.take_back(happened.key, |early| early.identity == old.fingerprint);
        Some(old)
    }

    fn keep_early(&mut self, happened: &Happened, arrival: Arrival) {
        let Outcome { event: Some(event), value, at_ms, target, .. } = happened.outcome else { return };
        let early = Early {
            key: happened.key,
            event,
            entity_type: early::NONE,
            iteration: target.map_or(early::NONE, |target| target.iteration),
            variant: target.map_or(early::NONE, |target| target.variant),
            value,
            at_ms,
            arrived_ms: arrival.time_ms,
            identity: happened.rare.as_deref().and_then(|rare| rare.identity).map_or(0, |of| of.fingerprint),
        };
        match happened.rare.as_deref().map(|rare| &rare.types) {
            None => self.ring.push(early),
            Some(Types::Only(only)) => {
                for entity_type in only {
                    self.ring.push(Early { entity_type: *entity_type, ..early });
                }
            }
            Some(Types::Except(named)) => {
                for entity_type in (0..arrival.entity_types).filter(|entity_type| !named.contains(entity_type)) {
                    self.ring.push(Early { entity_type, ..early });
                }
            }
        }
    }

    /// Closes the windows that are due at `time_ms`.
    pub(super) fn settle(&mut self, time_ms: i64, iterations: &[Iteration]) {
        while let Some((due, index, window)) = self.agenda.first().copied()
            && due <= time_ms
        {
            self.agenda.pop_first();
            let (Some(members), Some(iteration)) =
                (self.members.get_mut(index as usize), iterations.get(index as usize))
            else {
                continue;
            };
            if let Some(waiting) = members.waiting.get_mut(usize::from(window)) {
                waiting.scheduled_ms = i64::MAX;
            }
            while let Some(first) = members.first_due(window, iteration)
                && first.0 <= time_ms
            {
                if let Some(waiting) = members.waiting.get_mut(usize::from(window)) {
                    waiting.pop(first);
                }
                members.settle(first.1, window, iteration);
            }
            self.schedule(index, iteration);
        }
    }

    /// Puts the next closing of each window on the agenda.
    pub(super) fn schedule(&mut self, index: u32, iteration: &Iteration) {
        let Some(members) = self.members.get_mut(index as usize) else { return };
        for window in (0..).take(members.waiting.len()) {
            let Some((due, _)) = members.first_due(window, iteration) else { continue };
            let Some(waiting) = members.waiting.get_mut(usize::from(window)) else { continue };
            if due < waiting.scheduled_ms {
                self.agenda.remove(&(waiting.scheduled_ms, index, window));
                self.agenda.insert((due, index, window));
                waiting.scheduled_ms = due;
            }
        }
    }

    fn note_lost(&mut self, iteration: u32) {
        if self.members.get(iteration as usize).is_some_and(|members| members.lost) {
            self.lost.push(iteration);
        }
    }

    /// Computes moments anew where a replacement has cancelled.
    pub(super) fn rebuild_lost(&mut self, iterations: &[Iteration]) {
        for index in self.lost.drain(..) {
            let members = self.members.get_mut(index as usize).filter(|members| members.lost);
            if let (Some(members), Some(iteration)) = (members, iterations.get(index as usize)) {
                members.rebuild(iteration);
            }
        }
    }

    /// Computes all moments anew that can still change.
    pub(super) fn rebuild_open(&mut self, iterations: &[Iteration]) {
        self.lost.clear();
        for (members, iteration) in self.members.iter_mut().zip(iterations) {
            if !iteration.stopped || members.is_open() {
                members.rebuild(iteration);
            }
        }
    }

    /// Computes the moments of an iteration whose enrolment has ended anew, and closes its windows if
    /// they are cut.
    pub(super) fn stop(&mut self, index: usize, iteration: &Iteration) {
        let Some(members) = self.members.get_mut(index) else { return };
        members.rebuild(iteration);
        if iteration.cut {
            for (window, waiting) in (0..).zip(&mut members.waiting) {
                let index = u32::try_from(index).unwrap_or(u32::MAX);
                self.agenda.remove(&(waiting.scheduled_ms, index, window));
                waiting.scheduled_ms = i64::MAX;
                waiting.clear();
            }
        }
    }

    /// Removes all that is known of an entity.
    pub(super) fn forget(&mut self, key: u64, iterations: &[Iteration]) {
        self.ring.take_back(key, |_| true);
        self.identities.forget(key);
        let Ok(entry) = self.index.find_entry(spread(key), |entity| entity.key == key) else { return };
        let (entity, _) = entry.remove();
        let mut link = entity.head;
        while let (Some(members), Some(iteration)) =
            (self.members.get_mut(link.iteration as usize), iterations.get(link.iteration as usize))
        {
            let next = members.next(link.row);
            members.forget(link.row, iteration);
            link = next;
        }
    }

    /// Those in an iteration; `None` if nobody ever was in this or a later one.
    pub(super) fn members(&self, iteration: usize) -> Option<&Members> {
        self.members.get(iteration)
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.index.allocation_size() + self.members.iter().map(Members::bytes).sum::<usize>()
    }
}

/// Hash for the table: the high bits of a key are those of its shard, and the table reads them.
pub(super) fn spread(key: u64) -> u64 {
    key.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
