//! Whether entities keep the variant of their first exposure when weights change.

use crate::proto::v1::{AssignmentSource, Experiment, ExperimentType, StickyMode};

/// Entity types that come once: nobody is there to keep anything.
const ONCE: [&str; 2] = ["run", "task"];

/// What stickiness asks of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sticky {
    /// The hash decides alone.
    Off,
    /// Entities keep their variant, which so far is what the hash gives.
    Unchanged,
    /// Weights have changed in this iteration: the hash may give another variant than the first one.
    Changed,
}

impl Sticky {
    pub(super) fn new(definition: &Experiment, weights_epoch: i64) -> Self {
        match (keeps_variants(definition), weights_epoch > 1) {
            (false, _) => Self::Off,
            (true, false) => Self::Unchanged,
            (true, true) => Self::Changed,
        }
    }
}

/// Whether an entity's first variant outlives a change of weights.
///
/// Unless the author says: for bandits and tests whose entities come back, but not where weights are the
/// share that is meant to have the variant now, as in flags and canaries.
#[must_use]
pub fn keeps_variants(definition: &Experiment) -> bool {
    if definition.assignment_source() == AssignmentSource::External || !remembers(definition) {
        return false;
    }
    match definition.sticky() {
        StickyMode::Off => false,
        StickyMode::Entity => true,
        StickyMode::Unspecified => {
            let by_chance = matches!(definition.r#type(), ExperimentType::AbTest | ExperimentType::MultiarmBandit);
            by_chance && !ONCE.contains(&definition.entity_type.as_str())
        }
    }
}

/// Whether decisions are remembered: a flag without metrics has nothing to compare.
pub(crate) fn remembers(definition: &Experiment) -> bool {
    definition.r#type() != ExperimentType::FeatureFlag || !definition.metrics.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1::Metric;

    #[test]
    fn who_comes_back_keeps_its_variant_unless_weights_are_a_rollout() {
        let (test, bandit, flag, canary) = (
            ExperimentType::AbTest,
            ExperimentType::MultiarmBandit,
            ExperimentType::FeatureFlag,
            ExperimentType::Canary,
        );
        let unsaid = StickyMode::Unspecified;
        for (of_type, entity_type, mode, expected) in [
            (test, "user", unsaid, true),
            (test, "", unsaid, true),
            (test, "run", unsaid, false),
            (test, "task", unsaid, false),
            (test, "task", StickyMode::Entity, true),
            (test, "user", StickyMode::Off, false),
            (bandit, "session", unsaid, true),
            (bandit, "run", unsaid, false),
            (flag, "user", unsaid, false),
            (flag, "user", StickyMode::Entity, true),
            (canary, "user", unsaid, false),
        ] {
            let mut definition = Experiment {
                r#type: of_type.into(),
                entity_type: entity_type.to_owned(),
                sticky: mode.into(),
                metrics: vec![Metric::default()],
                ..Experiment::default()
            };
            assert_eq!(expected, keeps_variants(&definition), "{of_type:?} {entity_type} {mode:?}");
            definition.set_assignment_source(AssignmentSource::External);
            assert!(!keeps_variants(&definition));
        }
    }

    #[test]
    fn nothing_is_looked_up_before_weights_have_changed() {
        let test = Experiment { r#type: ExperimentType::AbTest.into(), ..Experiment::default() };
        let off = Experiment { sticky: StickyMode::Off.into(), ..test.clone() };

        let found = [(&test, 0), (&test, 1), (&test, 2), (&off, 2)].map(|(of, epoch)| Sticky::new(of, epoch));

        assert_eq!([Sticky::Unchanged, Sticky::Unchanged, Sticky::Changed, Sticky::Off], found);
    }
}
