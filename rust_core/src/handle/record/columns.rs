//! Checked items to the columns of a journal batch.

use std::collections::HashMap;
use std::hash::Hash;

use super::exposures::CheckedExposure;
use super::outcomes::CheckedOutcome;
use crate::journal::{ArmRef, AttributeColumns};
use crate::proto::storage::v1::{Arm, EventIdentity, ExposureColumns, NamedEntity, OutcomeColumns};

/// Numbers for values in the order in which they first come.
///
/// A map, because a batch may name thousands; the last one is remembered, because it rarely does.
struct Dictionary<T> {
    values: Vec<T>,
    index: HashMap<T, u32>,
    last: Option<(T, u32)>,
}

impl<T: Copy + Eq + Hash> Dictionary<T> {
    fn new() -> Self {
        Self { values: Vec::new(), index: HashMap::new(), last: None }
    }

    fn index(&mut self, value: T) -> u32 {
        if let Some((_, index)) = self.last.filter(|(last, _)| *last == value) {
            return index;
        }
        let next = row(self.values.len());
        let index = *self.index.entry(value).or_insert(next);
        if index == next {
            self.values.push(value);
        }
        self.last = Some((value, index));
        index
    }
}

impl Dictionary<ArmRef<'_>> {
    fn finish(self) -> Vec<Arm> {
        self.values.into_iter().map(ArmRef::to_arm).collect()
    }
}

/// Entity ids behind one another.
#[derive(Default)]
struct Ids {
    bytes: Vec<u8>,
    lengths: Vec<u32>,
}

impl Ids {
    fn push(&mut self, id: &str) {
        self.bytes.extend_from_slice(id.as_bytes());
        self.lengths.push(row(id.len()));
    }
}

pub(super) struct ExposureBuilder<'a> {
    arms: Dictionary<ArmRef<'a>>,
    arm: Vec<u32>,
    ids: Ids,
    delay_ms: Vec<i64>,
    attributes: AttributeColumns,
}

impl<'a> ExposureBuilder<'a> {
    pub(super) fn with_capacity(rows: usize) -> Self {
        Self {
            arms: Dictionary::new(),
            arm: Vec::with_capacity(rows),
            ids: Ids::default(),
            delay_ms: Vec::with_capacity(rows),
            attributes: AttributeColumns::default(),
        }
    }

    pub(super) fn push(&mut self, exposure: &CheckedExposure<'a>) {
        self.attributes.push(row(self.arm.len()), &exposure.attributes);
        let arm = self.arms.index(exposure.arm);
        self.arm.push(arm);
        self.ids.push(exposure.entity_id);
        self.delay_ms.push(exposure.delay_ms);
    }

    pub(super) fn len(&self) -> usize {
        self.arm.len()
    }

    pub(super) fn finish(self) -> ExposureColumns {
        let (covariates, dimensions) = self.attributes.finish();
        ExposureColumns {
            arms: self.arms.finish(),
            arm: self.arm,
            entity_ids: self.ids.bytes.into(),
            entity_id_lengths: self.ids.lengths,
            delay_ms: self.delay_ms,
            covariates,
            dimensions,
        }
    }
}

pub(super) struct OutcomeBuilder<'a> {
    events: Dictionary<&'a str>,
    event: Vec<u32>,
    ids: Ids,
    values: Vec<f64>,
    delay_ms: Vec<i64>,
    named: Vec<NamedEntity>,
    targets: Dictionary<ArmRef<'a>>,
    target: Vec<u32>,
    identities: Vec<EventIdentity>,
}

impl<'a> OutcomeBuilder<'a> {
    pub(super) fn with_capacity(rows: usize) -> Self {
        Self {
            events: Dictionary::new(),
            event: Vec::with_capacity(rows),
            ids: Ids::default(),
            values: Vec::with_capacity(rows),
            delay_ms: Vec::with_capacity(rows),
            named: Vec::new(),
            targets: Dictionary::new(),
            target: Vec::new(),
            identities: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, outcome: &CheckedOutcome<'a>) {
        let at = self.event.len();
        let event = self.events.index(outcome.event);
        self.event.push(event);
        self.ids.push(outcome.entity_id);
        self.values.push(outcome.value);
        self.delay_ms.push(outcome.delay_ms);
        self.named.extend(outcome.entities.iter().map(|(entity_type, entity_id)| NamedEntity {
            row: row(at),
            entity_type: entity_type.clone(),
            entity_id: entity_id.clone(),
        }));
        if !outcome.event_id.is_empty() {
            self.identities.push(EventIdentity {
                row: row(at),
                event_id: outcome.event_id.to_owned(),
                supersedes: outcome.supersedes.to_owned(),
            });
        }
        if let Some(target) = outcome.target {
            // The column begins with the first row that needs it.
            self.target.resize(at, 0);
            self.target.push(self.targets.index(target) + 1);
        } else if !self.target.is_empty() {
            self.target.push(0);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.event.len()
    }

    pub(super) fn finish(self) -> OutcomeColumns {
        OutcomeColumns {
            events: self.events.values.into_iter().map(str::to_owned).collect(),
            event: self.event,
            entity_ids: self.ids.bytes.into(),
            entity_id_lengths: self.ids.lengths,
            values: self.values,
            delay_ms: self.delay_ms,
            named: self.named,
            targets: self.targets.finish(),
            target: self.target,
            identities: self.identities,
        }
    }
}

/// Rows of a batch and bytes of an id are checked to be far below 2^32.
fn row(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
