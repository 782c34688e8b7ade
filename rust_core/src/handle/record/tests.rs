//! What of a request gets to the journal, and what is refused.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::journal::rows::{ExposureRows, OutcomeRows};
use crate::journal::{PendingFrame, Take};
use crate::memory::Memory;
use crate::proto::storage::v1::journal_entry::Kind as EntryKind;
use crate::proto::v1;
use crate::proto::v1::attribute_value::Kind;
use crate::proto::v1::{
    Aggregation, AnalysisPlan, AssignRequest, AssignmentSource, AttributeValue, BatchAssignRequest, Context,
    ErrorReason, Experiment, ExperimentStatus, ExperimentType, Exposure, ExposureMode, Metric, MetricType, Outcome,
    RecordResponse, Variant,
};
use crate::snapshot::canonical::canonical;

const NOW_MS: i64 = 1_800_000_000_000;

/// `ms` from 0 to 60000 as sum and as maximum, `score` as the last one; covariates and a dimension.
fn definition(id: &str, source: AssignmentSource) -> Experiment {
    let metric = |name: &str, event: &str, aggregation: Aggregation| Metric {
        name: name.to_owned(),
        event: event.to_owned(),
        r#type: MetricType::Continuous.into(),
        aggregation: aggregation.into(),
        ..Metric::default()
    };
    let bounded = |metric: Metric| Metric { lower_bound: Some(0.0), upper_bound: Some(60_000.0), ..metric };
    canonical(Experiment {
        id: id.to_owned(),
        r#type: ExperimentType::AbTest.into(),
        status: ExperimentStatus::Running.into(),
        iteration: 1,
        allocation: Some(v1::Allocation {
            epoch: 1,
            weights: [("a".to_owned(), 0.0), ("b".to_owned(), 100.0)].into(),
            traffic_percentage: 100.0,
            ..v1::Allocation::default()
        }),
        assignment_source: source.into(),
        control: Some(Variant { id: "a".to_owned(), ..Variant::default() }),
        variants: vec![Variant { id: "b".to_owned(), ..Variant::default() }],
        metrics: vec![
            Metric { covariates: vec!["age".to_owned()], ..bounded(metric("time", "ms", Aggregation::Sum)) },
            bounded(metric("slowest", "ms", Aggregation::Max)),
            Metric { covariates: vec!["vip".to_owned()], ..metric("score", "score", Aggregation::Last) },
        ],
        analysis_plan: Some(AnalysisPlan { dimensions: vec!["country".to_owned()], ..AnalysisPlan::default() }),
        ..Experiment::default()
    })
}

fn handler() -> Handler {
    let memory = Arc::new(Memory::new([1; 16], [2; 16]));
    let handler = Handler::new(memory);
    let plain = Experiment { metrics: vec![], analysis_plan: None, ..definition("plain", AssignmentSource::Klero) };
    let experiments =
        vec![definition("inner", AssignmentSource::Klero), definition("outer", AssignmentSource::External), plain];
    handler.swap(Snapshot::compile(&v1::Snapshot { experiments, ..v1::Snapshot::default() }).unwrap());
    handler
}

fn attributes() -> BTreeMap<String, AttributeValue> {
    let value = |kind| AttributeValue { kind: Some(kind) };
    [
        ("age".to_owned(), value(Kind::IntValue(30))),
        ("vip".to_owned(), value(Kind::BoolValue(true))),
        ("country".to_owned(), value(Kind::StringValue("de".to_owned()))),
        ("password".to_owned(), value(Kind::StringValue("secret".to_owned()))),
    ]
    .into()
}

fn taken(handler: &Handler) -> Box<PendingFrame> {
    match handler.memory.take(Duration::ZERO) {
        Take::Frame(frame) => frame,
        other => panic!("{other:?}"),
    }
}

fn batch(frame: &PendingFrame) -> &Batch {
    match frame.frame.entries[0].kind.as_ref().unwrap() {
        EntryKind::Batch(batch) => batch,
        EntryKind::Control(control) => panic!("{control:?}"),
    }
}

fn record(handler: &Handler, exposures: Vec<Exposure>, outcomes: Vec<Outcome>) -> Answer {
    let request = RecordRequest { exposures, outcomes, ..RecordRequest::default() };
    handler.handle("Record", &request.encode_to_vec(), NOW_MS).unwrap()
}

/// Reason and message of the only item; nothing is stored.
fn refused(outcome: Outcome) -> (ErrorReason, String) {
    let handler = handler();
    let Answer::Reply(response) = record(&handler, vec![], vec![outcome]) else { panic!("accepted") };
    let response = RecordResponse::decode(&*response).unwrap();
    assert_eq!(1, handler.memory.rejected_items());
    (response.rejected[0].reason(), response.rejected[0].message.clone())
}

fn outcome(event: &str, value: f64) -> Outcome {
    Outcome { entity_id: "u1".to_owned(), event: event.to_owned(), value: Some(value), ..Outcome::default() }
}

fn identified(event: &str, event_id: &str, supersedes: &str) -> Outcome {
    Outcome { event_id: event_id.to_owned(), supersedes: supersedes.to_owned(), ..outcome(event, 1.0) }
}

fn assert_attributes(batch: &Batch, row: usize) {
    let columns = batch.exposures.as_ref().unwrap();
    let rows = ExposureRows::new(columns).unwrap();

    assert_eq!(Some(30.0), rows.number("age").unwrap().of(row));
    assert_eq!(Some(1.0), rows.number("vip").unwrap().of(row));
    assert_eq!(Some("de"), rows.text("country").unwrap().of(row));
    assert_eq!((2, 1), (columns.covariates.len(), columns.dimensions.len()));
    assert!(!format!("{batch:?}").contains("secret"));
}

#[test]
fn exposures_of_record_bring_the_attributes_that_the_experiment_reads() {
    let handler = handler();
    let exposure = |entity_id: &str, attributes| Exposure {
        experiment_id: "outer".to_owned(),
        entity_id: entity_id.to_owned(),
        variant_id: "b".to_owned(),
        attributes,
        ..Exposure::default()
    };
    record(&handler, vec![exposure("u1", BTreeMap::new()), exposure("u2", attributes())], vec![]);
    let frame = taken(&handler);

    assert_attributes(batch(&frame), 1);
    let columns = batch(&frame).exposures.as_ref().unwrap();
    assert_eq!(None, ExposureRows::new(columns).unwrap().number("age").unwrap().of(0));
}

#[test]
fn exposures_of_decisions_bring_them_too() {
    let attributes = attributes();
    let entity_id = "u1".to_owned();
    let name = "inner".to_owned();
    let assign = AssignRequest {
        experiment_id: name.clone(),
        entity_id: entity_id.clone(),
        attributes: attributes.clone(),
        ..AssignRequest::default()
    };
    let batch_assign = BatchAssignRequest {
        experiment_ids: vec![name.clone()],
        contexts: vec![Context { entity_id: entity_id.clone(), attributes: attributes.clone(), ..Context::default() }],
        exposure: ExposureMode::Auto.into(),
        ..BatchAssignRequest::default()
    };
    let is_enabled = v1::IsEnabledRequest {
        flag_name: name.clone(),
        entity_id: entity_id.clone(),
        attributes: attributes.clone(),
        ..v1::IsEnabledRequest::default()
    };
    let get_variant =
        v1::GetVariantRequest { flag_name: name, entity_id, attributes, ..v1::GetVariantRequest::default() };
    for (method, request) in [
        ("Assign", assign.encode_to_vec()),
        ("BatchAssign", batch_assign.encode_to_vec()),
        ("IsEnabled", is_enabled.encode_to_vec()),
        ("GetVariant", get_variant.encode_to_vec()),
    ] {
        let handler = handler();
        handler.handle(method, &request, NOW_MS).unwrap();

        assert_attributes(batch(&taken(&handler)), 0);
    }
}

#[test]
fn an_experiment_that_reads_no_attribute_stores_none() {
    let handler = handler();
    let request = AssignRequest {
        experiment_id: "plain".to_owned(),
        entity_id: "u1".to_owned(),
        attributes: attributes(),
        ..AssignRequest::default()
    };
    handler.handle("Assign", &request.encode_to_vec(), NOW_MS).unwrap();
    let frame = taken(&handler);
    let columns = batch(&frame).exposures.as_ref().unwrap();

    assert!(columns.covariates.is_empty() && columns.dimensions.is_empty());
}

#[test]
fn a_value_outside_all_bounds_is_refused_and_counted() {
    let (reason, message) = refused(outcome("ms", 60_000.5));

    assert_eq!(ErrorReason::ValueOutOfBounds, reason);
    assert_eq!(
        "value is 60000.5, outside the bounds of every metric that reads `ms`; the widest are 0 to 60000",
        message
    );
    assert_eq!(ErrorReason::ValueOutOfBounds, refused(outcome("ms", -1e-9)).0);
    let handler = handler();
    record(&handler, vec![], vec![outcome("ms", 0.0), outcome("ms", 60_000.0), outcome("score", -1e99)]);
    assert_eq!((3, 0), (taken(&handler).outcomes, handler.memory.rejected_items()));
}

#[test]
fn identities_of_outcomes_are_stored() {
    let handler = handler();
    let longest = "ä".repeat(64);
    let outcomes = vec![outcome("ms", 1.0), identified("score", "e2", "e1"), identified("ms", &longest, "")];
    record(&handler, vec![], outcomes);
    let frame = taken(&handler);
    let rows = OutcomeRows::new(batch(&frame).outcomes.as_ref().unwrap()).unwrap();
    let found: Vec<_> = rows.iter().map(|row| row.identity.map(|id| (&*id.event_id, &*id.supersedes))).collect();

    assert_eq!(vec![None, Some(("e2", "e1")), Some((&*longest, ""))], found);
}

#[test]
fn ids_that_name_no_outcome_are_refused_with_their_field() {
    let long = "x".repeat(129);
    for (broken, field) in [
        (identified("score", &long, ""), "event_id has 129 bytes"),
        (identified("score", "a\nb", ""), "event_id has 3 bytes"),
        (identified("score", "e2", &long), "supersedes has 129 bytes"),
        (identified("score", "", "e1"), "supersedes needs an event_id"),
        (identified("score", "e1", "e1"), "supersedes is `e1`, the event_id of the outcome itself"),
        (
            identified("ms", "e2", "e1"),
            "supersedes is refused for `ms`: metric `slowest` of experiment `inner` is its maximum",
        ),
    ] {
        let (reason, message) = refused(broken);
        assert_eq!(ErrorReason::InvalidField, reason);
        assert!(message.starts_with(field), "{message}");
    }
}
