//! One experiment in the form that decides.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;

use super::allocation::allocation;
use super::overrides::Overrides;
use super::rules::{covariates, instant_millis, millis, variants_of, violations};
use super::sticky::{Sticky, remembers};
use crate::error::Violation;
use crate::proto::v1::{AssignmentSource, Experiment, ExperimentStatus, Override};
use crate::split::{Ramp, Rendezvous, TrafficGate};

/// A definition, checked and precomputed.
#[derive(Debug)]
pub struct CompiledExperiment {
    pub(crate) namespace: String,
    pub(crate) id: String,
    pub(crate) entity_type: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) status: ExperimentStatus,
    pub(crate) external: bool,
    pub(crate) iteration: i64,
    pub(crate) epoch: i64,
    /// Of the snapshot, for decisions to name.
    pub(crate) revision: i64,
    /// The control first; never empty.
    pub(crate) control: CompiledVariant,
    pub(crate) treatments: Vec<CompiledVariant>,
    /// Position in control, treatments; what everyone gets after the stop.
    pub(crate) shipped: Option<usize>,
    /// `None` is what nearly all have, and costs a decision one branch.
    pub(crate) overrides: Option<Box<Overrides>>,
    pub(crate) gate: TrafficGate,
    pub(crate) rendezvous: Rendezvous,
    pub(crate) sticky: Sticky,
    /// Whether decisions are remembered.
    pub(crate) measured: bool,
    /// Attributes of exposures that metrics read as numbers.
    pub(crate) covariates: Vec<String>,
    /// Attributes of exposures that results can be broken down by.
    pub(crate) dimensions: Vec<String>,
}

/// A variant with all that an answer needs, encoded once.
#[derive(Debug)]
pub struct CompiledVariant {
    pub(crate) id: String,
    pub(crate) is_control: bool,
    pub(crate) enabled: bool,
    /// Percent of the enrolled.
    pub(crate) weight: f64,
    /// `google.protobuf.Struct`.
    pub(crate) config: Option<Bytes>,
    pub(crate) config_digest: u64,
}

impl CompiledExperiment {
    /// Checks and compiles a canonical definition.
    ///
    /// # Errors
    /// Every broken rule.
    pub fn compile(definition: &Experiment, revision: i64) -> Result<Self, Vec<Violation>> {
        let found = violations(definition);
        if !found.is_empty() {
            return Err(found);
        }
        let in_force = definition.allocation.clone().unwrap_or_else(|| allocation(definition));
        let salt = definition
            .hashing
            .as_ref()
            .map(|hashing| hashing.salt.as_str())
            .filter(|salt| !salt.is_empty())
            .unwrap_or(&definition.id);
        let mut variants = variants_of(definition).map(|(_, variant)| CompiledVariant {
            id: variant.id.clone(),
            is_control: variant.is_control,
            enabled: variant.enabled.unwrap_or(!variant.is_control),
            weight: in_force.weights.get(&variant.id).copied().unwrap_or(0.0),
            config: variant.config.as_ref().map(|config| config.encode_to_vec().into()),
            config_digest: variant.config_digest,
        });
        let Some(control) = variants.next() else {
            return Err(Vec::new());
        };
        let treatments: Vec<_> = variants.collect();
        let arms: Vec<(&str, f64)> =
            std::iter::once(&control).chain(&treatments).map(|variant| (variant.id.as_str(), variant.weight)).collect();
        let rendezvous = Rendezvous::new(salt, &arms);
        let shipped = arms.iter().position(|(id, _)| *id == definition.shipped_variant_id);
        Ok(Self {
            namespace: definition.namespace.clone(),
            id: definition.id.clone(),
            entity_type: definition.entity_type.clone(),
            labels: definition.labels.clone(),
            status: definition.status(),
            external: definition.assignment_source() == AssignmentSource::External,
            iteration: definition.iteration,
            epoch: in_force.epoch,
            revision,
            gate: TrafficGate::new(salt, in_force.traffic_percentage, ramp(definition)),
            rendezvous,
            sticky: Sticky::new(definition, in_force.weights_epoch),
            shipped,
            overrides: None,
            measured: remembers(definition),
            covariates: covariates(&definition.metrics).into_iter().map(str::to_owned).collect(),
            dimensions: definition.analysis_plan.as_ref().map(|plan| plan.dimensions.clone()).unwrap_or_default(),
            control,
            treatments,
        })
    }

    /// Forces a variant, unless the experiment has none of that id.
    pub(super) fn force(&mut self, of: &Override) {
        if let Some(variant) = self.position(&of.variant_id) {
            self.overrides.get_or_insert_default().add(of, variant);
        }
    }

    /// Namespace, never empty.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Id within the namespace.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether it enrols.
    #[must_use]
    pub(crate) fn runs(&self) -> bool {
        self.status == ExperimentStatus::Running
    }

    /// The variant at `position`: 0 is the control, then the treatments in the author's order.
    #[inline]
    #[must_use]
    pub(crate) fn variant(&self, position: usize) -> &CompiledVariant {
        position.checked_sub(1).and_then(|index| self.treatments.get(index)).unwrap_or(&self.control)
    }

    /// Where [`CompiledExperiment::variant`] has this variant of the experiment.
    #[inline]
    pub(crate) fn index_of(&self, variant: &CompiledVariant) -> u32 {
        let treatment = self.treatments.iter().position(|each| std::ptr::eq(each, variant));
        treatment.map_or(0, |index| u32::try_from(index + 1).unwrap_or(u32::MAX))
    }

    /// The control, then the treatments.
    pub(crate) fn variants(&self) -> impl Iterator<Item = &CompiledVariant> {
        std::iter::once(&self.control).chain(&self.treatments)
    }

    /// Position of the variant with this id.
    pub(crate) fn position(&self, id: &str) -> Option<usize> {
        self.variants().position(|variant| variant.id == id)
    }

    /// The variant with this id.
    #[must_use]
    pub(crate) fn variant_by_id(&self, id: &str) -> Option<&CompiledVariant> {
        self.variants().find(|variant| variant.id == id)
    }
}

fn ramp(definition: &Experiment) -> Option<Ramp> {
    let period = definition.config.as_ref()?.ramp_up_period.as_ref()?;
    let started = definition.started_at.as_ref()?;
    Some(Ramp { started_at_ms: instant_millis(started), period_ms: millis(period) })
}
