//! Klero's core: deciding, remembering, and the hot calls in front of both.
//!
//! Arrows point one way:
//! `python → handle → {decide, memory} → {journal, tally, snapshot} → split → {hash, error}`.
//!
//! - **deciding**: [`hash`] turns salt and entity into 64 bits, [`split`] bits into traffic and
//!   variants, [`snapshot`] compiles definitions, [`decide`](mod@decide) walks the gates,
//!   [`bulk`] does so for many entities, [`reassigned`] counts whom another definition would move
//! - **remembering**: [`journal`] queues what becomes durable and frames it, [`tally`] folds frames
//!   into [`moments`], [`seen`] hints at exposures already folded, [`memory`] holds these together
//! - **answering**: [`handle`] takes bytes and gives bytes, [`error`] and [`status`] say what is refused
//!
//! Pure Rust by default. Only `python`, behind the feature of the same name, knows `PyO3`.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod bulk;
pub mod comoments;
pub mod decide;
pub mod error;
pub mod export;
pub mod handle;
pub mod hash;
pub mod journal;
pub mod memory;
pub mod moments;
pub mod proto;
#[cfg(feature = "python")]
mod python;
pub mod reassigned;
pub mod seen;
pub mod sketch;
pub mod snapshot;
pub mod split;
pub mod status;
pub mod tally;
