//! The gRPC schema: linted, held against the last release, documented.
//!
//! `proto/released` is the schema as it was released last. What clients of that
//! release send and read must go on to mean the same, so nothing of it may be
//! taken away or changed; whoever releases copies `proto/proto` there.

use std::path::Path;
use std::process::Command;

use crate::{cargo_path, step};

/// Installed with the Python packages of `tests/oracles/requirements.txt`.
const BUF: &str = "target/oracles/bin/buf";
/// Where the docs are made; see `tests/it/schema.rs`.
const WRITE: &str = "ORRERY_WRITE_DOCS";

/// Checks the schema; with `--write` makes `docs/api.md` anew instead.
pub fn run(rest: &[String]) -> Result<(), String> {
    match rest {
        [] => check(),
        [write] if write == "--write" => step(
            "docs/api.md",
            Command::new(cargo_path())
                .args(["test", "--locked", "--quiet", "--test", "it", "schema::"])
                .env(WRITE, "1"),
        ),
        _ => Err("usage: cargo xtask schema [--write]".to_owned()),
    }
}

/// Lints, and compares with the last release.
pub fn check() -> Result<(), String> {
    if !Path::new(BUF).is_file() {
        return Err(format!("{BUF} is missing: cargo xtask setup installs it"));
    }
    step("lints of the schema", Command::new(BUF).args(["lint", "proto"]))?;
    step(
        "the schema against the last release",
        Command::new(BUF).args(["breaking", "proto", "--against", "proto/released"]),
    )?;
    finds_what_breaks()
}

/// A check that finds nothing proves nothing: of a copy in which a field has
/// another number it must.
fn finds_what_breaks() -> Result<(), String> {
    let broken = Path::new("target/schema-broken");
    let io = |e: std::io::Error| format!("{}: {e}", broken.display());
    let folder = broken.join("proto/orrery/v1");
    // Left from a run that was broken off.
    let _ = std::fs::remove_dir_all(broken);
    std::fs::create_dir_all(&folder).map_err(io)?;
    std::fs::copy("proto/buf.yaml", broken.join("buf.yaml")).map_err(io)?;
    for entry in std::fs::read_dir("proto/proto/orrery/v1").map_err(io)? {
        let path = entry.map_err(io)?.path();
        let Some(name) = path.file_name() else { continue };
        let text = std::fs::read_to_string(&path).map_err(io)?;
        let text = text.replace("uint64 seq = 1;", "uint64 seq = 1001;");
        std::fs::write(folder.join(name), text).map_err(io)?;
    }
    let found = Command::new(BUF)
        .args(["breaking", "target/schema-broken", "--against", "proto/released"])
        .output()
        .map_err(|e| format!("{BUF}: {e}"))?;
    std::fs::remove_dir_all(broken).map_err(io)?;
    match found.status.success() {
        false => Ok(()),
        true => Err("a field got another number, and the comparison did not see it".to_owned()),
    }
}
