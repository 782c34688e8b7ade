//! Deciding, by kind of definition; the prices of hashing, of a variant and of looking up the first one
//! stand beside it.

#![allow(clippy::expect_used)] // a case that does not compile must stop the bench

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use klero_core::decide::{Prior, Who, decide};
use klero_core::hash::Seed;
use klero_core::journal::Take;
use klero_core::memory::Memory;
use klero_core::proto::storage::v1::control::Action;
use klero_core::proto::storage::v1::{Control, MeasurementPlan};
use klero_core::proto::v1::{
    Allocation, Experiment, ExperimentConfig, ExperimentStatus, ExperimentType, Snapshot, Variant,
};
use klero_core::snapshot::Snapshot as Compiled;
use klero_core::snapshot::canonical::canonical;

const ENTITY: &str = "user-0123456789abcde"; // 20 bytes
const NOW_MS: i64 = 1_800_000_000_000;

struct Case {
    name: &'static str,
    treatments: usize,
    traffic: f64,
}

const CASES: &[Case] = &[
    Case { name: "two_arms", treatments: 1, traffic: 100.0 },
    Case { name: "three_arms", treatments: 2, traffic: 100.0 },
    Case { name: "eight_arms", treatments: 7, traffic: 100.0 },
    Case { name: "outside_traffic", treatments: 1, traffic: 0.0 },
];

fn compile(case: &Case) -> Compiled {
    let variant = |index: usize| Variant { id: format!("variant-{index}"), ..Variant::default() };
    let definition = Experiment {
        id: "experiment".to_owned(),
        r#type: ExperimentType::AbTest.into(),
        status: ExperimentStatus::Running.into(),
        iteration: 1,
        control: Some(variant(0)),
        variants: (1..=case.treatments).map(variant).collect(),
        config: Some(ExperimentConfig { traffic_percentage: Some(case.traffic), ..ExperimentConfig::default() }),
        ..Experiment::default()
    };
    let snapshot = Snapshot { experiments: vec![canonical(definition)], ..Snapshot::default() };
    Compiled::compile(&snapshot).expect("the cases are valid")
}

fn deciding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    group.throughput(Throughput::Elements(1));
    let entities = BTreeMap::new();
    for case in CASES {
        let snapshot = compile(case);
        let experiment = snapshot.experiment("", "experiment").expect("it was just compiled");
        group.bench_with_input(BenchmarkId::from_parameter(case.name), &ENTITY, |bencher, entity| {
            bencher.iter(|| {
                let who = Who { entity_id: black_box(entity), entities: &entities };
                decide(black_box(experiment), who, black_box(NOW_MS), &Prior::None)
            });
        });
    }
    group.finish();
}

/// Weights have changed, and this many entities have a variant from before.
fn sticky(criterion: &mut Criterion) {
    const KNOWN: usize = 1_000_000;
    let variant = |id: &str| Variant { id: id.to_owned(), ..Variant::default() };
    let mut definition = Experiment {
        id: "experiment".to_owned(),
        r#type: ExperimentType::AbTest.into(),
        status: ExperimentStatus::Running.into(),
        iteration: 1,
        control: Some(variant("a")),
        variants: vec![variant("b")],
        ..Experiment::default()
    };
    definition.allocation = Some(Allocation {
        epoch: 2,
        weights_epoch: 2,
        weights: [("a".to_owned(), 50.0), ("b".to_owned(), 50.0)].into(),
        traffic_percentage: 100.0,
        ..Allocation::default()
    });
    let message = Snapshot { experiments: vec![canonical(definition)], ..Snapshot::default() };
    let snapshot = Compiled::compile(&message).expect("the case is valid");
    let experiment = snapshot.experiment("", "experiment").expect("it was just compiled");
    let memory = Memory::new([1; 16], [2; 16]);
    let plan = MeasurementPlan { variant_ids: vec!["a".to_owned(), "b".to_owned()], ..MeasurementPlan::default() };
    memory
        .control(Control {
            namespace: "default".to_owned(),
            experiment_id: "experiment".to_owned(),
            iteration: 1,
            time_ms: NOW_MS,
            action: Some(Action::Started(plan)),
        })
        .expect("the queue is open");
    if let Take::Frame(frame) = memory.take(Duration::ZERO) {
        memory.commit(&frame, 1);
    }
    memory.recall();
    memory.prepare(&snapshot);
    let entities = BTreeMap::new();
    let ids: Vec<String> = (0..KNOWN).map(|number| format!("user-{number:015}")).collect();
    for id in &ids {
        let who = Who { entity_id: id, entities: &entities };
        assert!(memory.claim(&decide(experiment, who, NOW_MS, &memory)), "everyone is new");
    }
    let mut group = criterion.benchmark_group("decide_sticky");
    group.throughput(Throughput::Elements(1));
    // One that is always near, and those whose memory is not.
    for (name, known) in [("one_entity", 1), ("a_million_entities", KNOWN)] {
        let mut turn = ids.iter().take(known).cycle();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let who = Who { entity_id: black_box(turn.next().expect("it goes round")), entities: &entities };
                decide(black_box(experiment), who, black_box(NOW_MS), &memory)
            });
        });
    }
    group.finish();
}

fn hashing(criterion: &mut Criterion) {
    let seed = Seed::new("experiment", "traffic");
    criterion.bench_function("hash/20_bytes", |bencher| bencher.iter(|| black_box(seed).hash(black_box(ENTITY))));
}

criterion_group!(benches, hashing, deciding, sticky);
criterion_main!(benches);
