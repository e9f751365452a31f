//! Compiles the schema with protox, so that no system protoc is needed.
// A build script gets its folder from the environment.
#![allow(clippy::disallowed_methods)]

use std::{env, fs, path::PathBuf};

use prost::Message as _;

const FILES: [&str; 12] = [
    "orrery/v1/admin.proto",
    "orrery/v1/annotation.proto",
    "orrery/v1/artifact.proto",
    "orrery/v1/certificate.proto",
    "orrery/v1/common.proto",
    "orrery/v1/delivery.proto",
    "orrery/v1/epoch.proto",
    "orrery/v1/event.proto",
    "orrery/v1/journal.proto",
    "orrery/v1/profile.proto",
    "orrery/v1/replay.proto",
    "orrery/v1/session.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // Reflection hands out the very descriptors that the code was made of.
    fs::write(out.join("orrery_descriptor.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .build_server(true)
        .build_client(true)
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
