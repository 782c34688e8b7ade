//! The walk through the gates: from an entity to its variant.
//!
//! Pure and total: arguments in, decision out, time included. Queueing the exposure is the
//! caller's business, and whatever could fail has failed while compiling.

mod prior;

use std::collections::BTreeMap;

use crate::proto::v1::{DecisionReason, ExperimentStatus};
use crate::snapshot::experiment::{CompiledExperiment, CompiledVariant};
use crate::snapshot::sticky::Sticky;
pub use prior::{Prior, Priors};

/// Longest entity id, in bytes of UTF-8.
pub const MAX_ENTITY_ID_BYTES: usize = 256;

/// Who asks, as `klero.v1.Context` says.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// The id for types that `entities` does not name.
    pub entity_id: &'a str,
    /// By entity type.
    pub entities: &'a BTreeMap<String, String>,
}

impl<'a> Who<'a> {
    /// The id for `entity_type`; `None` if there is none, or an empty or too long one.
    #[inline]
    #[must_use]
    pub fn id_for(&self, entity_type: &str) -> Option<&'a str> {
        // Callers with one type send no map: the common case costs no look-up.
        let named = if self.entities.is_empty() { None } else { self.entities.get(entity_type) };
        let id = named.map_or(self.entity_id, String::as_str);
        (!id.is_empty() && id.len() <= MAX_ENTITY_ID_BYTES).then_some(id)
    }
}

/// What an entity gets, and why.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'s> {
    pub(crate) experiment: &'s CompiledExperiment,
    pub(crate) variant: &'s CompiledVariant,
    /// Which gate decided.
    pub reason: DecisionReason,
    /// Whether the entity takes part.
    pub enrolled: bool,
    /// Whether chance chose: only these entities are analysed.
    pub randomized: bool,
    /// What `IsEnabled` answers.
    pub enabled: bool,
    /// Probability of this variant for an enrolled entity; 0 where not randomized.
    pub propensity: f64,
    /// The id that was hashed; empty for `ENTITY_MISSING`.
    pub entity_id: &'s str,
}

impl<'s> Decision<'s> {
    /// Id of the variant to act on.
    #[must_use]
    pub fn variant_id(&self) -> &'s str {
        &self.variant.id
    }
}

/// Decides `experiment` for `who` at `now_ms` (Unix milliseconds); `priors` knows who had which variant
/// first.
#[inline]
#[must_use]
pub fn decide<'s>(experiment: &'s CompiledExperiment, who: Who<'s>, now_ms: i64, priors: &impl Priors) -> Decision<'s> {
    let outside = |reason, entity_id| Decision {
        experiment,
        variant: &experiment.control,
        reason,
        enrolled: false,
        randomized: false,
        enabled: false,
        propensity: 0.0,
        entity_id,
    };
    let Some(entity_id) = who.id_for(&experiment.entity_type) else {
        return outside(DecisionReason::EntityMissing, "");
    };
    if let Some(overrides) = &experiment.overrides
        && let Some((position, reason)) = overrides.forced(entity_id, now_ms)
    {
        let variant = experiment.variant(position);
        return Decision { variant, enrolled: true, enabled: variant.enabled, ..outside(reason, entity_id) };
    }
    let unshipped = match experiment.status {
        ExperimentStatus::Running => None,
        ExperimentStatus::Paused => return outside(DecisionReason::Paused, entity_id),
        // What was shipped stays until the next iteration begins.
        ExperimentStatus::Unspecified | ExperimentStatus::Draft | ExperimentStatus::Scheduled => {
            Some(DecisionReason::NotStarted)
        }
        ExperimentStatus::Draining
        | ExperimentStatus::Stopped
        | ExperimentStatus::RolledBack
        | ExperimentStatus::Archived => Some(DecisionReason::Stopped),
    };
    if let Some(reason) = unshipped {
        let Some(shipped) = experiment.shipped else {
            return outside(reason, entity_id);
        };
        let variant = experiment.variant(shipped);
        return Decision { variant, enabled: variant.enabled, ..outside(DecisionReason::Shipped, entity_id) };
    }
    if !experiment.gate.admits(entity_id, now_ms) {
        return outside(DecisionReason::NotInTraffic, entity_id);
    }
    let prior = if experiment.sticky == Sticky::Off { Prior::None } else { priors.first(experiment, entity_id) };
    let (variant, reason) = match (prior, experiment.rendezvous.choose(entity_id)) {
        (Prior::Variant(first), _) => (experiment.variant(first), DecisionReason::Sticky),
        (_, None) => return outside(DecisionReason::NotInTraffic, entity_id),
        (Prior::None, Some(chosen)) => (experiment.variant(chosen), DecisionReason::Split),
        (Prior::Unknown, Some(chosen)) => {
            let variant = experiment.variant(chosen);
            let unknown = outside(DecisionReason::StickyUnavailable, entity_id);
            return Decision { variant, enabled: variant.enabled, ..unknown };
        }
    };
    Decision {
        experiment,
        variant,
        reason,
        enrolled: true,
        randomized: true,
        enabled: variant.enabled,
        propensity: variant.weight / 100.0,
        entity_id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1;
    use crate::snapshot::Snapshot;
    use crate::snapshot::canonical::canonical;

    fn variant(id: &str) -> v1::Variant {
        v1::Variant { id: id.to_owned(), ..v1::Variant::default() }
    }

    fn definition() -> v1::Experiment {
        v1::Experiment {
            id: "exp".to_owned(),
            r#type: v1::ExperimentType::AbTest.into(),
            status: ExperimentStatus::Running.into(),
            iteration: 1,
            control: Some(variant("a")),
            variants: vec![variant("b")],
            ..v1::Experiment::default()
        }
    }

    fn experiment(change: impl FnOnce(&mut v1::Experiment)) -> Snapshot {
        let mut definition = definition();
        change(&mut definition);
        Snapshot::compile(&v1::Snapshot { experiments: vec![canonical(definition)], ..v1::Snapshot::default() })
            .unwrap()
    }

    fn decided(snapshot: &Snapshot, entity_id: &str) -> (DecisionReason, String, bool, bool) {
        let entities = BTreeMap::new();
        let who = Who { entity_id, entities: &entities };
        let decision = decide(snapshot.experiment("", "exp").unwrap(), who, 0, &Prior::None);
        (decision.reason, decision.variant_id().to_owned(), decision.enrolled, decision.enabled)
    }

    #[test]
    fn without_a_usable_id_everyone_gets_the_control() {
        let snapshot = experiment(|_| {});
        let longest = "x".repeat(MAX_ENTITY_ID_BYTES);

        assert_eq!(DecisionReason::EntityMissing, decided(&snapshot, "").0);
        assert_eq!(DecisionReason::EntityMissing, decided(&snapshot, &(longest.clone() + "x")).0);
        assert_eq!(DecisionReason::Split, decided(&snapshot, &longest).0);
    }

    #[test]
    fn the_entity_type_picks_the_id() {
        let snapshot = experiment(|definition| definition.entity_type = "session".to_owned());
        let entities = BTreeMap::from([("session".to_owned(), "s9".to_owned())]);
        let experiment = snapshot.experiment("", "exp").unwrap();

        assert_eq!("s9", decide(experiment, Who { entity_id: "u1", entities: &entities }, 0, &Prior::None).entity_id);
        assert_eq!(
            "u1",
            decide(experiment, Who { entity_id: "u1", entities: &BTreeMap::new() }, 0, &Prior::None).entity_id
        );
    }

    #[test]
    fn status_decides_before_chance() {
        for (status, shipped, reason, variant, enabled) in [
            (ExperimentStatus::Draft, "", DecisionReason::NotStarted, "a", false),
            (ExperimentStatus::Paused, "", DecisionReason::Paused, "a", false),
            (ExperimentStatus::Stopped, "", DecisionReason::Stopped, "a", false),
            (ExperimentStatus::Stopped, "b", DecisionReason::Shipped, "b", true),
            (ExperimentStatus::Stopped, "a", DecisionReason::Shipped, "a", false),
        ] {
            let snapshot = experiment(|definition| {
                definition.status = status.into();
                definition.shipped_variant_id = shipped.to_owned();
            });
            assert_eq!((reason, variant.to_owned(), false, enabled), decided(&snapshot, "entity"));
        }
    }

    /// Whoever forces a variant forces it whatever the status, and nobody counts it.
    #[test]
    fn overrides_decide_before_the_status_and_only_until_they_expire() {
        let forced = |entity_id: &str, variant_id: &str, nanos: i32| v1::Override {
            experiment_id: "exp".to_owned(),
            entity_id: entity_id.to_owned(),
            variant_id: variant_id.to_owned(),
            expires_at: (nanos > 0).then_some(prost_types::Timestamp { seconds: 0, nanos }),
            ..v1::Override::default()
        };
        for status in [ExperimentStatus::Draft, ExperimentStatus::Running, ExperimentStatus::Stopped] {
            let mut definition = definition();
            definition.status = status.into();
            definition.entity_type = "user".to_owned();
            let snapshot = Snapshot::compile(&v1::Snapshot {
                experiments: vec![canonical(definition)],
                overrides: vec![
                    forced("", "a", 0),
                    forced("short", "b", 5_900_000),
                    forced("own", "a", 0),
                    forced("own", "b", 0),
                    forced("gone", "c", 0),
                    v1::Override { experiment_id: "another".to_owned(), ..forced("", "a", 0) },
                    v1::Override { namespace: "another".to_owned(), ..forced("", "a", 0) },
                ],
                ..v1::Snapshot::default()
            })
            .unwrap();
            let experiment = snapshot.experiment("default", "exp").unwrap();
            let entities = BTreeMap::new();
            let given = |entity_id, now_ms| {
                let decision = decide(experiment, Who { entity_id, entities: &entities }, now_ms, &Prior::None);
                assert!((decision.enrolled, decision.randomized) == (!entity_id.is_empty(), false), "{entity_id}");
                assert!(decision.propensity == 0.0, "{entity_id}");
                assert_eq!(decision.variant_id() == "b", decision.enabled, "{entity_id}");
                (decision.reason, decision.variant_id())
            };

            assert_eq!((DecisionReason::EntityOverride, "b"), given("own", i64::MAX));
            assert_eq!((DecisionReason::EntityOverride, "b"), given("short", 4));
            assert_eq!((DecisionReason::ExperimentOverride, "a"), given("short", 5));
            assert_eq!((DecisionReason::ExperimentOverride, "a"), given("gone", 0));
            assert_eq!((DecisionReason::EntityMissing, "a"), given("", 0));
        }
    }

    #[test]
    fn nobody_is_enrolled_without_traffic() {
        let snapshot = experiment(|definition| {
            definition.config =
                Some(v1::ExperimentConfig { traffic_percentage: Some(0.0), ..v1::ExperimentConfig::default() });
        });

        assert_eq!((DecisionReason::NotInTraffic, "a".to_owned(), false, false), decided(&snapshot, "entity"));
    }

    #[test]
    fn a_flag_at_twenty_percent_is_on_for_a_fifth_and_everyone_is_enrolled() {
        let snapshot = experiment(|definition| {
            definition.r#type = v1::ExperimentType::FeatureFlag.into();
            definition.config =
                Some(v1::ExperimentConfig { traffic_percentage: Some(20.0), ..v1::ExperimentConfig::default() });
        });
        let decisions: Vec<_> = (0..10_000).map(|index| decided(&snapshot, &format!("u{index}"))).collect();

        assert!(decisions.iter().all(|(_, _, enrolled, _)| *enrolled));
        let on = decisions.iter().filter(|(_, _, _, enabled)| *enabled).count();
        // Five standard deviations of a binomial of 10,000 at .2 are 200.
        assert!(on.abs_diff(2000) < 200, "{on}");
    }

    #[test]
    fn traffic_says_nothing_about_the_variant() {
        let snapshot = experiment(|definition| {
            definition.config =
                Some(v1::ExperimentConfig { traffic_percentage: Some(50.0), ..v1::ExperimentConfig::default() });
        });
        let inside: Vec<_> = (0..20_000)
            .map(|index| decided(&snapshot, &format!("u{index}")))
            .filter(|(_, _, enrolled, _)| *enrolled)
            .collect();
        let treated = inside.iter().filter(|(_, variant, _, _)| variant == "b").count();

        // Five standard deviations of a binomial of 10,000 at .5 are 250.
        assert!(treated.abs_diff(inside.len() / 2) < 250, "{treated} of {}", inside.len());
    }
}
