//! What several subjects need: data folders, the binary, shared captures.

pub mod chain;
pub mod exact;
pub mod flood;
pub mod redis;

use std::io::Read;
use std::panic::{UnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use orrery_journal::event::Draft;
use orrery_journal::units::RecvTime;
use orrery_journal::{Calendar, Journal};
use serde_json::Value;

/// A file or folder of the captured market data, or `None` (with a line that
/// says so) where it is absent.
pub fn shared(name: &str) -> Option<PathBuf> {
    // Beside the checkout, or one folder up where checkouts lie side by side.
    for up in ["../shared/data", "../../shared/data"] {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(up).join(name);
        if path.exists() {
            return Some(path);
        }
    }
    println!("skipped: captured data {name} is not beside this checkout");
    None
}

/// The text of a captured file.
pub fn unpacked(path: &Path) -> String {
    let file = std::fs::File::open(path).expect("the capture");
    let mut text = String::new();
    ruzstd::decoding::StreamingDecoder::new(file)
        .expect("zstd")
        .read_to_string(&mut text)
        .expect("text");
    text
}

/// These drafts of one source, in memory.
pub fn journal_of(mut drafts: Vec<Draft>) -> Journal {
    let journal = Journal::in_memory(Calendar::NewYork).expect("memory");
    let writer = journal.writer(|| RecvTime(0)).expect("the first writer");
    let source = writer.define_source(r#"{"feed":"test"}"#).expect("a source");
    drafts.iter_mut().for_each(|draft| draft.source = source);
    while !drafts.is_empty() {
        let rest = drafts.split_off(drafts.len().min(1_000));
        writer.append(drafts).expect("open");
        drafts = rest;
    }
    writer.close().expect("committed");
    journal
}

/// Runs with a file system of a limited size, such as `256m`, or says that this
/// was skipped.
pub fn on_a_small_disk(size: &str, run: impl FnOnce(&Path) + UnwindSafe) {
    let disk = tempfile::tempdir().expect("a folder");
    let size = format!("size={size}");
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", &size, "orrery-test"])
        .arg(disk.path())
        .output();
    if !mounted.as_ref().is_ok_and(|m| m.status.success()) {
        println!("skipped: no file system of limited size can be mounted: {mounted:?}");
        return;
    }
    let told = catch_unwind(|| run(disk.path()));
    let _ = Command::new("umount").arg(disk.path()).status();
    if let Err(panic) = told {
        resume_unwind(panic);
    }
}

/// A data directory of its own and the binary that works on it.
pub struct Orrery {
    dir: tempfile::TempDir,
    data: PathBuf,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// The JSON document on standard output.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("no JSON ({e}) from a command that ended so: {self:#?}"))
    }

    /// Asserts the exit code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Ended {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Ended {
        Ended {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Orrery {
    pub fn new() -> Orrery {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let data = dir.path().join("data");
        Orrery { dir, data }
    }

    /// With a data directory somewhere else.
    pub fn at(data: PathBuf) -> Orrery {
        Orrery { data, ..Orrery::new() }
    }

    pub fn data(&self) -> PathBuf {
        self.data.clone()
    }

    /// The binary with this data directory and these arguments, not started.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orrery"));
        command.arg("--data").arg(self.data()).args(args).env_remove("ORRERY_DATA");
        command
    }

    pub fn run(&self, args: &[&str]) -> Ended {
        self.command(args).output().expect("the binary starts").into()
    }

    /// Imports paths, which must go well, and returns the report.
    #[track_caller]
    pub fn import(&self, paths: &[&Path]) -> Value {
        let mut args = vec!["import", "--json"];
        args.extend(paths.iter().map(|p| p.to_str().expect("a UTF-8 path")));
        self.run(&args).expect(0).json()
    }

    /// Header and body of an artifact.
    #[track_caller]
    pub fn artifact(&self, symbol: &str, family: &str, version: u64) -> Value {
        let version = version.to_string();
        self.run(&["artifacts", "show", symbol, family, "--version", &version, "--json"])
            .expect(0)
            .json()
    }

    /// All headers of a family, oldest first.
    #[track_caller]
    pub fn headers(&self, symbol: &str, family: &str) -> Vec<Value> {
        let ended = self.run(&[
            "artifacts",
            "list",
            "--symbol",
            symbol,
            "--family",
            family,
            "--limit",
            "100000",
            "--json",
        ]);
        ended.expect(0).json().as_array().expect("a list").clone()
    }

    /// Writes a file beside the data directory.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).expect("a file");
        path
    }
}
