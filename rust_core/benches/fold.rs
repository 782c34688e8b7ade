//! Journal frames into a tally: a million outcomes of a hundred thousand entities.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use klero_core::journal::frame::{self, Encoded};
use klero_core::proto::storage::v1::control::Action;
use klero_core::proto::storage::v1::journal_entry::Kind;
use klero_core::proto::storage::v1::{
    Arm, Batch, Control, ExposureColumns, JournalEntry, JournalFrame, MeasurementPlan, MetricPlan, OutcomeColumns,
};
use klero_core::proto::v1::{Aggregation, MetricType};
use klero_core::tally::{PARTS, Part, Tally};

const ENTITIES: u64 = 100_000;
const OUTCOMES: u64 = 1_000_000;
const ROWS_OF_BATCH: u64 = 1000;
const BATCHES_OF_FRAME: u64 = 8;

/// Shorter than the time that [`frames`] take, so that every entity settles on the way.
const WINDOW_MS: i64 = 60_000;
/// Experiments that no entity is in.
const OTHERS: usize = 1000;

fn metric(name: &str, kind: MetricType, window_ms: i64) -> MetricPlan {
    MetricPlan {
        window_ms,
        name: name.into(),
        event: name.into(),
        r#type: kind.into(),
        aggregation: Aggregation::Sum.into(),
        ..MetricPlan::default()
    }
}

fn plan(experiment_id: &str, window_ms: i64) -> Kind {
    let metrics = [("success", MetricType::Conversion), ("cost", MetricType::Continuous)];
    let plan = MeasurementPlan {
        entity_type: "user".into(),
        variant_ids: vec!["control".into(), "treatment".into()],
        metrics: metrics.map(|(name, kind)| metric(name, kind, window_ms)).into(),
        ..MeasurementPlan::default()
    };
    Kind::Control(Control {
        namespace: "default".into(),
        experiment_id: experiment_id.into(),
        iteration: 1,
        time_ms: 0,
        action: Some(Action::Started(plan)),
    })
}

/// Ids of these entities, one behind the other, and their lengths.
fn ids(entities: impl Iterator<Item = u64>) -> (bytes::Bytes, Vec<u32>) {
    let ids: Vec<_> = entities.map(|entity| format!("customer-{entity:010}")).collect();
    (ids.concat().into(), vec![19; ids.len()])
}

fn exposures() -> Kind {
    let arm = |variant: &str| Arm {
        experiment_id: "agent-prompt".into(),
        iteration: 1,
        epoch: 1,
        variant_id: variant.into(),
        reason: 1,
    };
    let (entity_ids, entity_id_lengths) = ids(0..ENTITIES);
    let exposures = ExposureColumns {
        arms: vec![arm("control"), arm("treatment")],
        arm: (0..ENTITIES).map(|entity| u32::from(entity % 2 == 1)).collect(),
        delay_ms: vec![0; entity_id_lengths.len()],
        entity_ids,
        entity_id_lengths,
        ..ExposureColumns::default()
    };
    Kind::Batch(Batch { namespace: "default".into(), exposures: Some(exposures), ..Batch::default() })
}

/// Outcomes from `first` on, of entities in no order.
fn outcomes(first: u64) -> Kind {
    let rows = first..first + ROWS_OF_BATCH;
    let (entity_ids, entity_id_lengths) =
        ids(rows.clone().map(|row| row.wrapping_mul(0x9E37_79B9_7F4A_7C15) % ENTITIES));
    let columns = OutcomeColumns {
        events: vec!["success".into(), "cost".into()],
        event: rows.clone().map(|row| u32::from(row % 2 == 1)).collect(),
        values: rows.clone().map(|row| f64::from(u8::from(row % 5 != 0)) * 0.25).collect(),
        delay_ms: vec![0; entity_id_lengths.len()],
        entity_ids,
        entity_id_lengths,
        ..OutcomeColumns::default()
    };
    Kind::Batch(Batch { namespace: "default".into(), arrival_ms: 1, outcomes: Some(columns), ..Batch::default() })
}

fn journal_frame(sequence: u64, kinds: impl Iterator<Item = Kind>) -> JournalFrame {
    let time_ms = i64::try_from(sequence).unwrap_or_default() * 1000;
    JournalFrame {
        format: frame::FORMAT,
        incarnation: vec![7; 16].into(),
        sequence,
        time_ms,
        entries: kinds.map(|kind| JournalEntry { kind: Some(kind) }).collect(),
    }
}

fn frames() -> Vec<JournalFrame> {
    let per_frame = ROWS_OF_BATCH * BATCHES_OF_FRAME;
    (0..OUTCOMES / per_frame)
        .map(|index| {
            let batches = (0..BATCHES_OF_FRAME).map(|batch| outcomes(index * per_frame + batch * ROWS_OF_BATCH));
            journal_frame(index + 2, batches)
        })
        .collect()
}

fn apply(tally: &mut Tally, frame: &JournalFrame) {
    assert!(tally.apply(frame.sequence, frame).is_ok_and(|applied| !applied.repeated));
}

/// A tally in which every entity is in one experiment, beside `others` that nobody is in.
fn exposed(window_ms: i64, others: usize) -> Tally {
    let plans = (0..others).map(|number| plan(&format!("other-{number}"), window_ms));
    let kinds = plans.chain([plan("agent-prompt", window_ms), exposures()]);
    let mut tally = Tally::new([1; 16]);
    apply(&mut tally, &journal_frame(1, kinds));
    tally
}

fn fold(criterion: &mut Criterion) {
    let first = journal_frame(1, [plan("agent-prompt", 0), exposures()].into_iter());
    let frames = frames();
    let encoded: Vec<_> =
        frames.iter().map(frame::encode).map(|Encoded { bytes, crc }| (bytes::Bytes::from(bytes), crc)).collect();
    let mut group = criterion.benchmark_group("fold");
    group.sample_size(20);
    group.throughput(Throughput::Elements(ENTITIES));
    group.bench_function("exposures", |bencher| {
        bencher.iter_batched_ref(|| Tally::new([1; 16]), |tally| apply(tally, &first), BatchSize::PerIteration);
    });
    group.throughput(Throughput::Elements(OUTCOMES));
    for (name, window_ms, others) in [
        ("outcomes", 0, 0),
        ("outcomes, windows", WINDOW_MS, 0),
        ("outcomes, 1 other experiment", 0, 1),
        ("outcomes, 1000 other experiments", 0, OTHERS),
    ] {
        group.bench_function(name, |bencher| {
            let fold = |tally: &mut Tally| frames.iter().for_each(|frame| apply(tally, frame));
            bencher.iter_batched_ref(|| exposed(window_ms, others), fold, BatchSize::PerIteration);
        });
    }
    group.bench_function("decode and fold", |bencher| {
        let replay = |tally: &mut Tally| {
            for (bytes, crc) in &encoded {
                let frame = frame::decode(bytes.clone(), *crc);
                assert!(frame.is_ok_and(|frame| tally.apply(frame.sequence, &frame).is_ok()));
            }
        };
        bencher.iter_batched_ref(|| exposed(0, 0), replay, BatchSize::PerIteration);
    });
    group.finish();
}

/// What a part of a checkpoint costs while the fold waits, and afterwards.
fn checkpoint(criterion: &mut Criterion) {
    let tally = exposed(WINDOW_MS, 0);
    let mut group = criterion.benchmark_group("checkpoint");
    group.throughput(Throughput::Elements(ENTITIES / (PARTS as u64 - 1)));
    group.bench_function("copy a shard", |bencher| bencher.iter(|| tally.part(1)));
    let part = tally.part(1);
    group.bench_function("encode a shard", |bencher| {
        bencher.iter_batched(|| part.clone(), |part| part.map(Part::encode), BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, fold, checkpoint);
criterion_main!(benches);
