//! Variants that people force on one entity or on everyone.

use std::collections::HashMap;

use super::rules::instant_millis;
use crate::proto::v1::{DecisionReason, Override};

/// Overrides of one experiment.
#[derive(Debug, Default)]
pub(crate) struct Overrides {
    everyone: Option<Forced>,
    entities: HashMap<String, Forced>,
}

/// A variant by force.
#[derive(Clone, Copy, Debug)]
struct Forced {
    /// Position in control, treatments.
    variant: usize,
    /// Unix milliseconds.
    expires_at_ms: Option<i64>,
}

impl Forced {
    fn acts(self, now_ms: i64) -> bool {
        self.expires_at_ms.is_none_or(|expires_at_ms| now_ms < expires_at_ms)
    }
}

impl Overrides {
    /// Takes the place of an earlier one for the same entity.
    pub(super) fn add(&mut self, of: &Override, variant: usize) {
        let forced = Forced { variant, expires_at_ms: of.expires_at.as_ref().map(instant_millis) };
        if of.entity_id.is_empty() {
            self.everyone = Some(forced);
        } else {
            self.entities.insert(of.entity_id.clone(), forced);
        }
    }

    /// Position of the variant that is forced on the entity, and by which kind of override.
    pub(crate) fn forced(&self, entity_id: &str, now_ms: i64) -> Option<(usize, DecisionReason)> {
        let own = self.entities.get(entity_id).map(|forced| (forced, DecisionReason::EntityOverride));
        let everyone = self.everyone.as_ref().map(|forced| (forced, DecisionReason::ExperimentOverride));
        [own, everyone]
            .into_iter()
            .flatten()
            .find(|(forced, _)| forced.acts(now_ms))
            .map(|(forced, reason)| (forced.variant, reason))
    }
}
