//! Answers of the hot path written field by field: configs are copied as they were encoded when the
//! snapshot was compiled, and no message is built only to be encoded.
//!
//! The test below decodes every field with the generated types.

use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

use crate::decide::Decision;
use crate::proto::v1::DecisionReason;

/// Protobuf fields in a growing buffer; values that are the default are left out, as proto3 says.
#[derive(Default)]
pub(super) struct Writer {
    buffer: Vec<u8>,
}

impl Writer {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { buffer: Vec::with_capacity(bytes) }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.buffer
    }

    pub(super) fn len(&self) -> usize {
        self.buffer.len()
    }

    pub(super) fn text(&mut self, tag: u32, value: &str) {
        if !value.is_empty() {
            self.message(tag, value.as_bytes());
        }
    }

    /// Length-delimited, written even when empty: the presence of a message counts.
    pub(super) fn message(&mut self, tag: u32, encoded: &[u8]) {
        encode_key(tag, WireType::LengthDelimited, &mut self.buffer);
        encode_varint(encoded.len() as u64, &mut self.buffer);
        self.buffer.extend_from_slice(encoded);
    }

    pub(super) fn int(&mut self, tag: u32, value: i64) {
        if value != 0 {
            encode_key(tag, WireType::Varint, &mut self.buffer);
            encode_varint(value.cast_unsigned(), &mut self.buffer);
        }
    }

    pub(super) fn flag(&mut self, tag: u32, value: bool) {
        self.int(tag, i64::from(value));
    }

    fn double(&mut self, tag: u32, value: f64) {
        if value != 0.0 {
            encode_key(tag, WireType::SixtyFourBit, &mut self.buffer);
            self.buffer.extend_from_slice(&value.to_le_bytes());
        }
    }

    fn fixed(&mut self, tag: u32, value: u64) {
        if value != 0 {
            encode_key(tag, WireType::SixtyFourBit, &mut self.buffer);
            self.buffer.extend_from_slice(&value.to_le_bytes());
        }
    }
}

/// `klero.v1.Decision`, with the config unless the caller holds it.
pub(super) fn decision(decision: &Decision, known_config_digests: &[u64]) -> Vec<u8> {
    let experiment = decision.experiment;
    let variant = decision.variant;
    let config = variant.config.as_ref().filter(|_| !known_config_digests.contains(&variant.config_digest));
    // What follows are a few short fields; ids and config are what can be long.
    let long = experiment.id.len() + variant.id.len() + decision.entity_id.len() + config.map_or(0, bytes::Bytes::len);
    let mut writer = Writer::with_capacity(long + 64);
    writer.text(1, &experiment.id);
    writer.text(2, &variant.id);
    writer.int(3, i64::from(decision.reason as i32));
    if let Some(config) = config {
        writer.message(4, config);
    }
    writer.flag(5, variant.is_control);
    writer.flag(6, decision.enrolled);
    writer.flag(7, decision.randomized);
    writer.flag(8, decision.enabled);
    writer.int(9, experiment.revision);
    writer.int(10, experiment.iteration);
    writer.int(11, experiment.epoch);
    writer.double(12, decision.propensity);
    writer.fixed(13, variant.config_digest);
    writer.text(14, decision.entity_id);
    writer.into_bytes()
}

/// `klero.v1.Decision` about an experiment that cannot be decided here.
pub(super) fn not_found(experiment_id: &str, revision: i64) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.text(1, experiment_id);
    writer.int(3, i64::from(DecisionReason::NotFound as i32));
    writer.int(9, revision);
    writer.into_bytes()
}

/// Bytes that a length-delimited field of `length` bytes takes.
pub(super) fn field_len(tag: u32, length: usize) -> usize {
    key_len(tag) + encoded_len_varint(length as u64) + length
}
