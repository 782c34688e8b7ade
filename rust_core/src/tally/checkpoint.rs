//! Parts of a tally as bytes, and a tally from whatever parts there are.
//!
//! Each part is taken by itself, a little later than the one before, so that the fold never stands
//! still for long. What makes them fit together again is an order: the ledger, on which the others
//! rest, is taken first. A ledger at position p and shards at p or later are a tally in which the
//! shards are ahead: frames behind p are replayed, and each shard passes over those that it has.

mod ledger;
mod members;
mod shard;

use bytes::Bytes;
use prost::Message;

use super::ledger::Ledger;
use super::plan::Plans;
use super::requests::Requests;
use super::shard::Shard;
use super::{SHARDS, Tally};
use crate::proto::storage::v1::Checkpoint;
use crate::proto::storage::v1::checkpoint::State;

const FORMAT: u32 = 1;
/// Bytes of the checksum that a part begins with.
const CRC_BYTES: usize = 4;

/// Parts that a tally has: the ledger and the shards.
pub const PARTS: usize = SHARDS + 1;

/// Why bytes are no part that this version can use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Too short, or not the bytes that were written.
    #[error("the checkpoint is damaged")]
    Damaged,
    /// No protobuf message of this kind.
    #[error("the checkpoint cannot be decoded: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// Written by another version.
    #[error(
        "the checkpoint has format {format} and {parts} parts, this version reads format {FORMAT} and {PARTS} parts"
    )]
    Unknown {
        /// Found.
        format: u32,
        /// Found.
        parts: u32,
    },
    /// Of another part than its place says.
    #[error("the checkpoint is part {found}, not part {expected}")]
    Part {
        /// Found.
        found: u32,
        /// Where it was looked for.
        expected: usize,
    },
    /// Columns that do not fit together.
    #[error("the checkpoint contradicts itself: {0}")]
    Inconsistent(&'static str),
}

/// A part, ready to be encoded without holding anything up.
#[derive(Clone, Debug)]
pub struct Part {
    message: Checkpoint,
    /// The ledger's, which there may be many of: a copy shares them until it is encoded.
    requests: Option<Requests>,
}

impl Part {
    /// Journal position behind which frames are missing.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.message.position
    }

    /// The bytes to be stored.
    #[must_use]
    pub fn encode(mut self) -> Vec<u8> {
        if let (Some(State::Ledger(ledger)), Some(requests)) = (&mut self.message.state, &self.requests) {
            ledger.requests = requests.state();
        }
        let body = self.message.encode_to_vec();
        let mut bytes = Vec::with_capacity(CRC_BYTES + body.len());
        bytes.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        bytes.extend_from_slice(&body);
        bytes
    }
}

fn decode(mut bytes: Bytes, part: usize) -> Result<Checkpoint, CheckpointError> {
    if bytes.len() < CRC_BYTES {
        return Err(CheckpointError::Damaged);
    }
    let crc = bytes.split_to(CRC_BYTES);
    if crc.as_ref() != crc32fast::hash(&bytes).to_le_bytes() {
        return Err(CheckpointError::Damaged);
    }
    let message = Checkpoint::decode(bytes)?;
    if message.format != FORMAT || message.parts as usize != PARTS {
        return Err(CheckpointError::Unknown { format: message.format, parts: message.parts });
    }
    if message.part as usize != part {
        return Err(CheckpointError::Part { found: message.part, expected: part });
    }
    Ok(message)
}

/// What there is of a tally: of each part, by position, what could be decoded.
#[derive(Debug)]
pub struct Found {
    parts: Vec<Vec<Checkpoint>>,
    /// What could not be used, by part.
    pub refused: Vec<(usize, CheckpointError)>,
}

impl Found {
    /// Decodes what was stored of each part.
    #[must_use]
    pub fn new(stored: Vec<Vec<Bytes>>) -> Self {
        let mut found = Self { parts: Vec::new(), refused: Vec::new() };
        for (part, candidates) in stored.into_iter().enumerate().take(PARTS) {
            let mut usable = Vec::new();
            for bytes in candidates {
                match decode(bytes, part) {
                    Ok(message) => usable.push(message),
                    Err(error) => found.refused.push((part, error)),
                }
            }
            usable.sort_by_key(|message| std::cmp::Reverse(message.position));
            found.parts.push(usable);
        }
        found
    }

    /// Takes the newest ledger for which every shard has a part at its position or later, and of each
    /// shard the newest part.
    fn choose(&mut self) -> Option<Vec<Checkpoint>> {
        let oldest_shard = |parts: &[Vec<Checkpoint>]| {
            parts.iter().skip(1).map(|of| of.first().map_or(0, |message| message.position)).min().unwrap_or_default()
        };
        let limit = oldest_shard(&self.parts);
        let ledgers = self.parts.first_mut()?;
        let at = ledgers.iter().position(|ledger| ledger.position <= limit)?;
        let ledger = ledgers.remove(at);
        let mut chosen = vec![ledger];
        for of in self.parts.iter_mut().skip(1) {
            chosen.push(if of.is_empty() { return None } else { of.remove(0) });
        }
        (chosen.len() == PARTS).then_some(chosen)
    }
}

impl Tally {
    /// One part as it is now; `None` if there is no such part.
    #[must_use]
    pub fn part(&self, part: usize) -> Option<Part> {
        let (position, state, requests) = match part.checked_sub(1) {
            None => {
                let state = State::Ledger(ledger::state(&self.ledger, &self.plans));
                (self.ledger.position, state, Some(self.ledger.requests.clone()))
            }
            Some(shard) => {
                let shard = self.shards.get(shard)?;
                (shard.position, State::Shard(shard::state(shard, self.ledger.time_ms)), None)
            }
        };
        let message = Checkpoint {
            format: FORMAT,
            parts: u32::try_from(PARTS).unwrap_or_default(),
            part: u32::try_from(part).unwrap_or_default(),
            position,
            state: Some(state),
        };
        Some(Part { message, requests })
    }

    /// Takes over what was stored, and answers the position behind which frames are to be replayed;
    /// without enough parts nothing changes and that is 0. The tally must be new.
    pub fn restore(&mut self, found: &mut Found) -> u64 {
        while let Some(chosen) = found.choose() {
            match self.restored(chosen) {
                Ok(restored) => {
                    (self.ledger, self.plans, self.shards) = restored;
                    return self.ledger.position;
                }
                Err((part, error)) => found.refused.push((part, error)),
            }
        }
        0
    }

    fn restored(&self, chosen: Vec<Checkpoint>) -> Result<(Ledger, Plans, Vec<Shard>), (usize, CheckpointError)> {
        let mut chosen = chosen.into_iter().enumerate();
        let wrong = |part| (part, CheckpointError::Inconsistent("a part without its state"));
        let Some((_, Checkpoint { position, state: Some(State::Ledger(state)), .. })) = chosen.next() else {
            return Err(wrong(0));
        };
        let (ledger, plans) = ledger::restored(&self.key, &self.ledger, position, state).map_err(|error| (0, error))?;
        let mut shards = Vec::with_capacity(SHARDS);
        for (part, message) in chosen {
            let Checkpoint { position, state: Some(State::Shard(state)), .. } = message else {
                return Err(wrong(part));
            };
            shards.push(shard::restored(position, state, &plans).map_err(|error| (part, error))?);
        }
        Ok((ledger, plans, shards))
    }
}
