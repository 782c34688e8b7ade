//! `Assign`, `BatchAssign`, `IsEnabled` and `GetVariant`.

use std::collections::BTreeMap;

use prost::Message;

use super::wire::{self, Writer};
use super::{Handler, MAX_MESSAGE_BYTES};
use crate::decide::{Decision, Who};
use crate::error::{Error, Violation};
use crate::proto::v1::{
    AssignRequest, AttributeValue, BatchAssignRequest, DecisionReason, ExposureMode, GetVariantRequest,
    IsEnabledRequest,
};
use crate::snapshot::Snapshot;
use crate::snapshot::experiment::CompiledExperiment;

const MAX_DECISIONS: usize = 10_000;
pub(super) const MAX_ATTRIBUTES: usize = 64;
pub(super) const MAX_ENTITIES: usize = 64;

pub(super) fn assign(handler: &Handler, snapshot: &Snapshot, request: &[u8], now_ms: i64) -> Result<Vec<u8>, Error> {
    let request = AssignRequest::decode(request)?;
    check_context("", &request.entities, &request.attributes)?;
    let mode = exposure_mode(request.exposure, ExposureMode::Auto)?;
    let experiment = assignable(snapshot, &request.namespace, &request.experiment_id)?;
    let who = Who { entity_id: &request.entity_id, entities: &request.entities };
    let decision = handler.decide(experiment, who, mode == ExposureMode::Auto, now_ms);
    if mode == ExposureMode::Auto {
        handler.expose(&decision, &request.attributes, now_ms);
    }
    let encoded = wire::decision(&decision, &[request.known_config_digest]);
    let mut response = Writer::with_capacity(encoded.len() + 8);
    response.message(1, &encoded);
    Ok(response.into_bytes())
}

pub(super) fn is_enabled(
    handler: &Handler,
    snapshot: &Snapshot,
    request: &[u8],
    now_ms: i64,
) -> Result<Vec<u8>, Error> {
    let request = IsEnabledRequest::decode(request)?;
    check_context("", &request.entities, &request.attributes)?;
    let mut response = Writer::default();
    let experiment = match (assignable(snapshot, &request.namespace, &request.flag_name), request.default_value) {
        (Ok(experiment), _) => experiment,
        (Err(Error::ExperimentNotFound { .. }), Some(default)) => {
            response.flag(1, default);
            response.int(2, i64::from(DecisionReason::NotFound as i32));
            response.int(4, snapshot.revision());
            return Ok(response.into_bytes());
        }
        (Err(error), _) => return Err(error),
    };
    let who = Who { entity_id: &request.entity_id, entities: &request.entities };
    let decision = handler.decide(experiment, who, true, now_ms);
    handler.expose(&decision, &request.attributes, now_ms);
    response.flag(1, decision.enabled);
    response.int(2, i64::from(decision.reason as i32));
    response.text(3, decision.variant_id());
    response.int(4, snapshot.revision());
    Ok(response.into_bytes())
}

pub(super) fn get_variant(
    handler: &Handler,
    snapshot: &Snapshot,
    request: &[u8],
    now_ms: i64,
) -> Result<Vec<u8>, Error> {
    let request = GetVariantRequest::decode(request)?;
    check_context("", &request.entities, &request.attributes)?;
    let experiment = assignable(snapshot, &request.namespace, &request.flag_name)?;
    let who = Who { entity_id: &request.entity_id, entities: &request.entities };
    let decision = handler.decide(experiment, who, true, now_ms);
    handler.expose(&decision, &request.attributes, now_ms);
    let mut response = Writer::default();
    response.text(1, decision.variant_id());
    response.int(2, i64::from(decision.reason as i32));
    if let Some(config) = &decision.variant.config {
        response.message(3, config);
    }
    response.int(4, snapshot.revision());
    Ok(response.into_bytes())
}

pub(super) fn batch_assign(
    handler: &Handler,
    snapshot: &Snapshot,
    request: &[u8],
    now_ms: i64,
) -> Result<Vec<u8>, Error> {
    let request = BatchAssignRequest::decode(request)?;
    if request.contexts.is_empty() {
        return Err(invalid("contexts", "empty: at least one is needed"));
    }
    for (index, context) in request.contexts.iter().enumerate() {
        check_context(&format!("contexts[{index}]."), &context.entities, &context.attributes)?;
    }
    let mode = exposure_mode(request.exposure, ExposureMode::Deferred)?;
    let experiments = asked_for(snapshot, &request);
    let size = request.contexts.len().saturating_mul(experiments.len());
    if size > MAX_DECISIONS {
        return Err(Error::BatchTooLarge { size, limit: MAX_DECISIONS, unit: "decisions" });
    }
    let mut response = Writer::default();
    let mut exposed: Vec<(Decision, &BTreeMap<String, AttributeValue>)> = Vec::new();
    for context in &request.contexts {
        let who = Who { entity_id: &context.entity_id, entities: &context.entities };
        for (id, experiment) in &experiments {
            let encoded = match experiment {
                None => wire::not_found(id, snapshot.revision()),
                Some(experiment) => {
                    let decision = handler.decide(experiment, who, mode == ExposureMode::Auto, now_ms);
                    if mode == ExposureMode::Auto {
                        exposed.push((decision, &context.attributes));
                    }
                    wire::decision(&decision, &request.known_config_digests)
                }
            };
            let size = response.len() + wire::field_len(1, encoded.len());
            if size > MAX_MESSAGE_BYTES {
                for (decision, _) in &exposed {
                    handler.memory.release(decision);
                }
                return Err(Error::BatchTooLarge { size, limit: MAX_MESSAGE_BYTES, unit: "bytes" });
            }
            response.message(1, &encoded);
        }
    }
    // Only now: a call that failed for its size has exposed nobody.
    for (decision, attributes) in &exposed {
        handler.expose(decision, attributes, now_ms);
    }
    response.int(2, snapshot.revision());
    Ok(response.into_bytes())
}

/// The experiments of a batch; `None` for what cannot be decided here.
fn asked_for<'s>(
    snapshot: &'s Snapshot,
    request: &'s BatchAssignRequest,
) -> Vec<(&'s str, Option<&'s CompiledExperiment>)> {
    if !request.experiment_ids.is_empty() {
        return request
            .experiment_ids
            .iter()
            .map(|id| (id.as_str(), assignable(snapshot, &request.namespace, id).ok()))
            .collect();
    }
    let selected = |experiment: &&CompiledExperiment| {
        experiment.runs()
            && !experiment.external
            && request.selector.iter().all(|(key, value)| experiment.labels.get(key) == Some(value))
    };
    snapshot
        .experiments(&request.namespace)
        .filter(selected)
        .map(|experiment| (experiment.id(), Some(experiment)))
        .collect()
}

fn assignable<'s>(snapshot: &'s Snapshot, namespace: &str, id: &str) -> Result<&'s CompiledExperiment, Error> {
    let experiment = snapshot.experiment(namespace, id).ok_or_else(|| snapshot.not_found(namespace, id))?;
    if experiment.external {
        return Err(Error::AssignedExternally {
            namespace: experiment.namespace().to_owned(),
            experiment_id: id.to_owned(),
        });
    }
    Ok(experiment)
}

fn exposure_mode(sent: i32, default: ExposureMode) -> Result<ExposureMode, Error> {
    match ExposureMode::try_from(sent) {
        Ok(ExposureMode::Unspecified) => Ok(default),
        Ok(mode) => Ok(mode),
        Err(_) => Err(invalid("exposure", &format!("{sent} is no value that this version knows"))),
    }
}

fn check_context(
    path: &str,
    entities: &BTreeMap<String, String>,
    attributes: &BTreeMap<String, AttributeValue>,
) -> Result<(), Error> {
    for (field, count, limit) in
        [("entities", entities.len(), MAX_ENTITIES), ("attributes", attributes.len(), MAX_ATTRIBUTES)]
    {
        if count > limit {
            return Err(invalid(&format!("{path}{field}"), &format!("{count} entries, at most {limit} are allowed")));
        }
    }
    Ok(())
}

pub(super) fn invalid(field: &str, description: &str) -> Error {
    Error::InvalidFields(vec![Violation { field: field.to_owned(), description: description.to_owned() }])
}
