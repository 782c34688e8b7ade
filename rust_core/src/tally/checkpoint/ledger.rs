//! The ledger and the plans, to a message and back.

use super::super::ledger::{Ledger, Quarantined};
use super::super::measure::Measurement;
use super::super::plan::{ArmKey, Epoch, Iteration, Plans};
use super::super::read::signed;
use super::super::requests::Requests;
use super::super::{EVENT_LIMIT, Key};
use super::CheckpointError;
use crate::proto::storage::v1::control::Action;
use crate::proto::storage::v1::{
    self as storage, ArmState, Control, EpochTally, EventTally, Incarnation, IterationState, LedgerState,
};

pub(super) fn state(ledger: &Ledger, plans: &Plans) -> LedgerState {
    let mut events: Vec<_> = ledger.events.names().collect();
    events.sort_by_key(|(_, _, number)| *number);
    LedgerState {
        time_ms: ledger.time_ms,
        incarnations: ledger
            .incarnations
            .iter()
            .map(|(id, sequence)| Incarnation { id: id.to_vec().into(), sequence: *sequence })
            .collect(),
        oldest_request_ms: ledger.requests.oldest_ms(),
        // Filled in when it is encoded.
        requests: Vec::new(),
        iterations: plans.iterations.iter().map(iteration).collect(),
        events: events
            .into_iter()
            .map(|(namespace, event, number)| EventTally {
                namespace: namespace.to_owned(),
                event: event.to_owned(),
                outcomes: signed(ledger.events.count(number)),
                unmatched: 0,
            })
            .collect(),
        unlisted: ledger.events.count(0),
        unknown_arms: ledger.unknown_arms,
        repeated_frames: ledger.repeated_frames,
        repeated_batches: ledger.repeated_batches,
        too_old_batches: ledger.too_old_batches,
        quarantined: ledger.quarantined,
        quarantine: ledger
            .quarantine
            .iter()
            .map(|of| storage::Quarantined {
                position: signed(of.position),
                entry: signed(of.entry as u64),
                why: of.why.clone(),
            })
            .collect(),
    }
}

fn iteration(iteration: &Iteration) -> IterationState {
    IterationState {
        started: Some(Control {
            namespace: iteration.namespace.clone(),
            experiment_id: iteration.experiment_id.clone(),
            iteration: iteration.number,
            time_ms: 0,
            action: Some(Action::Started(iteration.plan.clone())),
        }),
        arms: iteration.arms.iter().map(|arm| ArmState { epoch: arm.epoch, variant: arm.variant }).collect(),
        epochs: iteration
            .epochs
            .iter()
            .map(|of| EpochTally { epoch: of.number, opened_ms: of.opened_ms, weights: of.weights.clone() })
            .collect(),
        pauses: iteration.pauses.iter().map(|(begin, _)| *begin).collect(),
        resumes: iteration.pauses.iter().filter_map(|(_, end)| *end).collect(),
        stopped: iteration.stopped,
        cut: iteration.cut,
        not_randomized: iteration.not_randomized,
        exposed_after_stop: iteration.exposed_after_stop,
    }
}

/// `fresh` has the bounds that are in force.
pub(super) fn restored(
    key: &Key,
    fresh: &Ledger,
    position: u64,
    state: LedgerState,
) -> Result<(Ledger, Plans), CheckpointError> {
    let mut plans = Plans::default();
    for (index, of) in state.iterations.into_iter().enumerate() {
        restore_iteration(key, &mut plans, index, of)?;
    }
    let mut ledger = Ledger::new(fresh.requests.limit(), EVENT_LIMIT);
    ledger.position = position;
    ledger.time_ms = state.time_ms;
    for of in state.incarnations {
        let id = of.id.as_ref().try_into().map_err(|_| CheckpointError::Inconsistent("an incarnation is no UUID"))?;
        ledger.incarnations.insert(id, of.sequence);
    }
    ledger.requests = Requests::from_state(fresh.requests.limit(), state.oldest_request_ms, &state.requests);
    for of in state.events {
        let number = ledger.events.number(&of.namespace, &of.event);
        ledger.events.set(number, of.outcomes.unsigned_abs());
    }
    ledger.events.set(0, state.unlisted);
    ledger.unknown_arms = state.unknown_arms;
    ledger.repeated_frames = state.repeated_frames;
    ledger.repeated_batches = state.repeated_batches;
    ledger.too_old_batches = state.too_old_batches;
    for of in state.quarantine {
        let entry = usize::try_from(of.entry).unwrap_or_default();
        ledger.quarantine(Quarantined { position: of.position.unsigned_abs(), entry, why: of.why });
    }
    ledger.quarantined = state.quarantined;
    Ok((ledger, plans))
}

fn restore_iteration(key: &Key, plans: &mut Plans, index: usize, state: IterationState) -> Result<(), CheckpointError> {
    let inconsistent = || CheckpointError::Inconsistent("an iteration without a plan that can be measured");
    let started = state.started.ok_or_else(inconsistent)?;
    let Some(Action::Started(plan)) = &started.action else { return Err(inconsistent()) };
    let measurement = Measurement::new(plan).map_err(|_| inconsistent())?;
    plans.start(key, &started, plan, measurement);
    let iteration = plans.iterations.get_mut(index).ok_or_else(inconsistent)?;
    for of in state.arms {
        iteration.arm(ArmKey { epoch: of.epoch, variant: of.variant });
    }
    iteration.epochs = state
        .epochs
        .into_iter()
        .map(|of| Epoch { number: of.epoch, opened_ms: of.opened_ms, weights: of.weights })
        .collect();
    let ends = state.resumes.into_iter().map(Some).chain(std::iter::repeat(None));
    iteration.pauses = state.pauses.into_iter().zip(ends).collect();
    iteration.not_randomized = state.not_randomized;
    iteration.exposed_after_stop = state.exposed_after_stop;
    if state.stopped {
        plans.stop(index, state.cut);
    }
    Ok(())
}
