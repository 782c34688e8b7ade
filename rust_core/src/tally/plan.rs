//! Iterations and what is measured in them.

use std::collections::BTreeMap;

use super::key::{Key, Purpose, Scope};
use crate::proto::storage::v1::{Control, MeasurementPlan, MetricPlan};
use crate::proto::v1::{Aggregation, MetricType};

/// How outcomes become an entity's total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    /// 1 after the first value other than 0.
    Conversion,
    /// The sum of values.
    Sum,
}

impl Measure {
    /// `None` for what this version does not measure.
    pub(super) fn of(metric: &MetricPlan) -> Option<Self> {
        match (metric.r#type(), metric.aggregation()) {
            (MetricType::Conversion, _) => Some(Self::Conversion),
            (MetricType::Continuous, Aggregation::Sum) => Some(Self::Sum),
            _ => None,
        }
    }
}

/// A metric that reads an event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader {
    /// Number of the event in the namespace.
    pub(super) event: u32,
    /// Index in the plan.
    pub(super) metric: usize,
    pub(super) measure: Measure,
}

/// Those first exposed in one epoch to one variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ArmKey {
    pub(super) epoch: i64,
    /// Index in the plan.
    pub(super) variant: u32,
}

/// One iteration of one experiment.
#[derive(Debug)]
pub(super) struct Iteration {
    pub(super) namespace: String,
    pub(super) experiment_id: String,
    pub(super) number: i64,
    pub(super) plan: MeasurementPlan,
    /// Index in the namespace's types.
    pub(super) entity_type: usize,
    pub(super) readers: Vec<Reader>,
    /// In the order in which the journal named them; rows refer to them by index.
    pub(super) arms: Vec<ArmKey>,
    arm_index: BTreeMap<ArmKey, u32>,
    pub(super) stopped: bool,
    pub(super) not_randomized: u64,
    pub(super) exposed_after_stop: u64,
}

impl Iteration {
    pub(super) fn variant(&self, variant_id: &str) -> Option<u32> {
        let at = self.plan.variant_ids.iter().position(|id| id == variant_id)?;
        u32::try_from(at).ok()
    }

    pub(super) fn arm(&mut self, key: ArmKey) -> u32 {
        // Arms are few: one per epoch and variant.
        let next = u32::try_from(self.arms.len()).unwrap_or(u32::MAX);
        let arms = &mut self.arms;
        *self.arm_index.entry(key).or_insert_with(|| {
            arms.push(key);
            next
        })
    }
}

/// A kind of entity that is randomised in a namespace.
#[derive(Debug)]
pub(super) struct EntityType {
    pub(super) name: String,
    pub(super) scope: Scope,
}

/// What rows of a namespace can refer to.
#[derive(Debug, Default)]
pub(super) struct Namespace {
    iterations: BTreeMap<String, BTreeMap<i64, u32>>,
    /// Events that some metric reads.
    events: BTreeMap<String, u32>,
    pub(super) types: Vec<EntityType>,
}

impl Namespace {
    pub(super) fn iteration(&self, experiment_id: &str, number: i64) -> Option<u32> {
        self.iterations.get(experiment_id)?.get(&number).copied()
    }

    pub(super) fn event(&self, name: &str) -> Option<u32> {
        self.events.get(name).copied()
    }

    fn intern_event(&mut self, name: &str) -> u32 {
        let next = u32::try_from(self.events.len()).unwrap_or(u32::MAX);
        *self.events.entry(name.to_owned()).or_insert(next)
    }

    fn intern_type(&mut self, key: &Key, namespace: &str, name: &str) -> usize {
        if let Some(known) = self.types.iter().position(|entity_type| entity_type.name == name) {
            return known;
        }
        let scope = key.scope(Purpose::Entity, &[namespace, name]);
        self.types.push(EntityType { name: name.to_owned(), scope });
        self.types.len() - 1
    }
}

/// All iterations that the journal started; shards know them by their index.
#[derive(Debug, Default)]
pub(super) struct Plans {
    pub(super) iterations: Vec<Iteration>,
    namespaces: BTreeMap<String, Namespace>,
}

impl Plans {
    pub(super) fn namespace(&self, name: &str) -> Option<&Namespace> {
        self.namespaces.get(name)
    }

    pub(super) fn find(&self, namespace: &str, experiment_id: &str, number: i64) -> Option<(usize, &Iteration)> {
        let index = self.namespaces.get(namespace)?.iteration(experiment_id, number)? as usize;
        Some((index, self.iterations.get(index)?))
    }

    /// Starts an iteration; a second start is that of a journal which was completed after a crash.
    pub(super) fn start(&mut self, key: &Key, control: &Control, plan: &MeasurementPlan) {
        if self.find(&control.namespace, &control.experiment_id, control.iteration).is_some() {
            return;
        }
        let namespace = self.namespaces.entry(control.namespace.clone()).or_default();
        let readers = plan.metrics.iter().enumerate().filter_map(|(metric, of)| {
            let event = namespace.intern_event(&of.event);
            Some(Reader { event, metric, measure: Measure::of(of)? })
        });
        let readers = readers.collect();
        let index = u32::try_from(self.iterations.len()).unwrap_or(u32::MAX);
        namespace.iterations.entry(control.experiment_id.clone()).or_default().insert(control.iteration, index);
        self.iterations.push(Iteration {
            entity_type: namespace.intern_type(key, &control.namespace, &plan.entity_type),
            namespace: control.namespace.clone(),
            experiment_id: control.experiment_id.clone(),
            number: control.iteration,
            plan: plan.clone(),
            readers,
            arms: Vec::new(),
            arm_index: BTreeMap::new(),
            stopped: false,
            not_randomized: 0,
            exposed_after_stop: 0,
        });
    }
}
