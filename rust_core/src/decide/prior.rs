//! What is known of earlier decisions: the variant that an entity had first.

use crate::snapshot::experiment::CompiledExperiment;

/// The variant of an entity's first exposure in an iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prior {
    /// It was not exposed yet.
    None,
    /// Position in control, treatments.
    Variant(usize),
    /// It cannot be looked up now.
    Unknown,
}

/// Who knows of earlier decisions; asked only about experiments in which entities keep their variant.
pub trait Priors {
    /// What the entity had first.
    fn first(&self, experiment: &CompiledExperiment, entity_id: &str) -> Prior;
}

/// The same for every experiment and entity.
impl Priors for Prior {
    #[inline]
    fn first(&self, _: &CompiledExperiment, _: &str) -> Prior {
        *self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::decide::{Decision, Who, decide};
    use crate::proto::v1;
    use crate::proto::v1::{DecisionReason, ExperimentStatus, StickyMode};
    use crate::snapshot::Snapshot;
    use crate::snapshot::canonical::canonical;

    const IDS: [&str; 3] = ["a", "b", "c"];

    fn running(shares: &[f64; 3], traffic: f64, sticky: StickyMode) -> Snapshot {
        let sum: f64 = shares.iter().sum();
        let weights = IDS.iter().zip(shares).map(|(id, share)| ((*id).to_owned(), share / sum * 100.0));
        let mut arms = IDS.iter().map(|id| v1::Variant { id: (*id).to_owned(), ..v1::Variant::default() });
        let definition = v1::Experiment {
            id: "exp".to_owned(),
            r#type: v1::ExperimentType::AbTest.into(),
            status: ExperimentStatus::Running.into(),
            sticky: sticky.into(),
            iteration: 1,
            control: arms.next(),
            variants: arms.collect(),
            allocation: Some(v1::Allocation {
                epoch: 2,
                weights_epoch: 2,
                weights: weights.collect(),
                traffic_percentage: traffic,
                ..v1::Allocation::default()
            }),
            ..v1::Experiment::default()
        };
        let snapshot = v1::Snapshot { experiments: vec![canonical(definition)], ..v1::Snapshot::default() };
        Snapshot::compile(&snapshot).unwrap()
    }

    fn with<T>(snapshot: &Snapshot, entity_id: &str, prior: Prior, read: impl Fn(&Decision) -> T) -> T {
        let entities = BTreeMap::new();
        read(&decide(snapshot.experiment("", "exp").unwrap(), Who { entity_id, entities: &entities }, 0, &prior))
    }

    fn answer(decision: &Decision) -> (String, bool, bool, bool, u64) {
        let Decision { enrolled, randomized, enabled, propensity, .. } = *decision;
        (decision.variant_id().to_owned(), enrolled, randomized, enabled, propensity.to_bits())
    }

    fn position(variant_id: &str) -> usize {
        IDS.iter().position(|id| *id == variant_id).unwrap()
    }

    fn shares() -> impl Strategy<Value = [f64; 3]> {
        [0.0..100.0, 0.01..100.0, 0.0..100.0]
    }

    proptest! {
        #[test]
        fn a_first_decision_is_that_of_the_hash(entity in ".{1,20}", shares in shares(), traffic in 0.0..=100.0) {
            let keeping = running(&shares, traffic, StickyMode::Entity);
            let hashing = running(&shares, traffic, StickyMode::Off);
            let reason = |decision: &Decision| decision.reason;
            let first = with(&keeping, &entity, Prior::None, answer);

            prop_assert_eq!(&first, &with(&hashing, &entity, Prior::None, answer));
            prop_assert_eq!(first, with(&hashing, &entity, Prior::Variant(2), answer));
            let reasons = [&keeping, &hashing].map(|snapshot| with(snapshot, &entity, Prior::None, reason));
            prop_assert_eq!(reasons[0], reasons[1]);
        }

        #[test]
        fn as_long_as_weights_stay_the_first_variant_is_that_of_the_hash(
            entity in ".{1,20}", shares in shares(), traffic in 0.0..=100.0,
        ) {
            let snapshot = running(&shares, traffic, StickyMode::Entity);
            let first = with(&snapshot, &entity, Prior::None, answer);
            let again = with(&snapshot, &entity, Prior::Variant(position(&first.0)), answer);

            prop_assert_eq!(first, again);
        }

        #[test]
        fn whatever_the_weights_are_the_first_variant_stays_and_traffic_goes_first(
            entity in ".{1,20}", shares in shares(), first in 0_usize..3, traffic in 0.0..=100.0,
        ) {
            let snapshot = running(&shares, traffic, StickyMode::Entity);
            let inside = with(&snapshot, &entity, Prior::None, |decision| decision.enrolled);
            let reason = if inside { DecisionReason::Sticky } else { DecisionReason::NotInTraffic };
            let kept = if inside { IDS[first] } else { "a" };

            let found = with(&snapshot, &entity, Prior::Variant(first), |decision| (decision.reason, answer(decision)));

            prop_assert_eq!((reason, kept, inside, inside), (found.0, found.1.0.as_str(), found.1.1, found.1.2));
        }
    }
}
