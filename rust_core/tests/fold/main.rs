//! The fold, frame by frame: its rules as a table of cases, and against a slow, obvious model.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// Binary fractions add up exactly, so that means of a few are known to the last bit.
#![allow(clippy::float_cmp)]

mod frames;
mod histories;
mod model;
mod refusals;
mod repeats;
mod restoring;
mod rich;
mod rules;
mod windows;
