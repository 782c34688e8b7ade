//! Secret hashes: nobody outside can choose ids that meet.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

/// What is hashed; no two purposes can give the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Purpose {
    /// Entities, by namespace.
    Entity = 1,
    /// Request ids, by namespace.
    Request = 2,
    /// Exposures already seen, by namespace, experiment, variant and iteration.
    Exposure = 3,
    /// Single outcomes by namespace and entity, and names of events by namespace.
    Event = 4,
}

/// The secret of an installation, kept as long as its tallies and checkpoints.
#[derive(Clone, Copy, Debug)]
pub struct Key(SipHasher13);

impl Key {
    /// From 16 secret bytes.
    #[must_use]
    pub fn new(secret: [u8; 16]) -> Self {
        Self(SipHasher13::new_with_key(&secret))
    }

    /// Where things of one kind have their ids. Parts stand with their lengths, so that
    /// `["ab", "c"]` and `["a", "bc"]` are two scopes.
    #[must_use]
    pub fn scope(&self, purpose: Purpose, parts: &[&str]) -> Scope {
        let mut hasher = self.0;
        hasher.write(&[purpose as u8]);
        for part in parts {
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part.as_bytes());
        }
        Scope(hasher)
    }
}

/// Hashes ids of one kind, with the scope already taken in.
#[derive(Clone, Copy, Debug)]
pub struct Scope(SipHasher13);

impl Scope {
    /// The part of this scope that is numbered `number`.
    #[inline]
    #[must_use]
    pub fn number(mut self, number: i64) -> Self {
        self.0.write(&number.to_le_bytes());
        self
    }

    /// SipHash-1-3 of the id in this scope.
    #[inline]
    #[must_use]
    pub fn hash(&self, id: &[u8]) -> u64 {
        let mut hasher = self.0;
        hasher.write(id);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_purpose_and_the_seams_between_parts_count() {
        let key = Key::new([1; 16]);
        let hashes = [
            key.scope(Purpose::Entity, &["ab", "c"]).hash(b"id"),
            key.scope(Purpose::Entity, &["a", "bc"]).hash(b"id"),
            key.scope(Purpose::Entity, &["ab"]).hash(b"cid"),
            key.scope(Purpose::Request, &["ab", "c"]).hash(b"id"),
            Key::new([2; 16]).scope(Purpose::Entity, &["ab", "c"]).hash(b"id"),
        ];

        for (index, hash) in hashes.iter().enumerate() {
            assert!(!hashes[..index].contains(hash), "{index}");
        }
    }
}
