//! Frames to bytes and back.

use bytes::Bytes;
use prost::Message;

use crate::proto::storage::v1::JournalFrame;

/// Layout that this version writes.
pub const FORMAT: u32 = 2;
/// Oldest layout that it reads: frames stay in the journal for years.
pub const OLDEST_FORMAT: u32 = 1;

/// Why bytes are no frame that can be folded.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The bytes are not those that were written.
    #[error("crc of the frame is {found:08x}, not {expected:08x}")]
    Damaged {
        /// Kept beside the bytes.
        expected: u32,
        /// Of the bytes.
        found: u32,
    },
    /// No protobuf message of this kind.
    #[error("the frame cannot be decoded")]
    Malformed(#[from] prost::DecodeError),
    /// Written by another version.
    #[error("frame format {0} is unknown, this version reads {OLDEST_FORMAT} to {FORMAT}")]
    UnknownFormat(u32),
}

/// A frame as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// `klero.storage.v1.JournalFrame`.
    pub bytes: Vec<u8>,
    /// CRC-32 (IEEE) of `bytes`.
    pub crc: u32,
}

/// The bytes of `frame` and their checksum.
#[must_use]
pub fn encode(frame: &JournalFrame) -> Encoded {
    let bytes = frame.encode_to_vec();
    let crc = crc32fast::hash(&bytes);
    Encoded { bytes, crc }
}

/// The frame in `bytes`, whose columns share the memory of `bytes`.
///
/// # Errors
/// If the checksum is not `crc`, if the bytes are no frame, or one of an unknown format.
pub fn decode(bytes: Bytes, crc: u32) -> Result<JournalFrame, FrameError> {
    let found = crc32fast::hash(&bytes);
    if found != crc {
        return Err(FrameError::Damaged { expected: crc, found });
    }
    let frame = JournalFrame::decode(bytes)?;
    if !(OLDEST_FORMAT..=FORMAT).contains(&frame.format) {
        return Err(FrameError::UnknownFormat(frame.format));
    }
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(format: u32) -> JournalFrame {
        JournalFrame { format, sequence: 7, time_ms: -1, ..JournalFrame::default() }
    }

    #[test]
    fn a_frame_of_every_format_read_survives_the_way_through_bytes() {
        for format in OLDEST_FORMAT..=FORMAT {
            let encoded = encode(&frame(format));

            assert_eq!(frame(format), decode(encoded.bytes.into(), encoded.crc).unwrap());
        }
    }

    #[test]
    fn one_changed_bit_is_noticed() {
        let mut encoded = encode(&frame(FORMAT));
        encoded.bytes[1] ^= 1;

        assert!(matches!(decode(encoded.bytes.into(), encoded.crc), Err(FrameError::Damaged { .. })));
    }

    #[test]
    fn what_is_no_frame_or_of_another_format_is_refused() {
        let garbage = Bytes::from_static(&[0xff]);
        let crc = crc32fast::hash(&garbage);

        assert!(matches!(decode(garbage, crc), Err(FrameError::Malformed(_))));
        for format in [OLDEST_FORMAT - 1, FORMAT + 1] {
            let other = encode(&frame(format));
            let error = decode(other.bytes.into(), other.crc).unwrap_err();

            assert_eq!(format!("frame format {format} is unknown, this version reads 1 to 2"), error.to_string());
        }
    }
}
