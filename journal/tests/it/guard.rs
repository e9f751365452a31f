//! A disk that runs full: input stops before, everything else goes on, input
//! comes back by itself, and what was acknowledged is there.

#![allow(clippy::print_stdout)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use orrery_journal::event::{Draft, DraftBody};
use orrery_journal::guard::Room;
use orrery_journal::units::Seq;
use orrery_journal::{AppendError, Appended, Calendar, Journal, Writer};

use crate::support::*;

fn commit(writer: &Writer, drafts: Vec<Draft>) -> Result<Appended, AppendError> {
    writer.append(drafts).and_then(|ticket| ticket.wait())
}

#[test]
fn a_nearly_full_disk_stops_input_and_nothing_else() {
    let journal = Journal::in_memory(Calendar::Utc).expect("memory");
    let free = Arc::new(AtomicU64::new(u64::MAX / 2));
    let seen = Arc::clone(&free);
    journal.probe_room_with(Box::new(move || {
        Ok(Room { free: seen.load(Ordering::Relaxed), total: 1 << 40 })
    }));
    journal.keep_free(Some(1 << 20));
    let writer = journal.writer(clock).expect("a writer");
    let drafts = session(3, 60, 1);
    let first = commit(&writer, drafts[..20].to_vec()).expect("there is room");
    assert!(!journal.guard().closed);

    free.store(1 << 20, Ordering::Relaxed);
    for _ in 0..3 {
        let refused = commit(&writer, drafts[20..40].to_vec()).expect_err("no room");
        assert_eq!(refused, AppendError::DiskFull { free: 1 << 20, reserve: 1 << 20 });
        let told = refused.to_string();
        assert!(told.contains("--disk-reserve") && told.contains("resumes"), "{told}");
    }
    let state = journal.guard();
    assert_eq!((state.closed, state.closures, state.refused), (true, 1, 60));
    assert_eq!(journal.head().seq, first.last, "nothing of it was written");
    assert_eq!(events(&journal).len() as u64, first.last.0, "reads go on");
    let used = first.last;

    // No half of a refused append stays: the next one goes where it would have.
    free.store(u64::MAX / 2, Ordering::Relaxed);
    let next = commit(&writer, drafts[20..40].to_vec()).expect("there is room again");
    assert_eq!(next.first, used.next());
    assert!(!journal.guard().closed);
    commit(&writer, drafts[40..].to_vec()).expect("there is room");
    writer.close().expect("nothing is left");
    verify_clean(&journal);
    let whole = Journal::in_memory(Calendar::Utc).expect("memory");
    append(&whole, &drafts, &[20]);
    assert_eq!(events(&journal), events(&whole), "as if the disk had never been full");
}

/// A file system of its own, where mounting is allowed.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    fn new(mebibytes: u64) -> Option<Disk> {
        let folder = tempfile::tempdir().expect("a folder");
        let size = format!("size={mebibytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "orrery-test"])
            .arg(folder.path())
            .output();
        match mounted {
            Ok(done) if done.status.success() => Some(Disk { folder }),
            Ok(done) => {
                let why = String::from_utf8_lossy(&done.stderr).trim().to_owned();
                println!("skipped: no file system of limited size can be mounted: {why}");
                None
            }
            Err(e) => {
                println!("skipped: no file system of limited size can be mounted: {e}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.folder.path()).status();
    }
}

/// A fact of 60,000 bytes that no codec makes smaller.
fn bulky(n: u64) -> Draft {
    let mut random = Random(n);
    let bytes: Vec<u8> = (0..7_500).flat_map(|_| random.next().to_le_bytes()).collect();
    draft(OPENING + n as i64, "I:SPX", DraftBody::News(Bytes::from(bytes)))
}

/// Appends until it is refused; what was acknowledged last, and why it ended.
fn fill(writer: &Writer, from: u64) -> (Seq, AppendError) {
    let mut last = Seq::BEFORE_FIRST;
    for n in from..from + 100_000 {
        match commit(writer, vec![bulky(n)]) {
            Ok(done) => last = done.last,
            Err(why) => return (last, why),
        }
    }
    panic!("a disk of limited size took everything");
}

/// Once while everything is still in the engine's memory, once while it writes
/// tables.
#[test]
fn a_disk_of_limited_size_is_never_filled() {
    for mebibytes in [96, 224] {
        let Some(disk) = Disk::new(mebibytes) else { return };
        let journal = Journal::open(disk.path(), &utc()).expect("opens");
        let writer = journal.writer(clock).expect("a writer");
        let (acknowledged, why) = fill(&writer, 0);
        assert!(matches!(why, AppendError::DiskFull { .. }), "stopped before the disk did: {why}");
        let room = orrery_journal::guard::room(disk.path()).expect("statvfs");
        assert!(room.free > 0, "{room:?}");
        assert_eq!(journal.head().seq, acknowledged);
        assert_eq!(events(&journal).len() as u64, acknowledged.0, "reads go on");
        println!("{} MiB free of {mebibytes}, at event {acknowledged}", room.free >> 20);
        writer.close().expect("closing writes nothing that needs room");
        drop(journal);
        let journal = Journal::open(disk.path(), &utc()).expect("opens");
        assert_eq!(journal.head().seq, acknowledged);
        verify_clean(&journal);
    }
}

#[test]
fn input_comes_back_when_somebody_makes_room() {
    let Some(disk) = Disk::new(64) else { return };
    let journal = Journal::open(disk.path(), &utc()).expect("opens");
    let writer = journal.writer(clock).expect("a writer");
    let first = commit(&writer, session(1, 50, 1)).expect("there is room");
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![7; 60 << 20]).expect("nearly all of it");
    for _ in 0..3 {
        let refused = commit(&writer, session(2, 50, 1));
        assert!(matches!(refused, Err(AppendError::DiskFull { .. })), "{refused:?}");
    }
    assert_eq!(journal.guard().refused, 150);
    std::fs::remove_file(&ballast).expect("removed");
    let more = commit(&writer, session(2, 50, 1)).expect("there is room again");
    assert_eq!(more.first, first.last.next());
    writer.close().expect("nothing is left");
    verify_clean(&journal);
}

/// What the guard is there for: without it the engine meets the full disk, and
/// only a restart helps. Acknowledged events are there even so.
#[test]
fn without_the_guard_a_full_disk_poisons_the_journal_and_a_restart_mends_it() {
    // Starting again writes the engine's log anew, so it needs room for another.
    let Some(disk) = Disk::new(160) else { return };
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![7; 124 << 20]).expect("ballast");
    let acknowledged = {
        let journal = Journal::open(disk.path(), &utc()).expect("opens");
        let free = Room { free: u64::MAX, total: u64::MAX };
        journal.probe_room_with(Box::new(move || Ok(free)));
        let writer = journal.writer(clock).expect("a writer");
        let (acknowledged, why) = fill(&writer, 0);
        assert!(matches!(why, AppendError::Poisoned { .. }), "{why}");
        assert!(matches!(commit(&writer, vec![bulky(1)]), Err(AppendError::Poisoned { .. })));
        assert_eq!(events(&journal).len() as u64, acknowledged.0, "reads go on");
        acknowledged
    };
    std::fs::remove_file(&ballast).expect("removed");
    let journal = Journal::open(disk.path(), &utc()).expect("a restart works");
    assert!(journal.head().seq >= acknowledged, "nothing acknowledged is lost");
    verify_clean(&journal);
    append(&journal, &[bulky(9_999_999)], &[1]);
}
