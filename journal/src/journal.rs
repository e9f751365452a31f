//! The handle of one data directory's journal.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;

use crate::day::{Calendar, DaySummary};
use crate::event::Kind;
use crate::failpoint::hit;
use crate::files::{Disk, Files};
use crate::open::lock::DirectoryLock;
use crate::open::preflight::{self, Damage, Verdict};
use crate::open::recover::{self, Recovered};
use crate::read::reader::{self, Reader, Selection, Stretch, TailReader};
use crate::shared::{Head, Seat, Shared, SyncMode, Witness};
use crate::store::fjall::FjallStore;
use crate::store::memory::MemoryStore;
use crate::store::{Store, Table};

use crate::open::watermark::{self, Keeper, Mark, MarkError};
use crate::truth::verify::{self, VerifyReport};
use crate::units::{Address, InstrumentId, RecvTime, Seq, SourceId, TradingDay};
use crate::{
    AppendError, Filter, OpenError, ReadError, Writer, format::blob, keys, open::mend, open::rights,
};

/// A clock that is behind the last event by more is told; less is what clocks do.
const BEHIND_NS: i64 = 1_000_000_000;

/// How to open a journal.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// For a new journal; `None` takes New York. An existing journal keeps its
    /// own and refuses another.
    pub calendar: Option<Calendar>,
    /// When to acknowledge.
    pub sync: SyncMode,
}

/// A source and what it brought.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceInfo {
    /// The id in its events.
    pub id: SourceId,
    /// JSON descriptor as given to [`Writer::define_source`].
    pub descriptor: String,
    /// Events of this source without bookkeeping.
    pub events: u64,
}

/// An open journal; clones share it. One per data directory.
#[derive(Clone)]
pub struct Journal {
    pub(crate) shared: Arc<Shared>,
}

impl Journal {
    /// Opens or creates the journal in `dir/journal`.
    ///
    /// Its files are looked at first; if they are damaged, nothing is opened
    /// and nothing is written.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(dir: &Path, options: &OpenOptions) -> Result<Journal, OpenError> {
        let folder = dir.join("journal");
        let io = |source| OpenError::Io { path: folder.clone(), source };
        Disk.create_folder(&folder).map_err(io)?;
        let lock = DirectoryLock::take(dir)?;
        hit("open.locked");
        crate::truth::swap::resume(&folder).map_err(io)?;
        prepare(&folder)?;
        hit("open.inspected");
        let dirty = rewrite(&Disk, &folder)?;
        let store: Arc<dyn Store> = Arc::new(FjallStore::open(&folder.join("db"), &keys::ALL)?);
        hit("open.store");
        let files = Arc::new(Disk);
        let journal = Journal::witnessed(store, files, &folder, dirty, options, Some(lock))?;
        journal.shared.guard.watch(&folder);
        let _ = journal.shared.folder.set(dir.to_owned());
        Ok(journal)
    }

    /// A journal on any store with its watermark among any files, without
    /// lock: for tests where both crash or fail.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn on_store_and_files(
        store: Arc<dyn Store>,
        files: Arc<dyn Files>,
        folder: &Path,
        options: &OpenOptions,
    ) -> Result<Journal, OpenError> {
        let io = |source| OpenError::Io { path: folder.to_owned(), source };
        files.create_folder(folder).map_err(io)?;
        let dirty = rewrite(files.as_ref(), folder)?;
        Journal::witnessed(store, files, folder, dirty, options, None)
    }

    /// Recovers, and holds what it finds against the watermark.
    fn witnessed(
        store: Arc<dyn Store>,
        files: Arc<dyn Files>,
        folder: &Path,
        dirty: bool,
        options: &OpenOptions,
        lock: Option<DirectoryLock>,
    ) -> Result<Journal, OpenError> {
        let io = |source| OpenError::Io { path: folder.to_owned(), source };
        let recovered = recover::recover(&store, options.calendar, folder)?;
        hit("open.recovered");
        let path = folder.join("HEAD");
        let mark = match watermark::read(files.as_ref(), &path) {
            Ok(mark) => mark,
            Err(MarkError::Missing | MarkError::Damaged(_))
                if recovered.tail.last().0 == Seq::BEFORE_FIRST =>
            {
                let mark = Mark::empty(recovered.tail.running());
                watermark::create(files.as_ref(), &path, &mark).map_err(io)?;
                mark
            }
            Err(MarkError::Missing) => {
                let why = "it is missing, so nobody can say whether acknowledged events are; \
                           put the file back from a copy of the directory";
                return Err(OpenError::Damaged { path, what: "HEAD", why: why.into() });
            }
            Err(MarkError::Damaged(why)) => {
                let why = format!("{why}; put the file back from a copy of the directory");
                return Err(OpenError::Damaged { path, what: "HEAD", why });
            }
            Err(MarkError::Io(source)) => return Err(OpenError::Io { path, source }),
        };
        recover::check(&mark, store.as_ref(), &recovered, folder)?;
        // Last of all: whatever is refused is left as it is.
        if let Err(e) = recover::upgrade(store.as_ref(), &recovered) {
            mend::mark_dirty(files.as_ref(), folder, &e.to_string());
            return Err(e);
        }
        if dirty {
            mend::clear_dirty(files.as_ref(), folder).map_err(io)?;
        }
        hit("open.witnessed");
        let witness = Some(Witness { files, path, mark });
        Ok(Journal::from(store, recovered, witness, options.sync, lock))
    }

    /// A journal in memory, for tests and throw-away folds.
    ///
    /// # Errors
    /// Never in practice; the same checks run as on disk.
    pub fn in_memory(calendar: Calendar) -> Result<Journal, OpenError> {
        let options = OpenOptions { calendar: Some(calendar), sync: SyncMode::Group };
        Journal::on_store(Arc::new(MemoryStore::new()), &options)
    }

    /// A journal on any store, without lock and watermark: for tests with
    /// stores that crash or fail.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn on_store(store: Arc<dyn Store>, options: &OpenOptions) -> Result<Journal, OpenError> {
        let recovered = recover::recover(&store, options.calendar, Path::new("memory"))?;
        recover::upgrade(store.as_ref(), &recovered)?;
        Ok(Journal::from(store, recovered, None, options.sync, None))
    }

    fn from(
        store: Arc<dyn Store>,
        recovered: Recovered,
        witness: Option<Witness>,
        sync: SyncMode,
        lock: Option<DirectoryLock>,
    ) -> Journal {
        let Recovered { calendar, index, tail, .. } = recovered;
        let head = match index.end() {
            (Seq::BEFORE_FIRST, _) => Head::default(),
            (seq, recv) => Head { seq, recv },
        };
        let doomed = tail.doomed();
        Journal {
            shared: Arc::new(Shared {
                store,
                sync,
                calendar,
                index: RwLock::new(index),
                head: Mutex::new(head),
                moved: Condvar::new(),
                log: Mutex::default(),
                seat: Mutex::new(Some(Seat { tail, witness })),
                folder: Default::default(),
                upkeep: Default::default(),
                doomed,
                guard: Default::default(),
                observed: Default::default(),
                lock,
            }),
        }
    }

    /// The durable end.
    #[must_use]
    pub fn head(&self) -> Head {
        *self.shared.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The calendar it was created with.
    #[must_use]
    pub fn calendar(&self) -> Calendar {
        self.shared.calendar
    }

    /// Waits until the durable end lies beyond `seen` or the time is over;
    /// returns the end.
    #[must_use]
    pub fn wait_beyond(&self, seen: Seq, timeout: Duration) -> Head {
        let head = self.shared.head.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.shared.moved.wait_timeout_while(head, timeout, |head| head.seq <= seen);
        let (head, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *head
    }

    /// The one writer; `clock` stamps drafts that bring no time.
    ///
    /// # Errors
    /// When a writer exists already, or one has failed since the opening.
    pub fn writer(&self, clock: fn() -> RecvTime) -> Result<Writer, AppendError> {
        let seat = self.shared.seat.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Seat { tail, witness }) = seat else {
            return Err(AppendError::Exhausted { what: "the writer's seat", max: 1 });
        };
        let (last, now) = (tail.last().1, clock());
        if now.0.saturating_add(BEHIND_NS) < last.0 {
            tracing::warn!(
                %now, %last, "the clock was set back: until it has caught up, events are stamped with the time of the last one"
            );
        }
        let poisoned = |e: std::io::Error| AppendError::Poisoned { why: e.to_string() };
        let keeper = match witness {
            Some(Witness { files, path, mark }) => {
                Some(Keeper::start(&files, &path, mark).map_err(poisoned)?)
            }
            None => None,
        };
        Writer::start(self.shared.clone(), tail, keeper, clock).map_err(poisoned)
    }

    /// The events of `from..=to` (clamped to the durable end), stretch by
    /// stretch, each checked against its address or hash. The iterator ends
    /// after the first error.
    pub fn read(
        &self,
        from: Seq,
        to: Seq,
    ) -> impl Iterator<Item = Result<Stretch, ReadError>> + Send + use<> {
        Reader::new(self.shared.clone(), from, to)
    }

    /// As [`Journal::read`], and then whatever becomes durable: where other
    /// readers end, this one waits up to `patience`.
    #[must_use]
    pub fn tail(&self, from: Seq, patience: Duration) -> TailReader {
        TailReader::new(self.clone(), from, patience)
    }

    pub(crate) fn reader(&self, from: Seq, to: Seq) -> Reader {
        Reader::new(self.shared.clone(), from, to)
    }

    /// The events of `from..=to` (clamped to the durable end) that `filter`
    /// lets through, those of one page or frame at a time, none of them empty.
    /// Pages that can hold none are not read. The iterator ends after the first
    /// error.
    #[must_use]
    pub fn read_matching(&self, from: Seq, to: Seq, filter: Filter) -> Selection {
        Selection::new(self.shared.clone(), from, to, filter)
    }

    /// A blob, checked against its address.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn blob(&self, address: Address) -> Result<Bytes, ReadError> {
        blob::get(self.shared.store.as_ref(), address)
    }

    /// The ticker of an id.
    #[must_use]
    pub fn ticker(&self, id: InstrumentId) -> Option<Box<str>> {
        let index = self.shared.index();
        std::str::from_utf8(index.tickers.name(id.0)?).ok().map(Into::into)
    }

    /// The id of a ticker.
    #[must_use]
    pub fn instrument(&self, ticker: &str) -> Option<InstrumentId> {
        self.shared.index().tickers.id(ticker.as_bytes()).map(InstrumentId)
    }

    /// How many instruments are defined; ids go from 1 to it.
    #[must_use]
    pub fn instruments(&self) -> u32 {
        self.shared.index().tickers.len()
    }

    /// An interned condition list; 0 is the empty one.
    #[must_use]
    pub fn conditions(&self, id: u32) -> Option<Box<[u32]>> {
        if id == 0 {
            return Some(Box::default());
        }
        let index = self.shared.index();
        let (words, rest) = index.conditions.name(id)?.as_chunks::<4>();
        rest.is_empty().then(|| words.iter().map(|w| u32::from_le_bytes(*w)).collect())
    }

    /// The days, oldest first.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn days(&self) -> Result<Vec<DaySummary>, ReadError> {
        let index = self.shared.index();
        let open = index.open.as_ref().map(|o| &o.summary);
        let mut days = crate::day::summarize(index.pages.iter().map(AsRef::as_ref), open);
        for day in &mut days {
            day.dropped = index.cut.is_some_and(|cut| cut.covers(day.last));
        }
        Ok(days)
    }

    /// The sources, by id.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn sources(&self) -> Result<Vec<SourceInfo>, ReadError> {
        let index = self.shared.index();
        let source = |id: u32| {
            let descriptor = String::from_utf8_lossy(index.sources.name(id)?).into_owned();
            let events = index.source_events.get(id as usize).copied().unwrap_or_default();
            Some(SourceInfo { id: SourceId(id as u16), descriptor, events })
        };
        Ok((1..=index.sources.len()).filter_map(source).collect())
    }

    /// The last event at or before `time`, or [`Seq::BEFORE_FIRST`].
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn seq_at(&self, time: RecvTime) -> Result<Seq, ReadError> {
        reader::seq_at(&self.shared, time)
    }

    /// Reads and checks everything of `from..=to`, going on after damage;
    /// `progress` is told the seq that was reached.
    ///
    /// # Errors
    /// Only when the store cannot be read at all.
    pub fn verify(
        &self,
        from: Seq,
        to: Seq,
        progress: &mut dyn FnMut(Seq),
    ) -> Result<VerifyReport, ReadError> {
        verify::verify(&self.shared, from, to, progress)
    }

    /// Losses that somebody has accepted.
    #[must_use]
    pub fn losses(&self) -> Vec<crate::Loss> {
        crate::truth::loss::all(self.shared.store.as_ref())
    }

    /// The trading day of a moment in this journal's calendar.
    #[must_use]
    pub fn day_of(&self, time: RecvTime) -> TradingDay {
        self.shared.calendar.day_of(time)
    }

    /// Events of one kind in the whole journal, without reading any.
    #[must_use]
    pub fn count(&self, kind: Kind) -> u64 {
        let index = self.shared.index();
        let open = index.open.as_ref().map_or(0, |o| o.summary.tally.of_kind(kind));
        let pages = index.pages.iter().map(|p| u64::from(p.tally.of_kind(kind)));
        pages.sum::<u64>() + u64::from(open)
    }
}

/// Looks at the files before the engine does. Nothing is written unless a
/// crash explains everything that is found.
fn prepare(folder: &Path) -> Result<(), OpenError> {
    let io = |source| OpenError::Io { path: folder.to_owned(), source };
    let found = preflight::inspect(folder)?;
    for Damage { file, offset, what, .. } in &found.harmless {
        tracing::warn!(file = %file.display(), offset, what, "damage that costs nothing");
    }
    if let Verdict::Corrupt { file, offset, last_good, what } = found.verdict {
        return Err(OpenError::Corrupt { file, offset, last_good, what });
    }
    // The log is in order, so what it ends with is the end of the journal.
    if let (Some(last), Some(acknowledged)) = (found.last, found.acknowledged)
        && last < acknowledged
    {
        return Err(OpenError::AcknowledgedLoss { from: last.next(), to: acknowledged });
    }
    rights::check(folder)?;
    if let Verdict::TornTail { file, offset, bytes } = found.verdict {
        let kept = mend::cut(&Disk, folder, &file, offset, bytes).map_err(io)?;
        let (file, kept) = (file.display(), kept.display());
        tracing::warn!(%file, offset, bytes, %kept, "an unfinished write was cut off");
    }
    mend::lock_file(&Disk, folder).map_err(io)?;
    Ok(())
}

/// Writes the logs anew if the last writer failed, and says whether it did.
fn rewrite(files: &dyn Files, folder: &Path) -> Result<bool, OpenError> {
    let io = |source| OpenError::Io { path: folder.to_owned(), source };
    let dirty = mend::is_dirty(files, folder).map_err(io)?;
    if dirty {
        mend::rewrite_logs(files, folder).map_err(io)?;
    }
    Ok(dirty)
}

/// Opens a store of derived data (checkpoints, artifacts) in `dir/derived`:
/// same engine, own folder, own tables, may be deleted at any time.
///
/// # Errors
/// See [`OpenError`].
pub fn open_derived(dir: &Path, tables: &[Table]) -> Result<Arc<dyn Store>, OpenError> {
    Ok(Arc::new(FjallStore::open(&dir.join("derived"), tables)?))
}

/// The same in memory.
#[must_use]
pub fn memory_store(_tables: &[Table]) -> Arc<dyn Store> {
    Arc::new(MemoryStore::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Draft, DraftBody, InstrumentRef};

    /// Only a store that fails on demand can show this, so the witness is put
    /// beside one in memory.
    #[test]
    fn a_failed_commit_leaves_the_mark() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("HEAD");
        let memory = Arc::new(MemoryStore::new());
        let store: Arc<dyn Store> = memory.clone();
        let found = recover::recover(&store, None, folder.path()).expect("an empty store opens");
        let mark = Mark::empty(found.tail.running());
        watermark::create(&Disk, &path, &mark).expect("HEAD is written");
        let witness = Some(Witness { files: Arc::new(Disk), path, mark });
        let journal = Journal::from(store, found, witness, SyncMode::Group, None);
        let writer = journal.writer(|| RecvTime(1)).expect("a writer");
        let beat = || Draft {
            recv: None,
            vendor_time: None,
            instrument: InstrumentRef::None,
            source: SourceId::JOURNAL,
            extension: None,
            body: DraftBody::ClockBeat,
        };
        writer.append(vec![beat()]).and_then(|t| t.wait()).expect("commits");
        assert!(!mend::is_dirty(&Disk, folder.path()).expect("looks"));
        memory.fail_after(0, true);
        assert!(writer.append(vec![beat()]).and_then(|t| t.wait()).is_err());
        assert!(mend::is_dirty(&Disk, folder.path()).expect("looks"));
    }
}
