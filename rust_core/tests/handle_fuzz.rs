//! Hostile and broken requests: every hot call answers or refuses, and what it takes can be folded.
//!
//! A panic would take the process down for all callers, and a frame that is durable but cannot be
//! folded would stop the journal for all of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::sync::Arc;

use klero_core::handle::{Answer, Handler};
use klero_core::journal::{PendingFrame, Take, frame};
use klero_core::memory::Memory;
use klero_core::proto::storage::v1::control::Action;
use klero_core::proto::storage::v1::{Control, MeasurementPlan, MetricPlan};
use klero_core::proto::v1::{
    Aggregation, AnalysisPlan, AssignRequest, AssignmentSource, AttributeValue, BatchAssignRequest, Context,
    Experiment, ExperimentStatus, ExperimentType, Exposure, GetVariantRequest, IsEnabledRequest, Metric, MetricGoal,
    MetricType, MissingPolicy, Outcome, RecordRequest, RecordResponse, Snapshot, StringList, Variant,
    attribute_value::Kind,
};
use klero_core::snapshot;
use klero_core::snapshot::canonical::canonical;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use prost::Message;
use prost_types::{Duration, Timestamp};
use uuid::Uuid;

const NOW_MS: i64 = 1_800_000_000_000;
const METHODS: [&str; 5] = ["Assign", "BatchAssign", "IsEnabled", "GetVariant", "Record"];
const EXPERIMENTS: [(&str, AssignmentSource); 2] =
    [("inner", AssignmentSource::Klero), ("outer", AssignmentSource::External)];
const COVARIATES: [&str; 2] = ["a", "b"];
/// One is a covariate too.
const DIMENSIONS: [&str; 2] = ["b", "c"];
const WINDOW: Duration = Duration { seconds: 3600, nanos: 0 };

fn definition(id: &str, source: AssignmentSource) -> Experiment {
    let variant = |id: &str| Variant { id: id.to_owned(), ..Variant::default() };
    canonical(Experiment {
        id: id.to_owned(),
        r#type: ExperimentType::AbTest.into(),
        status: ExperimentStatus::Running.into(),
        iteration: 1,
        allocation: Some(klero_core::proto::v1::Allocation {
            epoch: 1,
            weights: [("a".to_owned(), 50.0), ("b".to_owned(), 50.0)].into(),
            traffic_percentage: 100.0,
            ..Default::default()
        }),
        assignment_source: source.into(),
        control: Some(variant("a")),
        variants: vec![variant("b")],
        metrics: vec![
            Metric {
                name: "cost".to_owned(),
                r#type: MetricType::Continuous.into(),
                goal: MetricGoal::Decrease.into(),
                primary: true,
                lower_bound: Some(-5.0),
                upper_bound: Some(5.0),
                window: Some(WINDOW),
                covariates: COVARIATES.map(str::to_owned).to_vec(),
                ..Metric::default()
            },
            Metric {
                name: "worst".to_owned(),
                r#type: MetricType::Continuous.into(),
                aggregation: Aggregation::Max.into(),
                ..Metric::default()
            },
        ],
        analysis_plan: Some(AnalysisPlan {
            dimensions: DIMENSIONS.map(str::to_owned).to_vec(),
            ..AnalysisPlan::default()
        }),
        ..Experiment::default()
    })
}

fn started(experiment_id: &str) -> Control {
    let cost = MetricPlan {
        name: "cost".to_owned(),
        event: "cost".to_owned(),
        r#type: MetricType::Continuous.into(),
        aggregation: Aggregation::Sum.into(),
        window_ms: WINDOW.seconds * 1000,
        missing: MissingPolicy::Zero.into(),
        lower_bound: Some(-5.0),
        upper_bound: Some(5.0),
        covariates: vec![0, 1],
        ..MetricPlan::default()
    };
    Control {
        namespace: "default".to_owned(),
        experiment_id: experiment_id.to_owned(),
        iteration: 1,
        time_ms: NOW_MS,
        action: Some(Action::Started(MeasurementPlan {
            variant_ids: vec!["a".to_owned(), "b".to_owned()],
            metrics: vec![cost],
            covariates: COVARIATES.map(str::to_owned).to_vec(),
            dimensions: DIMENSIONS.map(str::to_owned).to_vec(),
            ..MeasurementPlan::default()
        })),
    }
}

/// A node without disk: frames are folded as they are taken, and once more into a second memory.
struct Node {
    handler: Handler,
    memory: Arc<Memory>,
    replayed: Memory,
    position: u64,
}

impl Node {
    fn new() -> Self {
        let memory = Arc::new(Memory::new([1; 16], [2; 16]));
        let handler = Handler::new(Arc::clone(&memory));
        let experiments = EXPERIMENTS.map(|(id, source)| definition(id, source)).to_vec();
        handler.swap(snapshot::Snapshot::compile(&Snapshot { experiments, ..Snapshot::default() }).unwrap());
        for (id, _) in EXPERIMENTS {
            memory.control(started(id)).unwrap();
        }
        Self { handler, memory, replayed: Memory::new([1; 16], [3; 16]), position: 0 }
    }

    /// Writes all that waits; the answer of the last ticket.
    fn write(&mut self) -> Option<Vec<u8>> {
        let mut last = None;
        while let Take::Frame(frame) = self.memory.take(std::time::Duration::ZERO) {
            last = self.commit(&frame).or(last);
        }
        last
    }

    fn commit(&mut self, frame: &PendingFrame) -> Option<Vec<u8>> {
        self.position += 1;
        let answers = self.memory.commit(frame, self.position);
        assert_eq!(None, self.memory.fault(), "what was taken can be folded");
        let encoded = &frame.encoded;
        let decoded = frame::decode(encoded.bytes.clone().into(), encoded.crc).expect("and read again");
        assert_eq!(frame.frame, decoded);
        self.replayed.replay(self.position, encoded.crc, encoded.bytes.clone().into()).expect("and folded again");
        answers.into_iter().last().map(|(_, answer)| answer.expect("no request id is old here"))
    }

    fn call(&mut self, method: &str, request: &[u8]) -> Option<Vec<u8>> {
        match self.handler.handle(method, request, NOW_MS) {
            Ok(Answer::Reply(response)) => {
                self.write();
                Some(response)
            }
            Ok(Answer::Wait(_)) => self.write(),
            Err(_) => None,
        }
    }

    fn assert_replay_agrees(&self) {
        for (id, _) in EXPERIMENTS {
            let tally = |memory: &Memory| memory.iteration("default", id, 1).map(|tally| tally.encode_to_vec());
            assert_eq!(tally(&self.memory), tally(&self.replayed));
        }
    }
}

/// Names that are known as often as not.
fn name(known: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(known).prop_map(str::to_owned),
        1 => "\\PC{0,8}",
        1 => Just("x".repeat(300)),
    ]
}

fn entities() -> impl Strategy<Value = BTreeMap<String, String>> {
    prop::collection::btree_map(name(&["", "user", "run"]), name(&["u1", "u2", ""]), 0..3)
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>(), -10.0..10.0, Just(f64::MAX), Just(f64::NAN), Just(f64::NEG_INFINITY)]
}

fn time() -> impl Strategy<Value = Option<Timestamp>> {
    let near = (NOW_MS / 1000 - 200_000)..(NOW_MS / 1000 + 200_000);
    let seconds = prop_oneof![3 => near, 1 => any::<i64>()];
    let nanos = prop_oneof![3 => 0..1_000_000_000, 1 => any::<i32>()];
    prop::option::of((seconds, nanos).prop_map(|(seconds, nanos)| Timestamp { seconds, nanos }))
}

fn attributes() -> impl Strategy<Value = BTreeMap<String, AttributeValue>> {
    let kind = prop_oneof![
        4 => number().prop_map(Kind::DoubleValue),
        2 => any::<i64>().prop_map(Kind::IntValue),
        2 => any::<bool>().prop_map(Kind::BoolValue),
        4 => name(&["de", "fr", ""]).prop_map(Kind::StringValue),
        1 => prop::collection::vec("[a-c]", 0..3).prop_map(|values| Kind::ListValue(StringList { values })),
    ];
    let value = prop::option::weighted(0.9, kind).prop_map(|kind| AttributeValue { kind });
    prop::collection::btree_map("[a-d]", value, 0..4)
}

prop_compose! {
    fn exposure()(
        experiment_id in name(&["inner", "outer"]),
        entity_id in name(&["u1", "u2", ""]),
        variant_id in name(&["a", "b"]),
        occurred_at in time(),
        iteration in prop_oneof![-1_i64..3, any::<i64>()],
        epoch in prop_oneof![-1_i64..3, any::<i64>()],
        reason in -1..20,
        attributes in attributes(),
        entities in entities(),
    ) -> Exposure {
        Exposure {
            experiment_id, entity_id, variant_id, occurred_at, iteration, epoch, reason, attributes, entities,
            ..Exposure::default()
        }
    }
}

prop_compose! {
    fn outcome()(
        entity_id in name(&["u1", "u2", ""]),
        event in name(&["cost", "worst", "other", "a\nb"]),
        value in prop::option::of(number()),
        occurred_at in time(),
        entities in entities(),
        target in prop::option::weighted(0.3, (name(&["inner", "outer"]), name(&["a", "b"]))),
        event_id in prop::option::weighted(0.5, name(&["e1", "e2", "e3"])),
        supersedes in prop::option::weighted(0.3, name(&["e1", "e2", "e3"])),
    ) -> Outcome {
        let (experiment_id, variant_id) = target.unwrap_or_default();
        let (event_id, supersedes) = (event_id.unwrap_or_default(), supersedes.unwrap_or_default());
        Outcome {
            entity_id, event, value, occurred_at, entities, experiment_id, variant_id, event_id, supersedes,
            ..Outcome::default()
        }
    }
}

prop_compose! {
    fn record()(
        exposures in prop::collection::vec(exposure(), 0..8),
        outcomes in prop::collection::vec(outcome(), 0..8),
    ) -> RecordRequest {
        RecordRequest { exposures, outcomes, ..RecordRequest::default() }
    }
}

/// A UUID of version 7 whose time is `NOW_MS`.
fn request_id(number: u16) -> String {
    let random = u128::from(number) | 2 << 62;
    Uuid::from_u128(u128::try_from(NOW_MS).unwrap() << 80 | 7 << 76 | random).to_string()
}

prop_compose! {
    fn valid()(
        method in prop::sample::select(METHODS.as_slice()),
        experiment_id in name(&["inner", "outer"]),
        entity_id in name(&["u1", ""]),
        entities in entities(),
        attributes in attributes(),
        exposure in -1..5,
        record in record(),
    ) -> (&'static str, Vec<u8>) {
        let flag_name = experiment_id.clone();
        let encoded = match method {
            "Assign" => AssignRequest {
                experiment_id, entity_id, entities, attributes, exposure, ..AssignRequest::default()
            }.encode_to_vec(),
            "BatchAssign" => BatchAssignRequest {
                experiment_ids: vec![experiment_id],
                contexts: vec![Context { entity_id, entities, attributes }],
                exposure,
                ..BatchAssignRequest::default()
            }.encode_to_vec(),
            "IsEnabled" => IsEnabledRequest {
                flag_name, entity_id, entities, attributes, ..IsEnabledRequest::default()
            }.encode_to_vec(),
            "GetVariant" => GetVariantRequest {
                flag_name, entity_id, entities, attributes, ..GetVariantRequest::default()
            }.encode_to_vec(),
            _ => record.encode_to_vec(),
        };
        (method, encoded)
    }
}

/// Overwrites bytes at relative places, then cuts the end off if `end` says where.
fn mutated(mut request: Vec<u8>, changes: &[(prop::sample::Index, u8)], end: Option<prop::sample::Index>) -> Vec<u8> {
    for (at, byte) in changes {
        if !request.is_empty() {
            let at = at.index(request.len());
            request[at] = *byte;
        }
    }
    if let Some(end) = end.filter(|_| !request.is_empty()) {
        request.truncate(end.index(request.len()));
    }
    request
}

proptest! {
    // The same cases in every run.
    #![proptest_config(ProptestConfig {
        cases: 200,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// A port scanner and a client of another language send anything.
    #[test]
    fn any_bytes_are_answered_or_refused(requests in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 5)) {
        let mut node = Node::new();
        for (method, request) in METHODS.into_iter().zip(&requests) {
            node.call(method, request);
        }
        node.assert_replay_agrees();
    }

    /// A client with a fault sends what is nearly right, which gets further than noise.
    #[test]
    fn broken_requests_are_answered_or_refused(
        (method, request) in valid(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        end in prop::option::weighted(0.25, any::<prop::sample::Index>()),
    ) {
        let mut node = Node::new();
        node.call(method, &mutated(request, &changes, end));
        node.assert_replay_agrees();
    }

    /// A sender drops its copy of what was accepted and of what was rejected, so nothing may be neither.
    #[test]
    fn every_item_is_accepted_or_rejected(batches in prop::collection::vec(record(), 1..4)) {
        let mut node = Node::new();
        for (number, batch) in (0..).zip(batches) {
            let items = batch.exposures.len() + batch.outcomes.len();
            let request = RecordRequest { request_id: request_id(number), ..batch }.encode_to_vec();
            let first = RecordResponse::decode(&*node.call("Record", &request).unwrap()).unwrap();
            let again = RecordResponse::decode(&*node.call("Record", &request).unwrap()).unwrap();

            prop_assert_eq!(items, usize::try_from(first.accepted + first.rejected_count).unwrap());
            prop_assert_eq!(usize::try_from(first.rejected_count).unwrap(), first.rejected.len());
            prop_assert_eq!(first.accepted, again.accepted);
            // Without a good item nothing was stored that could be repeated.
            prop_assert_eq!(first.accepted > 0, again.duplicate);
            prop_assert!(!again.duplicate || first.position == again.position);
        }
        node.assert_replay_agrees();
    }
}
