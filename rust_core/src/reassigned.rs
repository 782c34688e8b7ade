//! How many entities another definition of an experiment would move.

use std::collections::BTreeMap;

use crate::decide::{Prior, Who, decide};
use crate::error::Violation;
use crate::proto::v1::{Experiment, ExperimentStatus};
use crate::snapshot::experiment::CompiledExperiment;

/// Percent of the entities enrolled under `before` that get another variant under `after`; `None` if
/// nobody is enrolled under `before`.
///
/// Counted over the ids `0` to `entities - 1`, with both definitions running and their ramps over.
/// Who is no longer enrolled gets the control, which is another variant for those who had another.
///
/// # Errors
/// Every broken rule of either definition.
pub fn reassigned(before: Experiment, after: Experiment, entities: u32) -> Result<Option<f64>, Vec<Violation>> {
    let (before, after) = (running(before)?, running(after)?);
    let none = BTreeMap::new();
    let (mut enrolled, mut moved) = (0_u32, 0_u32);
    for number in 0..entities {
        let entity_id = number.to_string();
        let who = Who { entity_id: &entity_id, entities: &none };
        let first = decide(&before, who, 0, &Prior::None);
        if first.enrolled {
            enrolled += 1;
            moved += u32::from(decide(&after, who, 0, &Prior::None).variant_id() != first.variant_id());
        }
    }
    Ok((enrolled > 0).then(|| f64::from(moved) / f64::from(enrolled) * 100.0))
}

fn running(mut definition: Experiment) -> Result<CompiledExperiment, Vec<Violation>> {
    definition.set_status(ExperimentStatus::Running);
    if let Some(config) = &mut definition.config {
        config.ramp_up_period = None;
    }
    CompiledExperiment::compile(&definition, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1::{Allocation, ExperimentConfig, ExperimentType, Variant};
    use crate::snapshot::canonical::canonical;

    const ENTITIES: u32 = 20_000;

    fn with(weights: &[(&str, f64)], traffic: f64) -> Experiment {
        let mut arms = weights.iter().map(|(id, _)| Variant { id: (*id).to_owned(), ..Variant::default() });
        canonical(Experiment {
            id: "exp".to_owned(),
            r#type: ExperimentType::AbTest.into(),
            control: arms.next(),
            variants: arms.collect(),
            allocation: Some(Allocation {
                weights: weights.iter().map(|(id, weight)| ((*id).to_owned(), *weight)).collect(),
                traffic_percentage: traffic,
                ..Allocation::default()
            }),
            ..Experiment::default()
        })
    }

    /// Of two arms rendezvous moves just the share that shrank, so that the expected percents are those of the
    /// shares. Five standard errors of 20,000 entities are at most 1.8.
    #[test]
    fn as_many_move_as_the_shares_say() {
        let halves = with(&[("a", 50.0), ("b", 50.0)], 100.0);
        for (after, expected, within) in [
            (halves.clone(), 0.0, 0.0),
            (with(&[("a", 40.0), ("b", 60.0)], 100.0), 10.0, 1.8),
            (with(&[("a", 100.0), ("b", 0.0)], 100.0), 50.0, 1.8),
            // Half of the treated lose their place, and get the control instead.
            (with(&[("a", 50.0), ("b", 50.0)], 50.0), 25.0, 1.8),
        ] {
            let found = reassigned(halves.clone(), after, ENTITIES).unwrap().unwrap();
            assert!((found - expected).abs() <= within, "{found} instead of {expected}");
        }
    }

    /// Whether a running experiment may be changed is asked before it runs, while it ramps, and paused.
    #[test]
    fn status_and_ramp_make_no_difference() {
        let (mut before, mut after) =
            (with(&[("a", 50.0), ("b", 50.0)], 20.0), with(&[("a", 30.0), ("b", 70.0)], 20.0));
        let expected = reassigned(before.clone(), after.clone(), ENTITIES).unwrap();
        before.set_status(ExperimentStatus::Paused);
        after.config = Some(ExperimentConfig {
            ramp_up_period: Some(prost_types::Duration { seconds: 3600, nanos: 0 }),
            ..ExperimentConfig::default()
        });
        after.started_at = Some(prost_types::Timestamp { seconds: 1, nanos: 0 });

        assert_eq!(expected, reassigned(before, after, ENTITIES).unwrap());
    }

    #[test]
    fn nobody_is_moved_where_nobody_is_enrolled() {
        let nobody = with(&[("a", 50.0), ("b", 50.0)], 0.0);
        let everybody = with(&[("a", 50.0), ("b", 50.0)], 100.0);

        assert_eq!(None, reassigned(nobody.clone(), everybody.clone(), ENTITIES).unwrap());
        assert_eq!(None, reassigned(everybody, nobody.clone(), 0).unwrap());
        assert!(reassigned(nobody, Experiment::default(), 1).is_err());
    }
}
