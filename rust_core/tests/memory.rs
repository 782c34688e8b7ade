//! Bytes of memory for an entity in an experiment, counted by the allocator.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use klero_core::journal::frame::FORMAT;
use klero_core::proto::storage::v1::control::Action;
use klero_core::proto::storage::v1::journal_entry::Kind;
use klero_core::proto::storage::v1::{
    Arm, Batch, Control, ExposureColumns, JournalEntry, JournalFrame, MeasurementPlan, MetricPlan,
};
use klero_core::proto::v1::{Aggregation, MetricType};
use klero_core::tally::Tally;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// What a node with a hundred million of them can afford.
const ALLOWED: usize = 120;
const ENTITIES: u32 = 1_000_000;
const ROWS_OF_FRAME: u32 = 5_000;
/// Below, what is there once weighs on few.
const FROM: u32 = 200_000;

fn frame(sequence: u64, kind: Kind) -> JournalFrame {
    JournalFrame {
        format: FORMAT,
        incarnation: vec![7; 16].into(),
        sequence,
        time_ms: 1,
        entries: vec![JournalEntry { kind: Some(kind) }],
    }
}

fn plan() -> Kind {
    let metric = |name: &str, window_ms| MetricPlan {
        name: name.into(),
        event: name.into(),
        r#type: MetricType::Continuous.into(),
        aggregation: Aggregation::Sum.into(),
        window_ms,
        ..MetricPlan::default()
    };
    let plan = MeasurementPlan {
        entity_type: "user".into(),
        variant_ids: vec!["a".into(), "b".into()],
        metrics: vec![metric("success", 60_000), metric("cost", 60_000)],
        ..MeasurementPlan::default()
    };
    Kind::Control(Control {
        namespace: "default".into(),
        experiment_id: "exp".into(),
        iteration: 1,
        time_ms: 0,
        action: Some(Action::Started(plan)),
    })
}

fn exposures(first: u32) -> Kind {
    let rows = first..first + ROWS_OF_FRAME;
    let ids: Vec<_> = rows.clone().map(|row| format!("customer-{row:010}")).collect();
    let arm = |variant: &str| Arm {
        experiment_id: "exp".into(),
        iteration: 1,
        epoch: 1,
        variant_id: variant.into(),
        reason: 1,
    };
    let columns = ExposureColumns {
        arms: vec![arm("a"), arm("b")],
        arm: rows.map(|row| row % 2).collect(),
        entity_id_lengths: vec![19; ids.len()],
        delay_ms: vec![0; ids.len()],
        entity_ids: ids.concat().into(),
        ..ExposureColumns::default()
    };
    Kind::Batch(Batch { namespace: "default".into(), arrival_ms: 1, exposures: Some(columns), ..Batch::default() })
}

/// A node holds a hundred million of these: at a million, and at any moment before, so also just
/// after tables have doubled.
#[test]
fn an_entity_with_two_metrics_takes_at_most_120_bytes() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let mut tally = Tally::new([1; 16]);
    tally.apply(1, &frame(1, plan())).unwrap();
    let before = dhat::HeapStats::get().curr_bytes;
    let mut worst = 0;
    let mut last = 0;
    for (sequence, first) in (2..).zip((0..ENTITIES).step_by(ROWS_OF_FRAME as usize)) {
        tally.apply(sequence, &frame(sequence, exposures(first))).unwrap();
        let entities = (first + ROWS_OF_FRAME) as usize;
        last = (dhat::HeapStats::get().curr_bytes - before) / entities;
        if first >= FROM {
            worst = worst.max(last);
        }
    }
    let tally = tally.iteration("default", "exp", 1).unwrap();

    assert_eq!(i64::from(ENTITIES), tally.arms.iter().map(|arm| arm.enrolled).sum::<i64>());
    println!("{last} bytes at a million entities, at most {worst}");
    assert!(worst <= ALLOWED, "{worst}");
}
