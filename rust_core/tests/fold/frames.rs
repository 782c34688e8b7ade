//! Short ways to write journal frames.

use klero_core::journal::frame::FORMAT;
use klero_core::proto::storage::v1::control::Action;
use klero_core::proto::storage::v1::journal_entry::Kind;
use klero_core::proto::storage::v1::{
    Arm, Batch, Control, EventIdentity, ExposureColumns, JournalEntry, JournalFrame, MeasurementPlan, MetricPlan,
    NamedEntity, NumberColumn, OutcomeColumns, Stopped, TextColumn,
};
use klero_core::proto::v1::{Aggregation, DecisionReason, MetricType, MissingPolicy};

pub(crate) const SECRET: [u8; 16] = *b"0123456789abcdef";
/// When frames begin, far enough from 0 for request ids of seven days before.
pub(crate) const START_MS: i64 = 1_800_000_000_000;

#[derive(Clone, Debug)]
pub(crate) struct Exposed {
    pub(crate) arm: Arm,
    pub(crate) entity_id: String,
    pub(crate) delay_ms: i64,
    pub(crate) numbers: Vec<(String, f64)>,
    pub(crate) texts: Vec<(String, String)>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Happened {
    pub(crate) event: String,
    pub(crate) entity_id: String,
    pub(crate) named: Vec<(String, String)>,
    pub(crate) value: f64,
    pub(crate) delay_ms: i64,
    pub(crate) target: Option<Arm>,
    /// Event id and what it supersedes.
    pub(crate) identity: Option<(String, String)>,
}

pub(crate) fn arm(experiment_id: &str, epoch: i64, variant_id: &str) -> Arm {
    Arm {
        experiment_id: experiment_id.into(),
        iteration: 1,
        epoch,
        variant_id: variant_id.into(),
        reason: DecisionReason::Split.into(),
    }
}

pub(crate) fn exposed(arm: &Arm, entity_id: &str) -> Exposed {
    Exposed { arm: arm.clone(), entity_id: entity_id.into(), delay_ms: 0, numbers: vec![], texts: vec![] }
}

pub(crate) fn happened(event: &str, entity_id: &str, value: f64) -> Happened {
    Happened { event: event.into(), entity_id: entity_id.into(), value, ..Happened::default() }
}

fn position_or_push<T: Clone + PartialEq>(dictionary: &mut Vec<T>, value: &T) -> u32 {
    let found = dictionary.iter().position(|known| known == value);
    let index = found.unwrap_or_else(|| {
        dictionary.push(value.clone());
        dictionary.len() - 1
    });
    u32::try_from(index).unwrap()
}

fn column_of<T>(columns: &mut Vec<T>, new: T, name: impl Fn(&T) -> &String) -> usize {
    let found = columns.iter().position(|column| name(column) == name(&new));
    found.unwrap_or_else(|| {
        columns.push(new);
        columns.len() - 1
    })
}

fn length(text: &str) -> u32 {
    u32::try_from(text.len()).unwrap()
}

/// Rows at `arrival_ms` in namespace `default`.
pub(crate) fn batch(arrival_ms: i64, exposures: &[Exposed], outcomes: &[Happened]) -> Batch {
    let mut exposed = ExposureColumns::default();
    let mut ids = Vec::new();
    for (index, row) in (0..).zip(exposures) {
        for (name, value) in &row.numbers {
            let column = NumberColumn { name: name.clone(), ..NumberColumn::default() };
            let at = column_of(&mut exposed.covariates, column, |column| &column.name);
            exposed.covariates[at].rows.push(index);
            exposed.covariates[at].values.push(*value);
        }
        for (name, text) in &row.texts {
            let column = TextColumn { name: name.clone(), ..TextColumn::default() };
            let at = column_of(&mut exposed.dimensions, column, |column| &column.name);
            let column = &mut exposed.dimensions[at];
            column.rows.push(index);
            let text = position_or_push(&mut column.texts, text);
            column.text.push(text);
        }
        let arm = position_or_push(&mut exposed.arms, &row.arm);
        exposed.arm.push(arm);
        ids.extend_from_slice(row.entity_id.as_bytes());
        exposed.entity_id_lengths.push(length(&row.entity_id));
        exposed.delay_ms.push(row.delay_ms);
    }
    exposed.entity_ids = ids.into();
    let mut columns = OutcomeColumns::default();
    let mut ids = Vec::new();
    for (index, row) in (0..).zip(outcomes) {
        let event = position_or_push(&mut columns.events, &row.event);
        columns.event.push(event);
        ids.extend_from_slice(row.entity_id.as_bytes());
        columns.entity_id_lengths.push(length(&row.entity_id));
        columns.values.push(row.value);
        columns.delay_ms.push(row.delay_ms);
        columns.named.extend(row.named.iter().map(|(entity_type, entity_id)| NamedEntity {
            row: index,
            entity_type: entity_type.clone(),
            entity_id: entity_id.clone(),
        }));
        columns.identities.extend(row.identity.iter().map(|(event_id, supersedes)| EventIdentity {
            row: index,
            event_id: event_id.clone(),
            supersedes: supersedes.clone(),
        }));
        let target = row.target.as_ref().map_or(0, |arm| position_or_push(&mut columns.targets, arm) + 1);
        columns.target.push(target);
    }
    columns.entity_ids = ids.into();
    Batch {
        namespace: "default".into(),
        arrival_ms,
        exposures: Some(exposed),
        outcomes: Some(columns),
        ..Batch::default()
    }
}

pub(crate) fn metric(name: &str, event: &str, kind: MetricType) -> MetricPlan {
    MetricPlan {
        name: name.into(),
        event: event.into(),
        r#type: kind.into(),
        aggregation: Aggregation::Sum.into(),
        missing: MissingPolicy::Zero.into(),
        ..MetricPlan::default()
    }
}

/// Control `a`, treatment `b`; a conversion `success` on event `done`, and sums of `cost` and of
/// `done`.
pub(crate) fn plan(entity_type: &str) -> MeasurementPlan {
    MeasurementPlan {
        entity_type: entity_type.into(),
        variant_ids: vec!["a".into(), "b".into()],
        metrics: vec![
            metric("success", "done", MetricType::Conversion),
            metric("spent", "cost", MetricType::Continuous),
            metric("amount", "done", MetricType::Continuous),
        ],
        ..MeasurementPlan::default()
    }
}

pub(crate) fn control(experiment_id: &str, action: Action) -> Control {
    Control {
        namespace: "default".into(),
        experiment_id: experiment_id.into(),
        iteration: 1,
        time_ms: START_MS,
        action: Some(action),
    }
}

pub(crate) fn started(experiment_id: &str, entity_type: &str) -> Control {
    control(experiment_id, Action::Started(plan(entity_type)))
}

pub(crate) fn stopped(experiment_id: &str) -> Control {
    control(experiment_id, Action::Stopped(Stopped { immediate: false }))
}

pub(crate) fn frame(sequence: u64, time_ms: i64, kinds: Vec<Kind>) -> JournalFrame {
    JournalFrame {
        format: FORMAT,
        incarnation: vec![7; 16].into(),
        sequence,
        time_ms,
        entries: kinds.into_iter().map(|kind| JournalEntry { kind: Some(kind) }).collect(),
    }
}

/// A tally that frames are put into one after the other.
pub(crate) struct Journal {
    pub(crate) tally: klero_core::tally::Tally,
    pub(crate) next: u64,
}

impl Journal {
    pub(crate) fn new(started: &[Control]) -> Self {
        let mut journal = Self { tally: klero_core::tally::Tally::new(SECRET), next: 1 };
        journal.put(started.iter().cloned().map(Kind::Control).collect());
        journal
    }

    pub(crate) fn put(&mut self, kinds: Vec<Kind>) -> Vec<klero_core::tally::EntryResult> {
        self.put_at(START_MS, kinds)
    }

    pub(crate) fn put_at(&mut self, time_ms: i64, kinds: Vec<Kind>) -> Vec<klero_core::tally::EntryResult> {
        let frame = frame(self.next, time_ms, kinds);
        let applied = self.tally.apply(self.next, &frame).unwrap();
        self.next += 1;
        applied.entries
    }

    /// Rows that came at [`START_MS`].
    pub(crate) fn rows(&mut self, exposures: &[Exposed], outcomes: &[Happened]) {
        self.put(vec![Kind::Batch(batch(START_MS, exposures, outcomes))]);
    }

    pub(crate) fn iteration(&self, experiment_id: &str) -> klero_core::proto::storage::v1::IterationTally {
        self.tally.iteration("default", experiment_id, 1).unwrap()
    }
}
