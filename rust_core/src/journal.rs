//! What waits for the journal, and the frames it becomes; no I/O and no clock.
//!
//! [`Queue`] is the one FIFO of exposures, batches and controls: a writer takes all that waits as one
//! [`PendingFrame`], stores its bytes and folds it with [`Tally`](crate::tally::Tally). [`frame`] has
//! the bytes of frames, [`rows`] the checked way into their columns. What a Record may send is
//! checked before, in [`handle`](crate::handle).

mod acknowledgement;
mod assigned;
mod attributes;
pub mod frame;
mod queue;
pub mod rows;
mod size;

pub use acknowledgement::Acknowledgement;
pub use assigned::ArmRef;
pub(crate) use attributes::AttributeColumns;
pub use attributes::Attributes;
pub use queue::{DEFAULT_LIMIT_BYTES, PendingFrame, Queue, QueueError, Take, Ticket, Waiting};
