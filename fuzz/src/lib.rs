//! What the fuzz targets share.
//!
//! The rooms that read the vendor's messages and bundles are compiled in from their source:
//! the whole product would bring its servers and clients along, all of them
//! instrumented, for nothing.

use std::path::PathBuf;

#[path = "../../src"]
mod rooms {
    pub mod bundle;
    pub mod feeds;
    pub mod market;
}
pub use rooms::{bundle, feeds, market};

/// Writes the seeds of a target where the task runner says, before the fuzzer
/// reads its corpus.
pub fn sow(seeds: &[Vec<u8>]) {
    let Some(folder) = std::env::var_os("ORRERY_FUZZ_SEEDS").map(PathBuf::from) else { return };
    for (n, seed) in seeds.iter().enumerate() {
        if let Err(e) = std::fs::write(folder.join(format!("seed-{n}")), seed) {
            panic!("cannot write seeds to {}: {e}", folder.display());
        }
    }
}
