//! Directories that others hold, own or wrote, and clocks that go back: a clear
//! error, or what is documented; nothing is lost.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use orrery_journal::event::Draft;
use orrery_journal::units::{RecvTime, Seq};
use orrery_journal::{Journal, OpenError};

use crate::support::*;

const DIR: &str = "ORRERY_TEST_DIR";
/// Nobody, on every Debian.
const STRANGER: u32 = 65_534;

fn open(dir: &Path) -> Result<Journal, OpenError> {
    Journal::open(dir, &utc())
}

/// Everything that the error says, causes included.
fn told(error: &dyn std::error::Error) -> String {
    let mut out = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        out = format!("{out}: {cause}");
        next = cause.source();
    }
    out
}

/// Not a test: what another process does in the tests below, when they start
/// this binary again. It opens, says how that went, and stays until told.
#[test]
fn another_process() {
    #[allow(clippy::disallowed_methods)]
    let Ok(dir) = std::env::var(DIR) else { return };
    let mut line = String::new();
    let _ = std::io::stdin().read_line(&mut line);
    let opened = open(Path::new(&dir));
    let outcome = match &opened {
        Ok(journal) => format!("won {} {}", std::process::id(), journal.head().seq),
        Err(e) => format!("lost {}", told(e)),
    };
    let _ = writeln!(std::io::stderr(), "outcome: {outcome}");
    if opened.is_ok() {
        let _ = std::io::stdin().read_line(&mut line);
    }
}

struct Other {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStderr>>,
}

impl Other {
    fn start(dir: &Path, user: Option<u32>) -> std::io::Result<Other> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["--exact", "hostile::another_process", "--nocapture"])
            .env(DIR, dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        let mut child = command.spawn()?;
        let stderr = child.stderr.take().expect("a pipe");
        Ok(Other { child, lines: BufReader::new(stderr).lines() })
    }

    fn go(&mut self) {
        let stdin = self.child.stdin.as_mut().expect("a pipe");
        stdin.write_all(b"go\n").expect("it listens");
    }

    fn outcome(&mut self) -> String {
        let mut lines = self.lines.by_ref().map(|line| line.expect("text"));
        lines
            .find_map(|line| line.strip_prefix("outcome: ").map(str::to_owned))
            .expect("an outcome")
    }

    fn end(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().expect("it ends").success());
    }
}

#[test]
fn of_a_hundred_racing_starts_one_in_each_race_wins() {
    let dir = tempfile::tempdir().expect("a folder");
    append(&open(dir.path()).expect("opens"), &session(1, 50, 1), &[10]);
    let events = events(&open(dir.path()).expect("opens")).len();
    for race in 0..20 {
        let start = || Other::start(dir.path(), None).expect("starts");
        let mut racers: Vec<Other> = (0..5).map(|_| start()).collect();
        racers.iter_mut().for_each(Other::go);
        let outcomes: Vec<String> = racers.iter_mut().map(Other::outcome).collect();
        let won: Vec<&String> = outcomes.iter().filter(|o| o.starts_with("won")).collect();
        assert_eq!(won.len(), 1, "race {race}: {outcomes:?}");
        let pid = won[0].split(' ').nth(1).expect("a pid");
        assert_eq!(*won[0], format!("won {pid} {events}"));
        for lost in outcomes.iter().filter(|o| !o.starts_with("won")) {
            let holder = lost.contains(&format!("in use by pid {pid} "));
            // It may not have come to writing its name yet.
            assert!(holder || lost.contains("in use by another process"), "{lost}, not {pid}");
        }
        racers.into_iter().for_each(Other::end);
    }
    verify_clean(&open(dir.path()).expect("opens"));
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("changes its own file");
}

fn tree(dir: &Path) -> Vec<PathBuf> {
    let mut out = vec![dir.to_owned()];
    let mut at = 0;
    while let Some(path) = out.get(at).cloned() {
        if path.is_dir() {
            out.extend(fs::read_dir(&path).expect("a folder").map(|e| e.expect("an entry").path()));
        }
        at += 1;
    }
    out
}

/// What a user without rights is told; `None`, with the reason, where that
/// cannot be tried. The files are as before in any case.
fn stranger(dir: &Path) -> Option<String> {
    let bytes = |dir: &Path| -> Vec<(PathBuf, Vec<u8>)> {
        let files = tree(&dir.join("journal")).into_iter().filter(|path| path.is_file());
        files.map(|path| (path.clone(), fs::read(path).expect("reads"))).collect()
    };
    let root = Command::new("id").arg("-u").output();
    if !root.is_ok_and(|out| out.stdout.trim_ascii() == b"0") {
        eprintln!("skipped: only root can start a process of another user");
        return None;
    }
    let before = bytes(dir);
    let mut other = match Other::start(dir, Some(STRANGER)) {
        Ok(other) => other,
        Err(e) => {
            eprintln!("skipped: another user cannot start this test: {e}");
            return None;
        }
    };
    other.go();
    let outcome = other.outcome();
    other.end();
    assert!(bytes(dir) == before, "the files changed: {outcome}");
    Some(outcome)
}

#[test]
fn without_rights_it_says_which_file_and_changes_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    append(&open(dir.path()).expect("opens"), &session(2, 60, 1), &[10]);
    let database = dir.path().join("journal/db");
    mode(dir.path(), 0o755);
    let refused = |file: &Path| {
        let Some(told) = stranger(dir.path()) else { return };
        let clear = told.starts_with("lost") && told.contains("ermission denied");
        assert!(clear && told.contains(&file.display().to_string()), "{}: {told}", file.display());
    };
    // Owned by somebody else.
    refused(&dir.path().join("LOCK"));
    // Taken over, but for some files, as after one start as another user.
    for path in tree(dir.path()) {
        std::os::unix::fs::chown(&path, Some(STRANGER), Some(STRANGER)).unwrap_or_default();
    }
    if let Some(told) = stranger(dir.path()) {
        assert!(told.starts_with("won"), "{told}");
    }
    for file in ["0.jnl", "version", "keyspaces/0/current", "lock"] {
        let file = database.join(file);
        for rights in [0o000, 0o444] {
            if rights == 0o444 && !(file.ends_with("0.jnl") || file.ends_with("lock")) {
                continue;
            }
            mode(&file, rights);
            refused(&file);
            mode(&file, 0o644);
        }
    }
    let head = dir.path().join("journal/HEAD");
    mode(&head, 0o444);
    refused(&head);
    mode(&head, 0o644);
    // A folder that cannot be written to.
    for folder in [dir.path().join("journal"), database.clone(), database.join("keyspaces/2")] {
        mode(&folder, 0o555);
        refused(&folder);
        mode(&folder, 0o755);
    }
    verify_clean(&open(dir.path()).expect("opens"));
}

#[test]
fn what_a_newer_version_wrote_is_named_as_such() {
    let dir = tempfile::tempdir().expect("a folder");
    append(&open(dir.path()).expect("opens"), &session(3, 60, 1), &[10]);
    let newer = |path: &Path, bytes: &[u8], version: u32| {
        let good = fs::read(path).expect("reads");
        fs::write(path, bytes).expect("writes");
        let refused = open(dir.path()).map(|_| ()).expect_err("refused");
        let named = matches!(&refused, OpenError::NewerFormat { path: p, found, .. }
            if p == path && *found == version);
        assert!(named && refused.to_string().contains("use a newer one"), "{refused}");
        assert!(fs::read(path).expect("reads") == bytes);
        fs::write(path, good).expect("writes");
    };
    newer(&dir.path().join("journal/db/version"), b"FJL\x04", 4);
    let head = dir.path().join("journal/HEAD");
    let mut bytes = fs::read(&head).expect("reads");
    for slot in bytes.chunks_mut(4096) {
        slot[8] = 2;
        let hash = blake3::hash(&slot[..96]);
        slot[96..128].copy_from_slice(hash.as_bytes());
    }
    newer(&head, &bytes, 2);
    verify_clean(&open(dir.path()).expect("opens"));
}

fn an_hour_before() -> RecvTime {
    RecvTime(OPENING - 3_600 * SECOND)
}

/// Recv time stands still until the clock has caught up.
#[test]
fn a_clock_that_was_set_back_stamps_with_the_last_time() {
    let dir = tempfile::tempdir().expect("a folder");
    let unstamped = |n: i64| -> Vec<Draft> {
        (0..n).map(|i| Draft { recv: None, ..quote(OPENING + i, "I:SPX", 100, 101) }).collect()
    };
    append(&open(dir.path()).expect("opens"), &unstamped(10), &[3]);
    let journal = open(dir.path()).expect("opens");
    let before = journal.head();
    assert_eq!(before.recv, clock());
    let writer = journal.writer(an_hour_before).expect("a writer");
    let ticket = writer.append(unstamped(10)).expect("queued");
    assert_eq!(ticket.wait().expect("commits").last, Seq(before.seq.0 + 10));
    writer.close().expect("nothing is left");
    assert_eq!(journal.head().recv, before.recv, "it never decreases");
    verify_clean(&journal);
    drop(journal);
    let journal = open(dir.path()).expect("opens");
    let events = events(&journal);
    assert!(events[before.seq.0 as usize..].iter().all(|e| e.recv == before.recv));
    assert_eq!(events.len() as u64, before.seq.0 + 10);
}
