//! Exposures of neighbouring Assign calls, put in the columns of one batch as they come.

use std::hash::{Hash, Hasher};

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

use super::attributes::{AttributeColumns, Attributes};
use super::size;
use crate::proto::storage::v1::{Arm, Batch, ExposureColumns};
use crate::proto::v1::DecisionReason;

/// An arm, borrowed from the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArmRef<'a> {
    /// In the namespace of the exposure.
    pub experiment_id: &'a str,
    /// `Experiment.iteration`.
    pub iteration: i64,
    /// `Allocation.epoch`.
    pub epoch: i64,
    /// The variant given.
    pub variant_id: &'a str,
    /// Why it was given.
    pub reason: DecisionReason,
}

impl ArmRef<'_> {
    fn is(&self, arm: &Arm) -> bool {
        self.variant_id == arm.variant_id
            && self.experiment_id == arm.experiment_id
            && (self.iteration, self.epoch, self.reason as i32) == (arm.iteration, arm.epoch, arm.reason)
    }

    pub(crate) fn to_arm(self) -> Arm {
        Arm {
            experiment_id: self.experiment_id.to_owned(),
            iteration: self.iteration,
            epoch: self.epoch,
            variant_id: self.variant_id.to_owned(),
            reason: self.reason.into(),
        }
    }
}

/// Unkeyed: arms come from definitions, which nobody crafts to collide.
fn hash(experiment_id: &str, iteration: i64, variant_id: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    (experiment_id, iteration, variant_id).hash(&mut hasher);
    hasher.finish()
}

/// A batch that grows at the tail of the queue.
#[derive(Debug)]
pub(super) struct Assigned {
    namespace: String,
    arrival_ms: i64,
    arms: Vec<Arm>,
    index: HashTable<u32>,
    arm: Vec<u32>,
    entity_ids: Vec<u8>,
    entity_id_lengths: Vec<u32>,
    delay_ms: Vec<i64>,
    attributes: AttributeColumns,
}

impl Assigned {
    pub(super) fn new(namespace: &str, arrival_ms: i64) -> Self {
        Self {
            namespace: namespace.to_owned(),
            arrival_ms,
            arms: Vec::new(),
            index: HashTable::new(),
            arm: Vec::new(),
            entity_ids: Vec::new(),
            entity_id_lengths: Vec::new(),
            delay_ms: Vec::new(),
            attributes: AttributeColumns::default(),
        }
    }

    pub(super) fn is_of(&self, namespace: &str) -> bool {
        self.namespace == namespace
    }

    /// Adds a row; answers the bytes of memory of a new arm and of the attributes.
    pub(super) fn push(
        &mut self,
        arm: &ArmRef<'_>,
        entity_id: &str,
        attributes: &Attributes<'_>,
        now_ms: i64,
    ) -> usize {
        let known = self.arms.len();
        let attributes = self.attributes.push(small(self.arm.len()), attributes);
        let at = self.arm_index(arm);
        self.arm.push(at);
        self.entity_ids.extend_from_slice(entity_id.as_bytes());
        self.entity_id_lengths.push(small(entity_id.len()));
        self.delay_ms.push(now_ms.saturating_sub(self.arrival_ms));
        attributes + self.arms.get(known..).map_or(0, size::arms)
    }

    fn arm_index(&mut self, arm: &ArmRef<'_>) -> u32 {
        let at = |index: u32| self.arms.get(index as usize);
        let key = hash(arm.experiment_id, arm.iteration, arm.variant_id);
        if let Some(found) = self.index.find(key, |index| at(*index).is_some_and(|known| arm.is(known))) {
            return *found;
        }
        let index = small(self.arms.len());
        self.index.insert_unique(key, index, |index| {
            at(*index).map_or(0, |known| hash(&known.experiment_id, known.iteration, &known.variant_id))
        });
        self.arms.push(arm.to_arm());
        index
    }

    pub(super) fn into_batch(self) -> Batch {
        let (covariates, dimensions) = self.attributes.finish();
        Batch {
            namespace: self.namespace,
            request_id: bytes::Bytes::new(),
            arrival_ms: self.arrival_ms,
            exposures: Some(ExposureColumns {
                arms: self.arms,
                arm: self.arm,
                entity_ids: self.entity_ids.into(),
                entity_id_lengths: self.entity_id_lengths,
                delay_ms: self.delay_ms,
                covariates,
                dimensions,
            }),
            outcomes: None,
        }
    }
}

/// Rows and ids of one frame stay far below 2^32 bytes: the queue is bounded.
fn small(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_stand_once_and_differ_in_every_field() {
        let arm = ArmRef { experiment_id: "e", iteration: 1, epoch: 1, variant_id: "a", reason: DecisionReason::Split };
        let arms = [
            arm,
            ArmRef { experiment_id: "f", ..arm },
            ArmRef { iteration: 2, ..arm },
            ArmRef { epoch: 2, ..arm },
            ArmRef { variant_id: "b", ..arm },
            ArmRef { reason: DecisionReason::Sticky, ..arm },
        ];
        let mut batch = Assigned::new("default", 100);
        for round in 0..2 {
            for arm in &arms {
                batch.push(arm, "ä1", &Attributes::default(), 100 + round);
            }
        }
        let columns = batch.into_batch().exposures.unwrap();

        assert_eq!(arms.map(ArmRef::to_arm).as_slice(), columns.arms);
        assert_eq!([0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5].as_slice(), columns.arm);
        assert_eq!("ä1".repeat(12).as_bytes(), columns.entity_ids);
        assert_eq!([3; 12].as_slice(), columns.entity_id_lengths);
        assert_eq!([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1].as_slice(), columns.delay_ms);
    }
}
