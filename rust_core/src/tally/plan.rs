//! Iterations and what is measured in them: what the journal's controls said.

use std::collections::BTreeMap;

use super::key::{Key, Purpose, Scope};
use super::measure::{Measurement, Role};
use crate::proto::storage::v1::{Control, MeasurementPlan};
use crate::proto::v1::MetricType;

/// A metric that reads an event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader {
    /// Number of the event in the namespace.
    pub(super) event: u32,
    /// Index in the plan.
    pub(super) metric: usize,
    pub(super) role: Role,
}

/// Those first exposed in one epoch to one variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ArmKey {
    pub(super) epoch: i64,
    /// Index in the plan.
    pub(super) variant: u32,
}

/// When an epoch opened, and with what.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Epoch {
    pub(super) number: i64,
    pub(super) opened_ms: i64,
    pub(super) weights: BTreeMap<String, f64>,
}

/// One iteration of one experiment.
#[derive(Debug)]
pub(super) struct Iteration {
    pub(super) namespace: String,
    pub(super) experiment_id: String,
    pub(super) number: i64,
    pub(super) plan: MeasurementPlan,
    pub(super) measurement: Measurement,
    /// Index in the namespace's types.
    pub(super) entity_type: u32,
    pub(super) readers: Vec<Reader>,
    /// In the order in which the journal named them; rows refer to them by index.
    pub(super) arms: Vec<ArmKey>,
    arm_index: BTreeMap<ArmKey, u32>,
    /// Epochs that the journal was told of, by number. Journals of earlier versions lack the first one.
    pub(super) epochs: Vec<Epoch>,
    /// Begin and, once it is over, end of each pause.
    pub(super) pauses: Vec<(i64, Option<i64>)>,
    pub(super) stopped: bool,
    /// Whether windows that were open at the stop are closed.
    pub(super) cut: bool,
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

    /// Remembers an epoch, unless it is known; it may come later than exposures of it, and than later
    /// epochs.
    pub(super) fn open(&mut self, epoch: Epoch) {
        let at = self.epochs.partition_point(|known| known.number < epoch.number);
        if self.epochs.get(at).is_none_or(|known| known.number != epoch.number) {
            self.epochs.insert(at, epoch);
        }
    }

    /// Whether nobody new is enrolled for now.
    pub(super) fn paused(&self) -> bool {
        self.pauses.last().is_some_and(|(_, end)| end.is_none())
    }

    pub(super) fn reads(&self, event: u32) -> bool {
        self.readers.iter().any(|reader| reader.event == event)
    }

    /// Whether there was a pause between the two times.
    pub(super) fn paused_between(&self, from_ms: i64, to_ms: i64) -> bool {
        self.pauses.iter().any(|(begin, end)| *begin < to_ms && end.is_none_or(|end| end > from_ms))
    }
}

/// What rows of a namespace can refer to.
#[derive(Debug)]
pub(super) struct Namespace {
    iterations: BTreeMap<String, BTreeMap<i64, u32>>,
    /// Events that some metric reads.
    events: BTreeMap<String, u32>,
    /// By the number of the event: iterations that enrol and read it.
    running: Vec<u32>,
    types: Vec<String>,
    /// Hashes the ids of entities, whatever their type.
    pub(super) scope: Scope,
}

impl Namespace {
    fn new(key: &Key, name: &str) -> Self {
        Self {
            iterations: BTreeMap::new(),
            events: BTreeMap::new(),
            running: Vec::new(),
            types: Vec::new(),
            scope: key.scope(Purpose::Entity, &[name]),
        }
    }

    pub(super) fn iteration(&self, experiment_id: &str, number: i64) -> Option<u32> {
        self.iterations.get(experiment_id)?.get(&number).copied()
    }

    pub(super) fn event(&self, name: &str) -> Option<u32> {
        self.events.get(name).copied()
    }

    /// How many iterations enrol and read the event.
    pub(super) fn running(&self, event: u32) -> u32 {
        self.running.get(event as usize).copied().unwrap_or_default()
    }

    pub(super) fn types(&self) -> &[String] {
        &self.types
    }

    pub(super) fn entity_type(&self, name: &str) -> Option<u32> {
        self.types.iter().position(|known| known == name).and_then(|at| u32::try_from(at).ok())
    }

    fn intern_event(&mut self, name: &str) -> u32 {
        let next = u32::try_from(self.events.len()).unwrap_or(u32::MAX);
        let number = *self.events.entry(name.to_owned()).or_insert(next);
        self.running.resize(self.events.len(), 0);
        number
    }

    fn intern_type(&mut self, name: &str) -> u32 {
        self.entity_type(name).unwrap_or_else(|| {
            self.types.push(name.to_owned());
            u32::try_from(self.types.len() - 1).unwrap_or(u32::MAX)
        })
    }

    /// Counts an iteration in, or out, of those that read its events.
    fn count(&mut self, readers: &[Reader], change: impl Fn(u32) -> u32) {
        let mut events: Vec<_> = readers.iter().map(|reader| reader.event).collect();
        events.sort_unstable();
        events.dedup();
        for event in events {
            if let Some(running) = self.running.get_mut(event as usize) {
                *running = change(*running);
            }
        }
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
    pub(super) fn start(&mut self, key: &Key, control: &Control, plan: &MeasurementPlan, measurement: Measurement) {
        if self.find(&control.namespace, &control.experiment_id, control.iteration).is_some() {
            return;
        }
        let namespaces = &mut self.namespaces;
        let namespace =
            namespaces.entry(control.namespace.clone()).or_insert_with(|| Namespace::new(key, &control.namespace));
        let mut readers = Vec::new();
        for (metric, of) in plan.metrics.iter().enumerate() {
            readers.push(Reader { event: namespace.intern_event(&of.event), metric, role: Role::Numerator });
            if of.r#type() == MetricType::Ratio {
                let event = namespace.intern_event(&of.denominator_event);
                readers.push(Reader { event, metric, role: Role::Denominator });
            }
        }
        let index = u32::try_from(self.iterations.len()).unwrap_or(u32::MAX);
        namespace.iterations.entry(control.experiment_id.clone()).or_default().insert(control.iteration, index);
        namespace.count(&readers, |running| running + 1);
        self.iterations.push(Iteration {
            entity_type: namespace.intern_type(&plan.entity_type),
            namespace: control.namespace.clone(),
            experiment_id: control.experiment_id.clone(),
            number: control.iteration,
            plan: plan.clone(),
            measurement,
            readers,
            arms: Vec::new(),
            arm_index: BTreeMap::new(),
            epochs: Vec::new(),
            pauses: Vec::new(),
            stopped: false,
            cut: false,
            not_randomized: 0,
            exposed_after_stop: 0,
        });
    }

    /// Ends the enrolment of an iteration, and with `cut` its windows.
    pub(super) fn stop(&mut self, index: usize, cut: bool) {
        let Some(iteration) = self.iterations.get_mut(index) else { return };
        iteration.cut |= cut;
        if !iteration.stopped {
            iteration.stopped = true;
            if let Some(namespace) = self.namespaces.get_mut(&iteration.namespace) {
                namespace.count(&iteration.readers, |running| running.saturating_sub(1));
            }
        }
    }
}
