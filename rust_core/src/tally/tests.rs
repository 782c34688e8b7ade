use super::key::Key;
use super::measure::Measurement;
use super::member::Exposure;
use super::plan::Plans;
use super::shard::Shard;
use crate::proto::storage::v1::{Control, MeasurementPlan, MetricPlan};
use crate::proto::v1::{Aggregation, MetricType};

fn plans(metrics: usize) -> Plans {
    let metric = MetricPlan {
        r#type: MetricType::Continuous.into(),
        aggregation: Aggregation::Sum.into(),
        window_ms: 1000,
        ..MetricPlan::default()
    };
    let plan = MeasurementPlan { metrics: vec![metric; metrics], ..MeasurementPlan::default() };
    let mut plans = Plans::default();
    plans.start(&Key::new([0; 16]), &Control::default(), &plan, Measurement::new(&plan).unwrap());
    plans
}

/// A node holds a hundred million of these; the worst moment is just after a table has grown.
#[test]
fn a_membership_with_two_metrics_takes_at_most_120_bytes_at_any_time() {
    let plans = plans(2);
    let mut shard = Shard::default();
    let mut worst = 0;
    for entity in 1..=200_000u64 {
        let exposure = Exposure { iteration: 0, arm: 0, at_ms: 0, arrived_ms: 0, covariates: &[], dimensions: &[] };
        shard.expose(entity.wrapping_mul(0xD6E8_FEB8_6659_FD93), &exposure, &plans.iterations[0]);
        if entity > 1000 {
            worst = worst.max(shard.bytes() * 100 / usize::try_from(entity).unwrap());
        }
    }

    assert!(worst <= 12_000, "{worst} hundredths of a byte");
}
