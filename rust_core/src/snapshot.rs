//! Definitions compiled into one immutable value that decides.
//!
//! Received form and compiled form are two types: whatever is wrong with a definition is found
//! here, all of it at once, so that [`decide`](crate::decide) cannot fail.
//!
//! - [`canonical`](canonical::canonical): the one way to write what an author may write in several
//! - [`rules`]: what every field must hold
//! - [`unserved`]: the table of what this version does not serve
//! - [`allocation`](allocation::allocation): weights in force from what the author wrote
//! - [`experiment`]: the compiled form
//! - `overrides`: who is forced to which variant
//! - [`sticky`]: who keeps the first variant
//! - `events`: what metrics allow outcomes to be

use std::collections::{BTreeMap, HashMap};

pub mod allocation;
pub mod canonical;
mod events;
pub mod experiment;
mod overrides;
pub mod rules;
pub mod sticky;
pub mod unserved;

use crate::error::{Error, Violation};
use crate::proto::v1;
pub(crate) use events::EventReaders;
use experiment::CompiledExperiment;

/// What an empty namespace stands for.
pub const DEFAULT_NAMESPACE: &str = "default";
/// Below this similarity (Jaro-Winkler, 0 to 1) two names are not taken for each other.
const NEAR: f64 = 0.8;

/// All that decides at one revision.
#[derive(Debug, Default)]
pub struct Snapshot {
    generation: i64,
    revision: i64,
    namespaces: HashMap<String, Namespace>,
}

#[derive(Debug, Default)]
struct Namespace {
    experiments: HashMap<String, CompiledExperiment>,
    /// Ids in order, for batches that name none.
    ids: Vec<String>,
    /// Of events of which something is refused.
    readers: BTreeMap<String, EventReaders>,
}

impl Snapshot {
    /// Compiles every definition of `message`.
    ///
    /// # Errors
    /// [`Error::InvalidFields`] with all faults of all definitions, paths beginning with
    /// `experiments[i].`.
    pub fn compile(message: &v1::Snapshot) -> Result<Self, Error> {
        let mut violations = Vec::new();
        let mut namespaces: HashMap<String, Namespace> = HashMap::new();
        for (index, definition) in message.experiments.iter().enumerate() {
            match CompiledExperiment::compile(definition, message.revision) {
                Ok(compiled) => {
                    let namespace = namespaces.entry(compiled.namespace().to_owned()).or_default();
                    events::add(&mut namespace.readers, definition);
                    namespace.ids.push(compiled.id().to_owned());
                    namespace.experiments.insert(compiled.id().to_owned(), compiled);
                }
                Err(found) => violations.extend(found.into_iter().map(|violation| Violation {
                    field: format!("experiments[{index}].{}", violation.field),
                    ..violation
                })),
            }
        }
        if !violations.is_empty() {
            return Err(Error::InvalidFields(violations));
        }
        // One that names what is not there forces nobody, and is no reason to refuse the others.
        for of in &message.overrides {
            let namespace = namespaces.get_mut(or_default(&of.namespace));
            if let Some(experiment) = namespace.and_then(|found| found.experiments.get_mut(&of.experiment_id)) {
                experiment.force(of);
            }
        }
        for namespace in namespaces.values_mut() {
            namespace.ids.sort_unstable();
            namespace.ids.dedup();
            events::finish(&mut namespace.readers);
        }
        Ok(Self { generation: message.generation, revision: message.revision, namespaces })
    }

    /// Which life of the catalog [`Snapshot::revision`] counts in.
    #[must_use]
    pub fn generation(&self) -> i64 {
        self.generation
    }

    /// Catalog revision that this snapshot holds.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// The experiment, if the namespace has it; an empty namespace is [`DEFAULT_NAMESPACE`].
    #[inline]
    #[must_use]
    pub fn experiment(&self, namespace: &str, experiment_id: &str) -> Option<&CompiledExperiment> {
        self.namespaces.get(or_default(namespace))?.experiments.get(experiment_id)
    }

    /// Experiments of a namespace, by id.
    pub fn experiments(&self, namespace: &str) -> impl Iterator<Item = &CompiledExperiment> {
        self.namespaces
            .get(or_default(namespace))
            .into_iter()
            .flat_map(|found| found.ids.iter().filter_map(|id| found.experiments.get(id)))
    }

    /// Every experiment of every namespace, in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &CompiledExperiment> {
        self.namespaces.values().flat_map(|found| found.experiments.values())
    }

    /// What metrics of the namespace say of an event's outcomes; `None` if they take everything.
    pub(crate) fn readers(&self, namespace: &str, event: &str) -> Option<&EventReaders> {
        self.namespaces.get(or_default(namespace))?.readers.get(event)
    }

    /// The error for an experiment that is not there, with the nearest id that is.
    #[must_use]
    pub fn not_found(&self, namespace: &str, experiment_id: &str) -> Error {
        let did_you_mean = (experiment_id.len() <= rules::MAX_ID_BYTES)
            .then(|| {
                self.experiments(namespace)
                    .map(|experiment| (strsim::jaro_winkler(experiment.id(), experiment_id), experiment.id()))
                    .filter(|(similarity, _)| *similarity >= NEAR)
                    .max_by(|left, right| left.0.total_cmp(&right.0))
                    .map(|(_, id)| id.to_owned())
            })
            .flatten();
        Error::ExperimentNotFound {
            namespace: or_default(namespace).to_owned(),
            experiment_id: experiment_id.to_owned(),
            did_you_mean,
        }
    }
}

/// `namespace`, or the default one where it is empty.
#[inline]
#[must_use]
pub fn or_default(namespace: &str) -> &str {
    if namespace.is_empty() { DEFAULT_NAMESPACE } else { namespace }
}
