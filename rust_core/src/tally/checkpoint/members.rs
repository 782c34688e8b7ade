//! Entities of one iteration in one shard, to a message and back.

use super::super::cell::{Cell, Spread, View};
use super::super::counts::Counts;
use super::super::dictionary::Dictionary;
use super::super::member::Row;
use super::super::members::Members;
use super::super::plan::Iteration;
use super::super::waiting::Waiting;
use super::CheckpointError;
use super::shard::{check, packed, unpacked};
use crate::comoments::Comoments;
use crate::moments::Moments;
use crate::proto::storage::v1::{CellState, MembersState, MomentsState, Sketch, Texts, ViewState, WaitingState};
use crate::sketch;

const CONFLICTING: u32 = 1 << 16;
const REMOVED: u32 = 1 << 17;

pub(super) fn state(members: &Members) -> MembersState {
    let flags = |row: &Row| {
        let mark = |is: bool, bit: u32| if is { bit } else { 0 };
        u32::from(row.settled) | mark(row.conflicting, CONFLICTING) | mark(row.removed, REMOVED)
    };
    MembersState {
        exposed_at_ms: members.rows.iter().map(|row| row.exposed_at_ms).collect(),
        arrived_ms: members.rows.iter().map(|row| row.arrived_ms).collect(),
        next: members.rows.iter().map(|row| packed(row.next)).collect(),
        arm: members.rows.iter().map(|row| row.arm).collect(),
        flags: members.rows.iter().map(flags).collect(),
        slots: members.slots.clone(),
        events: members.events.clone(),
        covariates: members.covariates.clone(),
        dimensions: members.dimensions.clone(),
        texts: members.dictionaries.iter().map(|of| Texts { texts: of.texts().to_vec() }).collect(),
        enrolled: members.enrolled.clone(),
        settled: members.settled.clone(),
        cells: members
            .cells
            .iter()
            .map(|cell| CellState {
                live: Some(view_state(&cell.live)),
                settled: Some(view_state(&cell.settled)),
                events: cell.events,
            })
            .collect(),
        waiting: members.waiting.iter().map(waiting_state).collect(),
        counts: members.counts.to_array().to_vec(),
    }
}

/// Without an iteration there can be nobody.
pub(super) fn restored(state: MembersState, iteration: Option<&Iteration>) -> Result<Members, CheckpointError> {
    let rows = state.exposed_at_ms.len();
    let Some(iteration) = iteration else {
        check(rows == 0, "entities of an unknown iteration")?;
        return Ok(Members::default());
    };
    let of = &iteration.measurement;
    let metrics = of.measures.len();
    let lengths = [
        (state.arrived_ms.len(), rows),
        (state.next.len(), rows),
        (state.arm.len(), rows),
        (state.flags.len(), rows),
        (state.slots.len(), rows * of.slots),
        (state.events.len(), rows * metrics),
        (state.covariates.len(), rows * of.covariates),
        (state.dimensions.len(), rows * of.dimensions),
        (state.settled.len(), state.enrolled.len()),
        (state.cells.len(), state.enrolled.len() * metrics),
    ];
    check(lengths.iter().all(|(found, expected)| found == expected), "columns of different lengths")?;
    let times = state.exposed_at_ms.into_iter().zip(state.arrived_ms);
    let mut of_rows = Vec::with_capacity(rows);
    for ((times, next), (arm, flags)) in times.zip(state.next).zip(state.arm.into_iter().zip(state.flags)) {
        of_rows.push(Row {
            exposed_at_ms: times.0,
            arrived_ms: times.1,
            next: unpacked(next),
            arm,
            settled: u16::try_from(flags & 0xffff).unwrap_or_default(),
            conflicting: flags & CONFLICTING != 0,
            removed: flags & REMOVED != 0,
        });
    }
    let mut cells = Vec::with_capacity(state.cells.len());
    for (of, measure) in state.cells.into_iter().zip(of.measures.iter().cycle()) {
        let mut cell = Cell::new(measure);
        cell.events = of.events;
        restore_view(&mut cell.live, of.live.unwrap_or_default())?;
        restore_view(&mut cell.settled, of.settled.unwrap_or_default())?;
        cells.push(cell);
    }
    let mut members = Members {
        rows: of_rows,
        slots: state.slots,
        events: state.events,
        covariates: state.covariates,
        dimensions: state.dimensions,
        dictionaries: state.texts.into_iter().map(|of| Dictionary::from_texts(of.texts)).collect(),
        enrolled: state.enrolled,
        settled: state.settled,
        cells,
        waiting: state.waiting.into_iter().map(waiting).collect(),
        counts: Counts::from_array(&state.counts),
        lost: false,
    };
    for window in (0..).take(members.waiting.len()) {
        let due = members.first_due(window, iteration);
        if let (Some((due_ms, _)), Some(waiting)) = (due, members.waiting.get_mut(usize::from(window))) {
            waiting.scheduled_ms = due_ms;
        }
    }
    Ok(members)
}

fn view_state(view: &View) -> ViewState {
    let (spread, sketch) = match &view.spread {
        Spread::One(moments) => (Some(one(moments)), None),
        Spread::Two(moments) => (Some(many(moments)), None),
        Spread::Sketch(sketch) => (None, Some(super::super::read::sketch_message(sketch))),
    };
    let covered = view.covered.as_ref().map(many);
    ViewState { spread, covered, sketch, nonzero: view.nonzero, missing: view.missing }
}

fn one(moments: &Moments) -> MomentsState {
    MomentsState { n: moments.n(), means: vec![moments.mean()], products: vec![moments.m2()] }
}

fn many(moments: &Comoments) -> MomentsState {
    MomentsState { n: moments.n(), means: moments.means().to_vec(), products: moments.products().to_vec() }
}

/// `view` is that of the metric, still empty.
fn restore_view(view: &mut View, state: ViewState) -> Result<(), CheckpointError> {
    let comoments = |state: &MomentsState, terms: usize| {
        Comoments::from_parts(state.n, &state.means, &state.products).filter(|found| found.means().len() == terms)
    };
    let wrong = CheckpointError::Inconsistent("moments of other terms");
    (view.nonzero, view.missing) = (state.nonzero, state.missing);
    if let Some(covered) = &mut view.covered {
        *covered = comoments(&state.covered.unwrap_or_default(), covered.means().len()).ok_or_else(|| wrong.clone())?;
    }
    match &mut view.spread {
        Spread::One(moments) => match state.spread {
            Some(MomentsState { n, means, products }) if means.len() == 1 && products.len() == 1 => {
                let first = |numbers: Vec<f64>| numbers.first().copied().unwrap_or_default();
                *moments = Moments::from_parts(n, first(means), first(products));
            }
            _ => return Err(wrong),
        },
        Spread::Two(moments) => *moments = comoments(&state.spread.unwrap_or_default(), 2).ok_or(wrong)?,
        Spread::Sketch(sketch) => *sketch = restored_sketch(state.sketch.unwrap_or_default()),
    }
    Ok(())
}

fn restored_sketch(state: Sketch) -> sketch::Sketch {
    let side = |at: Vec<i32>, counts: Vec<i64>| at.into_iter().zip(counts.into_iter().map(i64::unsigned_abs)).collect();
    sketch::Sketch::from_parts(
        state.zeros.unsigned_abs(),
        side(state.positive, state.positive_counts),
        side(state.negative, state.negative_counts),
    )
}

fn waiting_state(waiting: &Waiting) -> WaitingState {
    WaitingState {
        regular: waiting.regular.iter().copied().collect(),
        last_ms: waiting.last_ms,
        due_ms: waiting.irregular.iter().map(|(due, _)| *due).collect(),
        rows: waiting.irregular.iter().map(|(_, row)| *row).collect(),
    }
}

fn waiting(state: WaitingState) -> Waiting {
    Waiting {
        regular: state.regular.into(),
        last_ms: state.last_ms,
        irregular: state.due_ms.into_iter().zip(state.rows).collect(),
        ..Waiting::new()
    }
}
