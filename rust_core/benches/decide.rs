//! Deciding, by kind of definition; the prices of hashing and of a variant stand beside it.

#![allow(clippy::expect_used)] // a case that does not compile must stop the bench

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use klero_core::decide::{Who, decide};
use klero_core::hash::Seed;
use klero_core::proto::v1::{Experiment, ExperimentConfig, ExperimentStatus, ExperimentType, Snapshot, Variant};
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
                decide(black_box(experiment), who, black_box(NOW_MS))
            });
        });
    }
    group.finish();
}

fn hashing(criterion: &mut Criterion) {
    let seed = Seed::new("experiment", "traffic");
    criterion.bench_function("hash/20_bytes", |bencher| bencher.iter(|| black_box(seed).hash(black_box(ENTITY))));
}

criterion_group!(benches, hashing, deciding);
criterion_main!(benches);
