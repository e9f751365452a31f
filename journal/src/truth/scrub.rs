//! Reading everything again while the journal is in use, slowly and for ever,
//! so that damage at rest is known before somebody needs what it hit.
//!
//! One thread goes through the sealed pages and what belongs to them, as
//! `verify` does, then through the files of the tables, round after round. It
//! writes nothing. Whoever reads a damaged page is refused in any case; this is
//! how one hears of it earlier.

use std::cell::Cell;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::read::index::Place;
use crate::shared::Shared;
use crate::truth::inspect::file_finding;
use crate::truth::verify::{Check, DamageKind, Finding};
use crate::units::Seq;
use crate::{Journal, open::preflight, read::reader};

/// How long to wait at the end of a round.
const IDLE: Duration = Duration::from_secs(1);
/// What a read counts at least, so that small ones cannot make it busy.
const READ_BYTES_MIN: u64 = 4096;
/// Low, but not so low that whoever waits for a lock it holds, or for its end,
/// waits long on a busy machine.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// What the scrub has found so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scrubbed {
    /// Pages that were checked since the start, damaged ones included.
    pub pages: u64,
    /// Times that it came to the end.
    pub rounds: u64,
    /// What is damaged, each place once, in the order of finding.
    pub findings: Vec<Finding>,
}

/// A running scrub; ends when it is dropped.
pub struct Scrub {
    stop: Arc<(Mutex<bool>, Condvar)>,
    state: Arc<Mutex<Scrubbed>>,
    thread: Option<JoinHandle<()>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Journal {
    /// Starts to read round and round, about this many bytes in a second: pages,
    /// the blobs that their events name, and the files of tables.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn scrub(&self, bytes_per_second: u64) -> io::Result<Scrub> {
        let stop: Arc<(Mutex<bool>, Condvar)> = Arc::default();
        let state: Arc<Mutex<Scrubbed>> = Arc::default();
        let (shared, halt, seen) = (self.shared.clone(), Arc::clone(&stop), Arc::clone(&state));
        let thread = std::thread::Builder::new().name("journal-scrub".into()).spawn(move || {
            give_way();
            let wait = |pause| {
                let stopped = lock(&halt.0);
                let waited = halt.1.wait_timeout_while(stopped, pause, |stopped| !*stopped);
                *waited.unwrap_or_else(PoisonError::into_inner).0
            };
            rounds(&shared, bytes_per_second, &wait, &seen);
        })?;
        Ok(Scrub { stop, state, thread: Some(thread) })
    }
}

impl Finding {
    /// Where it lies, in words.
    #[must_use]
    pub fn place(&self) -> String {
        let (first, last, offset) = (self.first, self.last, self.offset);
        match &self.file {
            Some(file) => format!("{} at byte {offset}", file.display()),
            None => format!("events {first}..{last}"),
        }
    }
}

impl Scrub {
    /// What was found so far.
    #[must_use]
    pub fn state(&self) -> Scrubbed {
        lock(&self.state).clone()
    }
}

impl Drop for Scrub {
    fn drop(&mut self) {
        *lock(&self.stop.0) = true;
        self.stop.1.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic there has nobody to be told; reads check for themselves.
            let _ = thread.join();
        }
    }
}

/// How long to wait after so many bytes.
fn pause(bytes: usize, rate: u64) -> Duration {
    let bytes = (bytes as u64).max(READ_BYTES_MIN);
    Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / rate.max(1))
}

/// Goes round until `wait`, which waits that long, says that it is to stop.
fn rounds(shared: &Shared, rate: u64, wait: &dyn Fn(Duration) -> bool, seen: &Mutex<Scrubbed>) {
    let stopped = Cell::new(false);
    let rest = |pause| stopped.set(stopped.get() || wait(pause));
    let pace = |bytes| rest(pause(bytes, rate));
    let mut next = Seq::FIRST;
    while !stopped.get() {
        let place = shared.index().place(next);
        if let Some(Place::Page(page)) = place {
            next = page.last().next();
            let mut check = Check::new(shared.store.as_ref(), None);
            check.pace = Some(&pace);
            let gone = || reader::dropped(shared, page.last()).is_some();
            let before = gone();
            let looked = if before { check.gone(&page) } else { check.page(&page) };
            if let Err(e) = looked {
                tracing::error!(error = %e, first = %page.first, "the scrub cannot read");
            }
            lock(seen).pages += 1;
            // It may have been dropped while it was looked at.
            if before == gone() {
                note(seen, check.report.findings);
            }
            // What cannot be read must not make it busy.
            pace(0);
        } else {
            // The end of what is sealed: frames are read all the time.
            files(
                shared,
                &|bytes| {
                    pace(bytes);
                    if stopped.get() { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
                },
                seen,
            );
            if !stopped.get() {
                lock(seen).rounds += 1;
            }
            next = Seq::FIRST;
            rest(IDLE);
        }
    }
}

/// Checks the tables' files: pages may come out of the engine's memory and be
/// damaged on the disk all the same.
fn files(shared: &Shared, pace: &dyn Fn(usize) -> io::Result<()>, seen: &Mutex<Scrubbed>) {
    let Some(folder) = shared.folder.get() else { return };
    match preflight::at_rest(&folder.join("journal/db"), pace) {
        Ok(damaged) => {
            let found = damaged.into_iter().map(|d| {
                let first = d.last_good.map_or(Seq::BEFORE_FIRST, Seq::next);
                let file = file_finding(DamageKind::File, d.file, d.offset, d.what);
                Finding { first, last: first, ..file }
            });
            note(seen, found.collect());
        }
        // It was told to stop.
        Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
        Err(e) => tracing::error!(error = %e, "the scrub cannot read the database's files"),
    }
}

/// Tells of what was not found before.
fn note(seen: &Mutex<Scrubbed>, found: Vec<Finding>) {
    let mut seen = lock(seen);
    for finding in found {
        if !seen.findings.contains(&finding) {
            tracing::error!(place = finding.place(), what = finding.what, "DAMAGED at rest");
            seen.findings.push(finding);
        }
    }
}

/// What the thread does is never urgent. Elsewhere than on Linux this would
/// slow down the whole process.
fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(e) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(error = %e, "the scrub runs at normal priority");
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::event::{Draft, DraftBody, InstrumentRef};
    use crate::store::memory::MemoryStore;
    use crate::store::{Batch, Durability, Store};
    use crate::units::{RecvTime, SourceId};
    use crate::{OpenOptions, SyncMode, keys};

    const OPTIONS: OpenOptions = OpenOptions { calendar: None, sync: SyncMode::Group };

    /// Two sealed pages and a blob of 2 bytes.
    fn fill(journal: &Journal) {
        let writer = journal.writer(|| RecvTime(1)).expect("a writer");
        let beat = || Draft {
            recv: None,
            vendor_time: None,
            instrument: InstrumentRef::None,
            source: SourceId::JOURNAL,
            extension: None,
            body: DraftBody::Control(Bytes::from_static(b"{}")),
        };
        for _ in 0..3 {
            let drafts = (0..4_096).map(|_| beat()).collect();
            writer.append(drafts).and_then(|t| t.wait()).expect("commits");
        }
        writer.close().expect("closes");
        assert!(journal.shared.index().pages.len() >= 2);
    }

    /// Goes round so many times; also says for how long it would have waited.
    fn go(journal: &Journal, rate: u64, times: u64, seen: &Mutex<Scrubbed>) -> Duration {
        let (until, waited) = (lock(seen).rounds + times, Cell::new(Duration::ZERO));
        let wait = |pause: Duration| {
            let ended = lock(seen).rounds >= until;
            if !ended {
                waited.set(waited.get() + pause);
            }
            ended
        };
        rounds(&journal.shared, rate, &wait, seen);
        waited.get().saturating_sub(IDLE * (times as u32 - 1))
    }

    /// A page that is damaged while the journal is open is found by the next
    /// round, once, and nothing else is.
    #[test]
    fn damage_at_rest_is_found_while_the_journal_is_open() {
        let store = Arc::new(MemoryStore::new());
        let journal = Journal::on_store(store.clone(), &OPTIONS).expect("opens");
        fill(&journal);
        let (pages, seen) = (journal.shared.index().pages.len() as u64, Mutex::default());
        go(&journal, 1, 1, &seen);
        assert_eq!(lock(&seen).clone(), Scrubbed { pages, rounds: 1, findings: Vec::new() });

        let key = Seq(4_097).to_key();
        let good = store.get(keys::PAGES, &key).expect("reads").expect("a page");
        let mut bad = good.to_vec();
        bad[200] ^= 1;
        let mut batch = Batch::default();
        batch.put(keys::PAGES, key.to_vec(), bad);
        store.commit(batch, Durability::Disk).expect("damages");
        go(&journal, 1, 2, &seen);
        let found = lock(&seen).clone();
        assert_eq!((found.pages, found.rounds), (3 * pages, 3));
        assert_eq!(found.findings.len(), 1, "{:?}", found.findings);
        assert_eq!(found.findings[0].place(), "events 4097..8192");
        assert!(journal.read(Seq(4_097), Seq(4_097)).any(|s| s.is_err()), "never given out");
    }

    /// Every byte that it reads is waited for, at the pace that was asked for.
    #[test]
    fn it_waits_for_what_it_has_read() {
        let store = Arc::new(MemoryStore::new());
        let journal = Journal::on_store(store.clone(), &OPTIONS).expect("opens");
        fill(&journal);
        let stored = |seq: Seq| store.get(keys::PAGES, &seq.to_key()).expect("reads");
        let pages = journal.shared.index().pages.clone();
        // Each page, the blob of its events, and a little for having been there.
        let bytes: u64 = pages
            .iter()
            .map(|page| stored(page.first).expect("a page").len() as u64)
            .map(|len| len.max(READ_BYTES_MIN) + 2 * READ_BYTES_MIN)
            .sum();
        for rate in [1, 1_000, 4 << 20] {
            let waited = go(&journal, rate, 1, &Mutex::default());
            let exact = Duration::from_nanos(bytes * 1_000_000_000 / rate);
            assert!(exact.abs_diff(waited) < Duration::from_micros(1), "{waited:?}, {exact:?}");
        }
        assert_eq!(pause(usize::MAX, u64::MAX), Duration::from_nanos(1));
        assert!(pause(1, 0) > Duration::ZERO);
    }

    /// What changes on the disk is found although the engine has it in memory,
    /// and tables that are written anew meanwhile are no damage.
    #[test]
    fn a_table_that_changes_on_the_disk_is_found() {
        let dir = tempfile::tempdir().expect("a folder");
        let journal = Journal::open(dir.path(), &OPTIONS).expect("opens");
        fill(&journal);
        journal.compact().expect("writes tables");
        let seen = Mutex::default();
        go(&journal, u64::MAX, 1, &seen);
        journal.compact().expect("writes tables");
        go(&journal, u64::MAX, 1, &seen);
        assert_eq!(lock(&seen).findings, []);
        let tables = preflight::files(&dir.path().join("journal/db")).expect("lists").tables;
        let sizes = tables.iter().map(|t| (std::fs::metadata(&t.path).expect("a file").len(), t));
        let (_, largest) = sizes.max_by_key(|(len, _)| *len).expect("a table");
        let mut bytes = std::fs::read(&largest.path).expect("reads");
        bytes[300] ^= 1;
        std::fs::write(&largest.path, bytes).expect("damages");
        go(&journal, u64::MAX, 2, &seen);
        let found = lock(&seen).findings.clone();
        let file = largest.path.display().to_string();
        assert!(found.iter().any(|f| f.place().starts_with(&file)), "{found:?}");
    }

    /// The thread begins, tells and ends.
    #[test]
    fn it_runs_until_it_is_dropped() {
        let journal = Journal::on_store(Arc::new(MemoryStore::new()), &OPTIONS).expect("opens");
        fill(&journal);
        let scrub = journal.scrub(u64::MAX).expect("starts");
        let mut turns = 0;
        while scrub.state().rounds == 0 {
            std::thread::sleep(Duration::from_millis(5));
            turns += 1;
            assert!(turns < 10_000, "it never came round: {:?}", scrub.state());
        }
        drop(scrub);
        assert_eq!(Arc::strong_count(&journal.shared), 1, "the thread has ended");
    }
}
