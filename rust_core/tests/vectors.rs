//! The vectors of scheme `klero.v1`, which every implementation must reproduce: `tests/vectors`.

// An expectation that fails should say so and stop; that is what a test is for.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::Path;

use klero_core::decide::{Prior, Who, decide};
use klero_core::hash::Seed;
use klero_core::proto::v1;
use klero_core::snapshot::Snapshot;
use klero_core::snapshot::canonical::canonical;
use klero_core::split::{Ramp, Rendezvous, TrafficGate};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A quotient of two doubles may differ in its last bit.
const PROPENSITY_TOLERANCE: f64 = 1e-12;

fn read<T: DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors").join(name);
    let text = std::fs::read_to_string(&path).expect("the vectors are in the repository");
    serde_json::from_str(&text).expect(name)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HashCase {
    name: String,
    salt: String,
    purpose: String,
    entity_id: String,
    hash: String,
}

#[test]
fn hashes_are_those_of_the_scheme() {
    for case in read::<Vec<HashCase>>("hash.json") {
        let hash = Seed::new(&case.salt, &case.purpose).hash(&case.entity_id);
        assert_eq!(case.hash, format!("{hash:016x}"), "{}", case.name);
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SplitCases {
    entities: Vec<String>,
    traffic: Vec<TrafficCase>,
    variants: Vec<VariantsCase>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TrafficCase {
    name: String,
    salt: String,
    percentage: f64,
    ramp: Option<RampCase>,
    now_ms: i64,
    admitted: Vec<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RampCase {
    started_at_ms: i64,
    period_ms: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VariantsCase {
    name: String,
    salt: String,
    weights: Vec<(String, f64)>,
    chosen: Vec<Option<String>>,
}

#[test]
fn traffic_admits_whom_the_scheme_admits() {
    let cases: SplitCases = read("split.json");
    for case in &cases.traffic {
        let ramp = case.ramp.as_ref().map(|ramp| Ramp { started_at_ms: ramp.started_at_ms, period_ms: ramp.period_ms });
        let gate = TrafficGate::new(&case.salt, case.percentage, ramp);
        let admitted: Vec<bool> = cases.entities.iter().map(|id| gate.admits(id, case.now_ms)).collect();
        assert_eq!(case.admitted, admitted, "{}", case.name);
    }
}

#[test]
fn variants_are_those_of_the_scheme() {
    let cases: SplitCases = read("split.json");
    for case in &cases.variants {
        let arms: Vec<(&str, f64)> = case.weights.iter().map(|(id, weight)| (id.as_str(), *weight)).collect();
        let split = Rendezvous::new(&case.salt, &arms);
        let id_of = |index: usize| arms.get(index).map(|(id, _)| (*id).to_owned());
        let chosen: Vec<Option<String>> = cases.entities.iter().map(|id| split.choose(id).and_then(id_of)).collect();
        assert_eq!(case.chosen, chosen, "{}", case.name);
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DecideCase {
    name: String,
    definition: Definition,
    context: Context,
    /// Of this experiment.
    #[serde(default)]
    overrides: Vec<Override>,
    /// Variant of the first exposure. Empty: it cannot be known.
    prior: Option<String>,
    now_ms: i64,
    decision: Expected,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Override {
    #[serde(default)]
    entity_id: String,
    variant_id: String,
    expires_at: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Context {
    entity_id: String,
    entities: BTreeMap<String, String>,
}

/// What the cases use of `klero.v1.Decision`.
#[derive(Deserialize, Debug)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Expected {
    variant_id: String,
    reason: String,
    enrolled: bool,
    randomized: bool,
    enabled: bool,
    propensity: f64,
    entity_id: String,
}

/// What the cases use of `klero.v1.Experiment`, in protojson.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Definition {
    id: String,
    r#type: String,
    status: String,
    entity_type: String,
    control: Variant,
    variants: Vec<Variant>,
    hashing: Option<Hashing>,
    config: Option<Config>,
    allocation: Option<Allocation>,
    started_at: Option<String>,
    #[serde(default)]
    shipped_variant_id: String,
    sticky: Option<String>,
    #[serde(default)]
    metrics: Vec<Metric>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metric {
    name: String,
    r#type: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Variant {
    id: String,
    weight: Option<f64>,
    enabled: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hashing {
    scheme: String,
    salt: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Config {
    traffic_percentage: Option<f64>,
    ramp_up_period: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Allocation {
    epoch: String,
    weights: BTreeMap<String, f64>,
    traffic_percentage: f64,
    weights_epoch: Option<String>,
}

impl From<Variant> for v1::Variant {
    fn from(variant: Variant) -> Self {
        Self { id: variant.id, weight: variant.weight, enabled: variant.enabled, ..Self::default() }
    }
}

impl From<Definition> for v1::Experiment {
    fn from(definition: Definition) -> Self {
        Self {
            id: definition.id,
            r#type: v1::ExperimentType::from_str_name(&definition.r#type).unwrap().into(),
            status: v1::ExperimentStatus::from_str_name(&definition.status).unwrap().into(),
            entity_type: definition.entity_type,
            control: Some(definition.control.into()),
            variants: definition.variants.into_iter().map(Into::into).collect(),
            hashing: definition.hashing.map(|hashing| v1::Hashing { scheme: hashing.scheme, salt: hashing.salt }),
            config: definition.config.map(|config| v1::ExperimentConfig {
                traffic_percentage: config.traffic_percentage,
                ramp_up_period: config.ramp_up_period.map(|period| period.parse().unwrap()),
                ..v1::ExperimentConfig::default()
            }),
            allocation: definition.allocation.map(|allocation| v1::Allocation {
                epoch: allocation.epoch.parse().unwrap(),
                weights: allocation.weights,
                traffic_percentage: allocation.traffic_percentage,
                weights_epoch: allocation.weights_epoch.map_or(0, |epoch| epoch.parse().unwrap()),
                ..v1::Allocation::default()
            }),
            started_at: definition.started_at.map(|time| time.parse().unwrap()),
            shipped_variant_id: definition.shipped_variant_id,
            sticky: definition.sticky.map_or(0, |mode| v1::StickyMode::from_str_name(&mode).unwrap().into()),
            metrics: definition
                .metrics
                .into_iter()
                .map(|metric| v1::Metric {
                    name: metric.name,
                    r#type: v1::MetricType::from_str_name(&metric.r#type).unwrap().into(),
                    ..v1::Metric::default()
                })
                .collect(),
            ..Self::default()
        }
    }
}

/// A definition whose weights have not changed is asked as the server would ask, for nothing.
fn prior(definition: &v1::Experiment, first: &str) -> Prior {
    if definition.allocation.as_ref().is_none_or(|allocation| allocation.weights_epoch <= 1) {
        return Prior::None;
    }
    let mut ids = definition.control.iter().chain(&definition.variants).map(|variant| variant.id.as_str());
    ids.position(|id| id == first).map_or(Prior::Unknown, Prior::Variant)
}

#[test]
fn decisions_are_those_of_the_scheme() {
    let files = ["decide.json", "override.json", "sticky.json"];
    for case in files.into_iter().flat_map(read::<Vec<DecideCase>>) {
        let definition = canonical(case.definition.into());
        let prior = case.prior.map_or(Prior::None, |first| prior(&definition, &first));
        let id = definition.id.clone();
        let overrides = case.overrides.into_iter().map(|of| v1::Override {
            experiment_id: id.clone(),
            entity_id: of.entity_id,
            variant_id: of.variant_id,
            expires_at: of.expires_at.map(|time| time.parse().unwrap()),
            ..v1::Override::default()
        });
        let message =
            v1::Snapshot { overrides: overrides.collect(), experiments: vec![definition], ..v1::Snapshot::default() };
        let snapshot = Snapshot::compile(&message).expect(&case.name);
        let who = Who { entity_id: &case.context.entity_id, entities: &case.context.entities };

        let decision = decide(snapshot.experiment("", &id).unwrap(), who, case.now_ms, &prior);

        let (expected, name) = (case.decision, &case.name);
        assert_eq!(expected.variant_id, decision.variant_id(), "{name}");
        assert_eq!(expected.reason, decision.reason.as_str_name(), "{name}");
        assert_eq!(expected.enrolled, decision.enrolled, "{name}");
        assert_eq!(expected.randomized, decision.randomized, "{name}");
        assert_eq!(expected.enabled, decision.enabled, "{name}");
        assert_eq!(expected.entity_id, decision.entity_id, "{name}");
        assert!((expected.propensity - decision.propensity).abs() < PROPENSITY_TOLERANCE, "{name}");
    }
}
