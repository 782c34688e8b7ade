//! Rows of a journal for people and their programs: the fold, watched.
//!
//! Repeated batches and outcomes are left out because the fold ignores them, and whoever was
//! forgotten is left out up to the frame that says so.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use serde_json::Value;

use crate::journal::frame;
use crate::memory::ReplayError;
use crate::proto::storage::v1::control::Action;
use crate::proto::storage::v1::journal_entry::Kind;
use crate::proto::storage::v1::{Arm, JournalFrame};
use crate::proto::v1::DecisionReason;
use crate::tally::observer::{FoldedExposure, FoldedOutcome, Observer, Status};
use crate::tally::{Key, Tally};

/// An exposure.
#[derive(Clone, Debug, PartialEq)]
pub struct Exposed {
    /// Of the experiment.
    pub namespace: String,
    /// Which variant of which epoch, and why.
    pub arm: Arm,
    /// Empty if the journal does not know the iteration.
    pub entity_type: String,
    /// Who.
    pub entity_id: String,
    /// Unix milliseconds.
    pub occurred_at_ms: i64,
    /// What it did.
    pub status: Status,
    /// Covariates and dimensions that the plan reads.
    pub attributes: BTreeMap<String, Value>,
}

/// An outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct Happened {
    /// Where it came.
    pub namespace: String,
    /// Whose it is, for entity types that `entities` has not.
    pub entity_id: String,
    /// Ids by entity type.
    pub entities: BTreeMap<String, String>,
    /// What happened.
    pub event: String,
    /// Finite.
    pub value: f64,
    /// Unix milliseconds.
    pub occurred_at_ms: i64,
    /// Empty: none.
    pub event_id: String,
    /// Empty: none.
    pub supersedes: String,
    /// The arm that it names.
    pub target: Option<Arm>,
    /// Whether an exposure of its entity was known when it came.
    pub matched: bool,
}

/// Rows of one frame.
#[derive(Debug, Default)]
pub struct Rows {
    /// In journal order.
    pub exposures: Vec<Exposed>,
    /// In journal order.
    pub outcomes: Vec<Happened>,
}

/// Entities that a frame says to forget: namespace and key.
#[must_use]
pub fn forgotten(frame: &JournalFrame) -> Vec<(String, u64)> {
    let controls = frame.entries.iter().filter_map(|entry| match &entry.kind {
        Some(Kind::Control(control)) => Some(control),
        Some(Kind::Batch(_)) | None => None,
    });
    let forgets = controls.filter_map(|control| match &control.action {
        Some(Action::Forgotten(forgotten)) => Some((control.namespace.clone(), forgotten.key)),
        _ => None,
    });
    forgets.collect()
}

/// Folds a journal from its beginning and shows its rows.
#[derive(Debug)]
pub struct Exporter {
    tally: Tally,
    key: Key,
    /// Position up to which rows of an entity are left out.
    forgotten: HashMap<(String, u64), u64>,
}

impl Exporter {
    /// `forgotten` has what [`forgotten`] found in the whole journal, with the positions of the frames.
    #[must_use]
    pub fn new(secret: [u8; 16], forgotten: Vec<(String, u64, u64)>) -> Self {
        let mut last = HashMap::new();
        for (namespace, key, position) in forgotten {
            let known = last.entry((namespace, key)).or_insert(position);
            *known = position.max(*known);
        }
        Self { tally: Tally::new(secret), key: Key::new(secret), forgotten: last }
    }

    /// Rows of the next frame.
    ///
    /// # Errors
    /// If the frame is damaged, of an unknown format, or does not follow the last one.
    pub fn apply(&mut self, position: u64, crc: u32, body: Bytes) -> Result<Rows, ReplayError> {
        let frame = frame::decode(body, crc)?;
        let mut to_come = HashMap::new();
        for found in forgotten(&frame) {
            *to_come.entry(found).or_default() += 1;
        }
        let mut watching = Watching { of: &self.forgotten, to_come, key: &self.key, position, rows: Rows::default() };
        self.tally.apply_observed(position, &frame, &mut watching)?;
        Ok(watching.rows)
    }
}

struct Watching<'a> {
    of: &'a HashMap<(String, u64), u64>,
    /// How often the rest of this frame says to forget an entity.
    to_come: HashMap<(String, u64), usize>,
    key: &'a Key,
    position: u64,
    rows: Rows,
}

impl Watching<'_> {
    fn is_forgotten(&self, namespace: &str, entity_id: &str) -> bool {
        if self.of.is_empty() {
            return false;
        }
        let who = (namespace.to_owned(), Tally::entity_key(self.key, namespace, entity_id));
        let later = self.of.get(&who).is_some_and(|until| self.position < *until);
        later || self.to_come.get(&who).is_some_and(|times| *times > 0)
    }
}

impl Observer for Watching<'_> {
    const LISTENS: bool = true;

    fn exposure(&mut self, exposure: FoldedExposure<'_>) {
        let FoldedExposure { batch, rows, number, row, arm, plan, status } = exposure;
        if self.is_forgotten(&batch.namespace, row.entity_id) {
            return;
        }
        let mut attributes = BTreeMap::new();
        if let Some(plan) = plan {
            for name in &plan.dimensions {
                let text = rows.text(name).and_then(|cells| cells.of(number));
                attributes.extend(text.map(|text| (name.clone(), Value::from(text))));
            }
            for name in &plan.covariates {
                let found = rows.number(name).and_then(|cells| cells.of(number));
                attributes.extend(found.map(|found| (name.clone(), Value::from(found))));
            }
        }
        self.rows.exposures.push(Exposed {
            namespace: batch.namespace.clone(),
            arm: arm.clone(),
            entity_type: plan.map(|plan| plan.entity_type.clone()).unwrap_or_default(),
            entity_id: row.entity_id.to_owned(),
            occurred_at_ms: batch.arrival_ms.saturating_add(row.delay_ms),
            status,
            attributes,
        });
    }

    fn outcome(&mut self, outcome: FoldedOutcome<'_>) {
        let FoldedOutcome { batch, row, event, target, matched } = outcome;
        let keep = |id: &str| !self.is_forgotten(&batch.namespace, id);
        let named = row.named.iter().filter(|named| keep(&named.entity_id));
        let entities: BTreeMap<_, _> =
            named.map(|named| (named.entity_type.clone(), named.entity_id.clone())).collect();
        let entity_id = if keep(row.entity_id) { row.entity_id } else { "" };
        if entity_id.is_empty() && entities.is_empty() {
            return;
        }
        self.rows.outcomes.push(Happened {
            namespace: batch.namespace.clone(),
            entity_id: entity_id.to_owned(),
            entities,
            event: event.to_owned(),
            value: row.value,
            occurred_at_ms: batch.arrival_ms.saturating_add(row.delay_ms),
            event_id: row.identity.map(|of| of.event_id.clone()).unwrap_or_default(),
            supersedes: row.identity.map(|of| of.supersedes.clone()).unwrap_or_default(),
            target: target.cloned(),
            matched,
        });
    }

    fn forgotten(&mut self, namespace: &str, key: u64) {
        if let Some(times) = self.to_come.get_mut(&(namespace.to_owned(), key)) {
            *times -= 1;
        }
    }
}

/// As files spell it: `split`, `sticky`, ...
#[must_use]
pub fn reason_word(arm: &Arm) -> String {
    let name = DecisionReason::try_from(arm.reason).map_or("", |reason| reason.as_str_name());
    name.trim_start_matches("DECISION_REASON_").to_ascii_lowercase()
}
