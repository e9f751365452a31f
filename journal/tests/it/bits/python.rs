//! The second opinion: `tools/preflight.py`, which shares nothing with us but
//! the description of the format, says the same of every damage.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use orrery_journal::preflight::{Verdict, inspect};

use super::image::{Image, Sample, history, labels, scratch, small};
use crate::support::Random;

/// A running `preflight.py --cases`.
struct Python {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Python {
    /// `None` where there is no Python.
    fn start() -> Option<Python> {
        let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/preflight.py");
        let mut child = Command::new("python3")
            .arg(tool)
            .arg("--cases")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let to = child.stdin.take()?;
        let from = BufReader::new(child.stdout.take()?);
        Some(Python { child, to, from })
    }

    fn ask(&mut self, folder: &Path) -> String {
        writeln!(self.to, "{}", folder.display()).expect("it listens");
        let mut line = String::new();
        self.from.read_line(&mut line).expect("it answers");
        line
    }

    fn end(mut self) {
        drop(self.to);
        assert!(self.child.wait().expect("it ends").success());
    }
}

/// The value of a key in the flat JSON that the tool prints.
fn field<'a>(json: &'a str, key: &str) -> &'a str {
    let start = json.find(&format!("\"{key}\": ")).unwrap_or_else(|| panic!("{key} in {json}"));
    let rest = &json[start + key.len() + 4..];
    let end = match rest.as_bytes()[0] {
        b'[' => rest.find("]]").map_or(2, |at| at + 2),
        b'"' => rest[1..].find('"').expect("a closed string") + 2,
        _ => rest.find([',', '}']).expect("an end"),
    };
    &rest[..end]
}

fn python(json: &str) -> String {
    let keys = ["verdict", "file", "offset", "last_good", "last", "acknowledged", "harmless"];
    assert_ne!(field(json, "verdict"), "\"error\"", "{json}");
    keys.map(|key| field(json, key)).join(" ")
}

/// The same in our words.
fn rust(folder: &Path) -> String {
    let report = inspect(folder).expect("the files can be read");
    let number = |n: Option<u64>| n.map_or("null".to_owned(), |n| n.to_string());
    let seq = |s: Option<orrery_journal::units::Seq>| number(s.map(|s| s.0));
    let mut out = match &report.verdict {
        Verdict::Clean => "\"clean\" null 0 null".to_owned(),
        Verdict::TornTail { file, offset, .. } => format!("\"torn\" {file:?} {offset} null"),
        Verdict::Corrupt { file, offset, last_good, .. } => {
            format!("\"corrupt\" {file:?} {offset} {}", seq(*last_good))
        }
    };
    let harmless: Vec<String> =
        report.harmless.iter().map(|d| format!("[{:?}, {}]", d.file, d.offset)).collect();
    let harmless = harmless.join(", ");
    write!(out, " {} {} [{harmless}]", seq(report.last), seq(report.acknowledged)).expect("writes");
    out
}

/// Both on one damage after another in a folder that is mended each time.
struct Both {
    python: Python,
    dir: tempfile::TempDir,
    /// Without its package for hashes it is some hundred times slower, and is
    /// asked less often.
    every: usize,
    asked: usize,
    cases: usize,
    verdicts: [usize; 3],
}

/// Whether Python hashes at speed.
fn fast() -> bool {
    let import =
        Command::new("python3").args(["-c", "import xxhash"]).stderr(Stdio::null()).status();
    import.is_ok_and(|status| status.success())
}

impl Both {
    fn compare(&mut self, what: &str) {
        self.asked += 1;
        if !self.asked.is_multiple_of(self.every) {
            return;
        }
        let folder = self.dir.path().join("journal");
        let (ours, theirs) = (rust(&folder), python(&self.python.ask(&folder)));
        assert_eq!(ours, theirs, "{what}");
        self.cases += 1;
        let kinds = ["\"clean\"", "\"torn\"", "\"corrupt\""];
        let kind = kinds.iter().position(|k| ours.starts_with(k)).expect("a verdict");
        self.verdicts[kind] += 1;
    }

    fn file(&mut self, sample: &Sample, path: &Path, bytes: &[u8], what: &str) {
        fs::write(self.dir.path().join(path), bytes).expect("writes");
        self.compare(&format!("{} {what}", path.display()));
        fs::write(self.dir.path().join(path), &sample.image.files[path]).expect("writes");
    }

    fn image(&mut self, sample: &Sample, image: &Image, what: &str) {
        image.write(self.dir.path());
        self.compare(what);
        sample.image.write(self.dir.path());
    }
}

#[test]
fn python_says_the_same() {
    let (sample, mut random) = (small(), Random(3));
    let Some(python) = Python::start() else {
        eprintln!("skipped: python3 is not installed");
        return;
    };
    let every = if fast() { 1 } else { 37 };
    let mut both = Both { python, dir: scratch(), every, asked: 0, cases: 0, verdicts: [0; 3] };
    sample.image.write(both.dir.path());
    both.compare("nothing");
    for (path, good) in &sample.image.files {
        let inside: Vec<usize> = (0..good.len()).collect();
        let dense = good.len() < 400 || path.extension().is_some_and(|e| e == "jnl");
        let step = if dense { 11 } else { 53 };
        for at in inside.iter().copied().skip(3).step_by(step) {
            let mut bad = good.clone();
            bad[at] ^= 1 << random.below(8);
            both.file(&sample, path, &bad, &format!("flip at {at}"));
        }
        for len in inside.iter().copied().skip(1).step_by(2 * step) {
            both.file(&sample, path, &good[..len], &format!("cut to {len}"));
        }
        // Sectors that never came to the disk, alone and with the end cut off.
        for from in (0..good.len()).step_by(512) {
            let mut bad = good.clone();
            let to = (from + 512 * (1 + random.below(2) as usize)).min(bad.len());
            bad[from..to].fill(0);
            both.file(&sample, path, &bad, &format!("zeros at {from}"));
            bad.truncate(bad.len() - random.below(good.len() as u64 / 4) as usize);
            both.file(&sample, path, &bad, &format!("zeros at {from} and cut to {}", bad.len()));
        }
        let places: Vec<usize> = labels(good).into_iter().map(|(at, _)| at).collect();
        for pair in places.windows(2) {
            let mut bad = good.clone();
            let len = (pair[1] - pair[0]).min(good.len() - pair[1]).min(150);
            let (left, right) = bad.split_at_mut(pair[1]);
            left[pair[0]..pair[0] + len].swap_with_slice(&mut right[..len]);
            both.file(&sample, path, &bad, &format!("{pair:?} exchanged"));
        }
        let mut gone = sample.image.clone();
        gone.files.remove(path);
        both.image(&sample, &gone, &format!("{} deleted", path.display()));
    }
    for name in ["keyspaces/x", "keyspaces/2/tables/x", "a.jnl", "9.jnl", ".DS_Store"] {
        let path = PathBuf::from("journal/db").join(name);
        let (mut file, mut folder) = (sample.image.clone(), sample.image.clone());
        file.files.insert(path.clone(), b"?".to_vec());
        folder.folders.insert(path);
        both.image(&sample, &file, &format!("a file {name}"));
        both.image(&sample, &folder, &format!("a folder {name}"));
    }
    let (sample, earlier) = history();
    sample.image.write(both.dir.path());
    for (n, image) in earlier.iter().enumerate() {
        both.image(&sample, image, &format!("step {n}"));
        for (path, bytes) in &image.files {
            if sample.image.files.get(path) != Some(bytes) {
                let mut older = sample.image.clone();
                older.files.insert(path.clone(), bytes.clone());
                both.image(&sample, &older, &format!("{} of step {n}", path.display()));
            }
        }
    }
    let [clean, torn, corrupt] = both.verdicts;
    eprintln!("{} cases agree: {clean} clean, {torn} torn, {corrupt} corrupt", both.cases);
    let enough = clean * every > 50 && torn * every > 100 && corrupt * every > 2_000;
    assert!(enough, "{:?}", both.verdicts);
    both.python.end();
}
