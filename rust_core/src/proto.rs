//! The contract and the storage formats as Rust types, generated at build time from `proto/`.

/// The public contract, `proto/klero/v1`.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/klero.v1.rs"));
}

/// Journal frames and tallies, `proto/klero/storage/v1`.
pub mod storage {
    /// Format 1.
    #[allow(missing_docs, clippy::all, clippy::pedantic)]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/klero.storage.v1.rs"));
    }
}
