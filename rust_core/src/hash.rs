//! Entity and salt to 64 bits: scheme `klero.v1`, fixed for ever by `tests/vectors/hash.json`.

use xxhash_rust::xxh64::xxh64;

/// What separates one random choice from every other: an experiment's salt and a purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(u64);

impl Seed {
    /// Seed of `salt` for `purpose`.
    ///
    /// Salts have no slash, so that `a/b` + `c` cannot meet `a` + `b/c`.
    #[must_use]
    pub fn new(salt: &str, purpose: &str) -> Self {
        Self(xxh64(format!("{salt}/{purpose}").as_bytes(), 0))
    }

    /// 64 bits of `entity_id`, uniform and independent of those under any other seed.
    #[inline]
    #[must_use]
    pub fn hash(self, entity_id: &str) -> u64 {
        xxh64(entity_id.as_bytes(), self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_of_one_salt_are_different_choices() {
        assert_ne!(Seed::new("exp", "traffic").hash("entity"), Seed::new("exp", "variant/a").hash("entity"),);
    }
}
