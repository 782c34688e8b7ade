//! Compiles the contract and the storage formats, without a `protoc` binary.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new("../proto");
    let mut files = Vec::new();
    for directory in ["klero/v1", "klero/storage/v1"] {
        for entry in std::fs::read_dir(root.join(directory))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "proto") {
                files.push(path);
            }
        }
    }
    files.sort();
    println!("cargo:rerun-if-changed=../proto");
    let descriptors = protox::compile(&files, [root])?;
    prost_build::Config::new()
        // Ordered, so that equal messages have equal bytes (digests, snapshots).
        .btree_map(["."])
        // Long columns are borrowed from the frame instead of copied.
        .bytes([".klero.storage.v1"])
        .compile_fds(descriptors)?;
    Ok(())
}
