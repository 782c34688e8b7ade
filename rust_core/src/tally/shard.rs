//! One part of the entities, by their hash; folds by itself, in journal order.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::members::{Link, Members, Outcome};
use super::plan::Iteration;

/// An entity, and its latest membership; the others hang on it.
///
/// 16 bytes: a probe reads one line of memory beside the control bytes.
#[derive(Debug)]
struct Entity {
    key: u64,
    head: Link,
}

/// Entities and, per iteration, those that are in it.
#[derive(Debug, Default)]
pub(super) struct Shard {
    index: HashTable<Entity>,
    /// By the index of the iteration.
    members: Vec<Members>,
    /// Iterations whose moments have cancelled in this frame.
    lost: Vec<u32>,
}

/// An exposure that chance chose, to an iteration that runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exposure {
    pub(super) iteration: u32,
    /// Index in the iteration's arms.
    pub(super) arm: u32,
    pub(super) at_ms: i64,
}

impl Shard {
    /// Enrols the entity, unless it is already a member.
    pub(super) fn expose(&mut self, key: u64, exposure: Exposure, iteration: &Iteration) {
        let slot = exposure.iteration as usize;
        if self.members.len() <= slot {
            self.members.resize_with(slot + 1, Members::default);
        }
        let entry = self.index.entry(spread(key), |entity| entity.key == key, |entity| spread(entity.key));
        let mut head = match &entry {
            Entry::Occupied(known) => known.get().head,
            Entry::Vacant(_) => Link::NONE,
        };
        let last = head;
        while let Some(members) = self.members.get_mut(head.iteration as usize) {
            if head.iteration == exposure.iteration {
                members.expose_again(head.row, exposure.arm, iteration);
                return;
            }
            head = members.next(head.row);
        }
        let Some(members) = self.members.get_mut(slot) else { return };
        let row = members.enrol(exposure.arm, exposure.at_ms, last, iteration.plan.metrics.len());
        let head = Link { iteration: exposure.iteration, row };
        match entry {
            Entry::Occupied(mut known) => known.get_mut().head = head,
            Entry::Vacant(new) => {
                new.insert(Entity { key, head });
            }
        }
    }

    /// The entity's latest membership, [`Link::NONE`] if it has none.
    pub(super) fn find(&self, key: u64) -> Link {
        self.index.find(spread(key), |entity| entity.key == key).map_or(Link::NONE, |entity| entity.head)
    }

    /// Counts an outcome in the iterations that its entity is in, or in the one it names; answers
    /// whether there was any. `link` is the entity's latest membership.
    pub(super) fn outcome(&mut self, mut link: Link, outcome: &Outcome, iterations: &[Iteration]) -> bool {
        let mut matched = false;
        while let (Some(members), Some(iteration)) =
            (self.members.get_mut(link.iteration as usize), iterations.get(link.iteration as usize))
        {
            let at = link;
            link = members.next(at.row);
            if outcome.target.is_some_and(|target| target.iteration != at.iteration) {
                continue;
            }
            matched = true;
            let intact = !members.lost;
            members.outcome(at.row, outcome, iteration);
            if intact && members.lost {
                self.lost.push(at.iteration);
            }
        }
        matched
    }

    /// Computes moments anew where a replacement has cancelled.
    pub(super) fn rebuild_lost(&mut self) {
        for iteration in self.lost.drain(..) {
            if let Some(members) = self.members.get_mut(iteration as usize).filter(|members| members.lost) {
                members.rebuild();
            }
        }
    }

    /// Computes all moments anew that can still change.
    pub(super) fn rebuild_running(&mut self, iterations: &[Iteration]) {
        self.lost.clear();
        for (members, iteration) in self.members.iter_mut().zip(iterations) {
            if !iteration.stopped {
                members.rebuild();
            }
        }
    }

    /// Those in an iteration; `None` if nobody ever was in this or a later one.
    pub(super) fn members(&self, iteration: usize) -> Option<&Members> {
        self.members.get(iteration)
    }

    /// Computes the moments of one iteration anew, for the last time.
    pub(super) fn stop(&mut self, iteration: usize) {
        if let Some(members) = self.members.get_mut(iteration) {
            members.rebuild();
        }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.index.allocation_size() + self.members.iter().map(Members::bytes).sum::<usize>()
    }
}

/// Hash for the table: the high bits of a key are those of its shard, and the table reads them.
fn spread(key: u64) -> u64 {
    key.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
