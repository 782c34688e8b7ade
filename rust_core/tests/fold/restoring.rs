//! Tallies that are put together from parts taken at different positions.

use bytes::Bytes;
use klero_core::proto::storage::v1::Control;
use klero_core::proto::storage::v1::journal_entry::Kind;
use klero_core::tally::{Found, PARTS, Tally};

use crate::frames::{Journal, SECRET, START_MS, frame};

/// Folds frames, takes parts while doing so (the ledger behind frame `cut`, the others behind later
/// ones in turn), and puts a new tally together from them and the frames behind the ledger.
pub(crate) fn restored_midway(started: &[Control], frames: &[(i64, Vec<Kind>)], cut: usize) -> Journal {
    let first: Vec<_> = started.iter().cloned().map(Kind::Control).collect();
    let all: Vec<_> = std::iter::once((START_MS, first)).chain(frames.iter().cloned()).collect();
    let mut parts: Vec<Vec<Bytes>> = vec![Vec::new(); PARTS];
    let mut tally = Tally::new(SECRET);
    for (position, (time_ms, kinds)) in (1..).zip(&all) {
        tally.apply(position, &frame(position, *time_ms, kinds.clone())).unwrap();
        let behind = usize::try_from(position).unwrap() - 1;
        if behind >= cut {
            for (part, stored) in parts.iter_mut().enumerate() {
                // Two kept of each, the newer one first; the last frame is missing in most.
                let turn = if part == 0 { cut } else { cut + part % (all.len() - cut) };
                if behind == turn {
                    stored.insert(0, tally.part(part).unwrap().encode().into());
                }
            }
        }
    }
    let mut restored = Tally::new(SECRET);
    let mut found = Found::new(parts);
    let position = restored.restore(&mut found);
    assert_eq!((cut as u64 + 1, Vec::new()), (position, found.refused));
    for (position, (time_ms, kinds)) in (1..).zip(&all).skip(cut + 1) {
        restored.apply(position, &frame(position, *time_ms, kinds.clone())).unwrap();
    }
    Journal { tally: restored, next: all.len() as u64 + 1 }
}
