//! The counts of all runs, a JSON object a line, and the table that is made
//! of them in `docs/reliability.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::parent::Totals;

/// Where the counts are, below the repository.
pub const LEDGER: &str = "tests/reliability/ledger.jsonl";
/// Where the table is.
pub const DOCUMENT: &str = "docs/reliability.md";
const BEGIN: &str =
    "<!-- totals: begin (made from tests/reliability/ledger.jsonl by `cargo xtask ledger`) -->";
const END: &str = "<!-- totals: end -->";

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned());
    text.unwrap_or_default()
}

/// A run of a harness of another package, to be added.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// What was tried; without it only the totals are made anew
    #[arg(long, requires_all = ["trials", "failures", "seed"])]
    add: Option<String>,
    /// How often it was tried
    #[arg(long)]
    trials: Option<u64>,
    /// How often it failed
    #[arg(long)]
    failures: Option<u64>,
    /// Seed of the run
    #[arg(long)]
    seed: Option<u64>,
    /// Whatever else the harness said
    #[arg(long)]
    notes: Option<String>,
}

/// Adds the counts of a run of ours. `control` says that it had to fail.
///
/// # Errors
/// When the file cannot be written.
pub fn append(root: &Path, what: &str, seed: u64, control: bool, totals: &Totals) -> Result<()> {
    let counts = json!({
        "what": what,
        "control": control,
        "trials": totals.trials,
        "failures": totals.failures(),
        "acknowledged": totals.acknowledged,
        "lost": totals.lost,
        "invented": totals.invented,
        "refused": totals.bad,
        "openings": totals.opened,
        "slowest_ms": totals.slowest_us / 1000,
        "over_a_second": totals.slow,
        "places": totals.places.len(),
        "seed": seed,
        "build": if cfg!(debug_assertions) { "dev" } else { "release" },
    });
    add(root, counts)
}

/// Adds the run of another harness, if there is one, and makes the totals anew.
///
/// # Errors
/// When a file cannot be read or written.
pub fn run(root: &Path, options: &Options) -> Result<()> {
    if let Some(what) = &options.add {
        let Options { trials, failures, seed, notes, .. } = options;
        add(
            root,
            json!({ "what": what, "trials": trials, "failures": failures, "seed": seed,
                    "notes": notes }),
        )?;
    }
    write(root)
}

fn add(root: &Path, mut line: Value) -> Result<()> {
    for (name, value) in [
        ("orrery", env!("CARGO_PKG_VERSION").to_owned()),
        ("engine", engine(root)?),
        ("commit", said("git", &["rev-parse", "--short", "HEAD"])),
        ("kernel", said("uname", &["-r"])),
        ("date", said("date", &["-u", "+%Y-%m-%d"])),
    ] {
        line[name] = value.into();
    }
    let path = root.join(LEDGER);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = File::options().create(true).append(true).open(&path)?;
    writeln!(file, "{line}").with_context(|| format!("writing {}", path.display()))
}

/// The engine that is built in, by the lock file.
fn engine(root: &Path) -> Result<String> {
    let lock = std::fs::read_to_string(root.join("Cargo.lock")).context("Cargo.lock")?;
    let mut lines = lock.lines().skip_while(|line| *line != "name = \"fjall\"");
    let version = lines.nth(1).and_then(|line| line.strip_prefix("version = \""));
    let version = version.and_then(|rest| rest.strip_suffix('"'));
    version.map(|v| format!("fjall {v}")).context("Cargo.lock names no fjall")
}

/// Sums over the runs of one kind.
#[derive(Default)]
struct Sum {
    runs: u64,
    trials: u64,
    failures: u64,
    acknowledged: u64,
    lost: u64,
}

/// The table of all lines of a ledger. Lines of other harnesses count, too:
/// they need `what`, `trials` and `failures`. A line with `void` is kept with its
/// reason and not counted.
///
/// # Errors
/// When a line is not an object with these.
pub fn table(ledger: &str) -> Result<String> {
    let mut sums: BTreeMap<(bool, String), Sum> = BTreeMap::new();
    for (at, line) in ledger.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let line: Value =
            serde_json::from_str(line).with_context(|| format!("{LEDGER} line {}", at + 1))?;
        if !line["void"].is_null() {
            continue;
        }
        let what = line["what"].as_str().with_context(|| format!("line {}: what", at + 1))?;
        let number = |name: &str| line[name].as_u64();
        let sum = sums
            .entry((line["control"].as_bool().unwrap_or_default(), what.to_owned()))
            .or_default();
        sum.runs += 1;
        sum.trials += number("trials").with_context(|| format!("line {}: trials", at + 1))?;
        sum.failures += number("failures").with_context(|| format!("line {}: failures", at + 1))?;
        sum.acknowledged += number("acknowledged").unwrap_or_default();
        sum.lost += number("lost").unwrap_or_default();
    }
    let mut out = String::from(
        "| what | runs | trials | failures | acknowledged events | lost | so, at 95 %, fails less often than |\n|---|---|---|---|---|---|---|\n",
    );
    for ((control, what), sum) in &sums {
        let Sum { runs, trials, failures, acknowledged, lost } = sum;
        let bound = match (control, failures) {
            (true, _) => "must fail".to_owned(),
            (false, 0) => format!("once in {}", trials / 3),
            _ => "-".to_owned(),
        };
        let control = if *control { " (control)" } else { "" };
        let _ = writeln!(
            out,
            "| {what}{control} | {runs} | {trials} | {failures} | {acknowledged} | {lost} | {bound} |"
        );
    }
    Ok(out)
}

/// The document with the table of the ledger in it.
///
/// # Errors
/// When the marks are missing or the ledger is not understood.
pub fn document(text: &str, ledger: &str) -> Result<String> {
    let (before, rest) = text.split_once(BEGIN).context("the mark where the totals begin")?;
    let (_, after) = rest.split_once(END).context("the mark where the totals end")?;
    Ok(format!("{before}{BEGIN}\n\n{}\n{END}{after}", table(ledger)?))
}

/// Makes the table anew.
///
/// # Errors
/// When a file cannot be read or written.
pub fn write(root: &Path) -> Result<()> {
    let ledger = std::fs::read_to_string(root.join(LEDGER)).context(LEDGER)?;
    let path = root.join(DOCUMENT);
    let text = std::fs::read_to_string(&path).context(DOCUMENT)?;
    std::fs::write(&path, document(&text, &ledger)?).context(DOCUMENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_totals_are_those_of_the_ledger() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let ledger = std::fs::read_to_string(root.join(LEDGER)).expect("the ledger");
        let text = std::fs::read_to_string(root.join(DOCUMENT)).expect("the document");
        let right = document(&text, &ledger).expect("both are understood");
        assert!(text == right, "run `cargo xtask ledger`");
        for line in ledger.lines() {
            let line: Value = serde_json::from_str(line).expect("an object a line");
            let control = line["control"].as_bool().unwrap_or_default();
            let failures = line["failures"].as_u64().expect("a count");
            let void = !line["void"].is_null();
            assert!(void || (failures > 0) == control, "only controls fail: {line}");
        }
    }

    #[test]
    fn the_engine_s_version_is_found() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        assert!(engine(&root).expect("a version").starts_with("fjall 3."));
    }

    #[test]
    fn runs_of_one_kind_add_up() {
        let ledger = "{\"what\":\"a\",\"trials\":30,\"failures\":0,\"lost\":0}\n\
                      {\"what\":\"a\",\"trials\":60,\"failures\":0,\"acknowledged\":7}\n\
                      {\"what\":\"a\",\"trials\":5,\"failures\":2,\"control\":true}\n\
                      {\"what\":\"a\",\"trials\":9,\"failures\":1,\"void\":\"why\"}\n";
        let table = table(ledger).expect("is understood");
        assert!(table.contains("| a | 2 | 90 | 0 | 7 | 0 | once in 30 |"), "{table}");
        assert!(table.contains("| a (control) | 1 | 5 | 2 | 0 | 0 | must fail |"), "{table}");
        assert!(super::table("{\"trials\":1}").is_err());
    }
}
