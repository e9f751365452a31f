//! `tests/reliability/ledger.jsonl`: one line for each run of a harness by
//! hand. Continuous integration runs the same harnesses and writes nothing.

use std::fs::File;
use std::io::Write as _;

/// Where the lines go.
const PATH: &str = "tests/reliability/ledger.jsonl";

/// Appends what a run came to.
///
/// # Errors
/// When the lock file cannot be read or the ledger cannot be written.
pub fn append(
    what: &str,
    trials: u64,
    failures: u64,
    seed: u64,
    notes: &str,
) -> Result<(), String> {
    let root = env!("CARGO_MANIFEST_DIR").trim_end_matches("xtask");
    let path = format!("{root}{PATH}");
    let line = format!(
        "{{\"what\":{},\"trials\":{trials},\"failures\":{failures},\"seed\":{seed},\"versions\":{{\"orrery\":\"{}\",\"fjall\":\"{}\"}},\"notes\":{}}}\n",
        quoted(what),
        env!("CARGO_PKG_VERSION"),
        fjall(root)?,
        quoted(notes),
    );
    let failed = |e: std::io::Error| format!("{path}: {e}");
    if let Some(folder) = std::path::Path::new(&path).parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut file = File::options().create(true).append(true).open(&path).map_err(failed)?;
    file.write_all(line.as_bytes()).map_err(failed)
}

/// The version of the engine that is built in.
fn fjall(root: &str) -> Result<String, String> {
    let lock = std::fs::read_to_string(format!("{root}Cargo.lock")).map_err(|e| e.to_string())?;
    let mut lines = lock.lines().skip_while(|line| *line != "name = \"fjall\"");
    let version = lines.nth(1).and_then(|line| line.strip_prefix("version = \""));
    let version = version.and_then(|rest| rest.strip_suffix('"'));
    version.map(str::to_owned).ok_or_else(|| "Cargo.lock names no fjall".to_owned())
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_quoted_for_json() {
        assert_eq!(quoted("a \"b\" \\ c\nd"), "\"a \\\"b\\\" \\\\ c d\"");
    }

    #[test]
    fn the_engine_s_version_is_found() {
        let root = env!("CARGO_MANIFEST_DIR").trim_end_matches("xtask");
        assert!(fjall(root).expect("a version").starts_with("3."));
    }
}
