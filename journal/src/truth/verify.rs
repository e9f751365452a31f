//! Reading everything again and reporting whatever is wrong, all of it.

mod gone;

use std::collections::BTreeSet;
use std::path::PathBuf;

use bytes::Bytes;

use crate::event;
use crate::format::canon::{Label, Rows};
use crate::format::cut::Cut;
use crate::format::definitions::Definition;
use crate::format::page::Decoder;
use crate::format::summary::{Counter, Instruments, PageSummary, Tally};
use crate::open::recover::{page_definitions, pairs};
use crate::read::index::Place;
use crate::read::reader::{Found, stored_summary};
use crate::shared::Shared;
use crate::store::{Store, Table};
use crate::truth::loss::{self, Loss};
use crate::truth::raw::RawStore;
use crate::units::{Address, RecvTime, Seq, TradingDay};
use crate::{ReadError, format::blob, keys, read::reader};

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VerifyReport {
    /// Events that were read and matched.
    pub events: u64,
    /// Pages whose address matched.
    pub pages: u64,
    /// Frames whose hash matched.
    pub frames: u64,
    /// Blobs whose address matched.
    pub blobs: u64,
    /// Events that retention dropped: not there on purpose.
    pub dropped: u64,
    /// Everything that is wrong, in order.
    pub findings: Vec<Finding>,
    /// Lost stretches that somebody has accepted; reading them is refused.
    pub losses: Vec<Loss>,
}

/// What sort of thing is damaged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum DamageKind {
    /// A file of the database as a whole, or one that is missing.
    File,
    /// A place of a log or of a table.
    Bytes,
    /// A sealed page.
    Page,
    /// What a page is said to hold.
    Summary,
    /// The names that a page defines.
    Definitions,
    /// Events behind the last page.
    Frame,
    /// A blob that an event names.
    Blob,
    /// Events that are nowhere.
    Missing,
    /// The acknowledged watermark, or what it says of the events.
    Head,
    /// The format mark.
    Format,
    /// Something that belongs to nothing.
    Stranger,
}

impl DamageKind {
    /// One word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            DamageKind::File => "file",
            DamageKind::Bytes => "bytes",
            DamageKind::Page => "page",
            DamageKind::Summary => "summary",
            DamageKind::Definitions => "definitions",
            DamageKind::Frame => "frame",
            DamageKind::Blob => "blob",
            DamageKind::Missing => "missing",
            DamageKind::Head => "head",
            DamageKind::Format => "format",
            DamageKind::Stranger => "stranger",
        }
    }
}

/// One damaged stretch.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What sort of thing.
    pub kind: DamageKind,
    /// The file it lies in, where that is known.
    pub file: Option<PathBuf>,
    /// Where in the file; 0 if only the file as a whole is known to be wrong.
    pub offset: u64,
    /// First event concerned; [`Seq::BEFORE_FIRST`] if that is not known.
    pub first: Seq,
    /// Last event concerned, as far as it is known.
    pub last: Seq,
    /// Day concerned, as far as it is known.
    pub day: Option<TradingDay>,
    /// What is wrong.
    pub what: String,
}

/// Looks at pages and frames one by one.
pub(crate) struct Check<'a> {
    store: &'a dyn Store,
    /// Says where in a file a key lies.
    raw: Option<&'a RawStore>,
    pub report: VerifyReport,
    /// Stretches whose events cannot be read.
    pub unreadable: Vec<(Seq, Seq)>,
    /// What retention dropped, and why the record of it cannot be read.
    cut: Option<Cut>,
    bad_record: Option<String>,
    /// Whether the control event of the record says the same, once it was read.
    told: Option<bool>,
    /// Blobs that were looked at already, good or bad.
    seen: BTreeSet<Address>,
    decoder: Decoder,
    /// Told how many bytes of a page or a blob were read; may wait.
    pub pace: Option<&'a dyn Fn(usize)>,
}

/// Checks every page and frame that has an event in `from..=to`, whole.
pub(crate) fn verify(
    shared: &Shared,
    from: Seq,
    to: Seq,
    progress: &mut dyn FnMut(Seq),
) -> Result<VerifyReport, ReadError> {
    let end = shared.index().end().0;
    let (mut next, to) = (from.max(Seq::FIRST), to.min(end));
    let mut check = Check::new(shared.store.as_ref(), None);
    while next <= to {
        let last = match reader::find(shared, next) {
            Ok(Found::Page(page)) => {
                check.page(&page)?;
                page.last()
            }
            Ok(Found::Frame(first, stored)) => {
                check.frame(first, &stored, next, after(shared, next))
            }
            Err(ReadError::Store(e)) => return Err(e.into()),
            Err(ReadError::Dropped { .. }) => {
                let place = shared.index().place(next);
                let Some(Place::Page(page)) = place else { break };
                check.gone(&page)?;
                page.last()
            }
            Err(e) => {
                let last = after(shared, next);
                check.find(DamageKind::Missing, (next, last), None, e.to_string());
                last
            }
        };
        progress(last.min(to));
        next = last.next();
    }
    if from <= Seq::FIRST && to == end {
        strangers(&mut check, shared)?;
    }
    check.record();
    Ok(check.report)
}

/// Last event before the next frame, for a frame that cannot say itself.
fn after(shared: &Shared, first: Seq) -> Seq {
    let index = shared.index();
    let next = index.open.as_ref().and_then(|open| {
        let at = open.frames.partition_point(|f| *f <= first);
        open.frames.get(at).copied()
    });
    next.map_or(index.end().0, |next| Seq(next.0 - 1)).max(first)
}

/// Pages and definitions that belong to no summary.
fn strangers(check: &mut Check<'_>, shared: &Shared) -> Result<(), ReadError> {
    for (table, what) in [(keys::PAGES, "a stored page"), (keys::DEFINITIONS, "stored definitions")]
    {
        let store = shared.store.clone();
        for pair in pairs(store.as_ref(), table, Seq::BEFORE_FIRST) {
            let (key, _) = pair?;
            let seq = Seq::from_key(&key);
            // The store's summaries, not the index: a page that was sealed a
            // moment ago is in the store before the index hears of it.
            let known = match seq {
                Some(seq) => stored_summary(store.as_ref(), seq)?.is_some_and(|p| p.first == seq),
                None => false,
            };
            if !known {
                let seq = seq.unwrap_or_default();
                let what = format!("{what} belongs to no summary");
                check.find(DamageKind::Stranger, (seq, seq), None, what);
            }
        }
    }
    Ok(())
}

impl<'a> Check<'a> {
    pub(crate) fn new(store: &'a dyn Store, raw: Option<&'a RawStore>) -> Check<'a> {
        let losses = loss::all(store);
        let (cut, bad_record) = gone::record(store);
        Check {
            store,
            raw,
            report: VerifyReport { losses, ..VerifyReport::default() },
            unreadable: Vec::new(),
            cut,
            bad_record,
            told: None,
            seen: BTreeSet::new(),
            decoder: Decoder::default(),
            pace: None,
        }
    }

    fn read(&self, bytes: usize) {
        if let Some(pace) = self.pace {
            pace(bytes);
        }
    }

    pub(crate) fn find(
        &mut self,
        kind: DamageKind,
        (first, last): (Seq, Seq),
        day: Option<TradingDay>,
        what: String,
    ) {
        let (file, offset) = (None, 0);
        self.report.findings.push(Finding { kind, file, offset, first, last, day, what });
    }

    /// As [`Check::find`], with the place where the key lies.
    pub(crate) fn find_at(
        &mut self,
        kind: DamageKind,
        events: (Seq, Seq),
        day: Option<TradingDay>,
        (table, key): (Table, &[u8]),
        what: String,
    ) {
        self.find(kind, events, day, what);
        let place = self.raw.and_then(|raw| raw.locate(table, key));
        if let (Some((file, offset)), Some(found)) = (place, self.report.findings.last_mut()) {
            found.file = Some(file.to_owned());
            found.offset = offset;
        }
    }

    pub(crate) fn page(&mut self, page: &PageSummary) -> Result<(), ReadError> {
        let (events, day) = ((page.first, page.last()), Some(page.day));
        let key = page.first.to_key();
        let mut decoder = std::mem::take(&mut self.decoder);
        match reader::page_rows(self.store, page, &mut decoder) {
            Err(ReadError::Store(e)) if is_poison(&e) => return Err(e.into()),
            Err(ReadError::Missing { .. }) if loss::covers(&self.report.losses, events) => {}
            Err(e) => {
                self.unreadable.push(events);
                self.find_at(DamageKind::Page, events, day, (keys::PAGES, &key), chain(&e));
            }
            Ok((label, rows)) => {
                self.report.pages += 1;
                let (summary, list) = self.rows(label, rows);
                if (PageSummary { address: page.address, ..summary }) != *page {
                    let what = "the page's summary does not say what the page holds".into();
                    let at = (keys::SUMMARIES, key.as_slice());
                    self.find_at(DamageKind::Summary, events, day, at, what);
                }
                self.instruments(page, rows)?;
                self.definitions(page, &list)?;
                let stored = self.store.get(keys::PAGES, &key)?;
                self.read(stored.as_ref().map_or(0, Bytes::len));
                if !stored.is_some_and(|stored| crate::format::page::is_intact(&stored)) {
                    let what = "bits of the stored page changed, though none of its events".into();
                    self.find_at(DamageKind::Page, events, day, (keys::PAGES, &key), what);
                }
            }
        }
        self.decoder = decoder;
        Ok(())
    }

    /// What the summary says of instruments must be true, or a filter would
    /// leave events out.
    fn instruments(&mut self, page: &PageSummary, rows: &[u8]) -> Result<(), ReadError> {
        let key = page.first.to_key();
        let stored = self.store.get(keys::SUMMARIES, &key)?;
        let said = stored.map(|bytes| PageSummary::decode(&bytes));
        let right = match &said {
            Some(Ok((_, Some(said)))) => *said == Instruments::of_rows(rows),
            // Old ones say nothing.
            Some(Ok((_, None))) => true,
            // That it cannot be read is told elsewhere.
            Some(Err(_)) | None => true,
        };
        if !right {
            let what = "the page's summary does not say which instruments it holds".into();
            let (events, day) = ((page.first, page.last()), Some(page.day));
            self.find_at(DamageKind::Summary, events, day, (keys::SUMMARIES, &key), what);
        }
        Ok(())
    }

    fn definitions(&mut self, page: &PageSummary, list: &[Definition]) -> Result<(), ReadError> {
        let stored = self.store.get(keys::DEFINITIONS, &page.first.to_key())?;
        let key = Bytes::copy_from_slice(&page.first.to_key());
        let what = match (stored, list.is_empty()) {
            (None, true) => return Ok(()),
            (Some(_), true) => "definitions are stored for a page that has none".into(),
            (stored, false) => {
                let stored = stored.map(|v| Ok((key.clone(), v)));
                match page_definitions(stored, page) {
                    Ok(found) if found == list => return Ok(()),
                    Ok(_) => "the page's definitions are not those of its events".into(),
                    Err(why) => format!("the page's definitions: {why}"),
                }
            }
        };
        let (events, day) = ((page.first, page.last()), Some(page.day));
        self.find_at(DamageKind::Definitions, events, day, (keys::DEFINITIONS, &key), what);
        Ok(())
    }

    /// A frame; `last` is the last event that it can have. Returns that of the
    /// frame, if it can be read.
    pub(crate) fn frame(&mut self, first: Seq, stored: &Bytes, next: Seq, last: Seq) -> Seq {
        match reader::frame_rows(stored, first, next) {
            Ok((label, rows)) => {
                self.report.frames += 1;
                self.rows(label, rows);
                label.last()
            }
            Err(e) => {
                self.unreadable.push((next, last));
                let at = (keys::FRAMES, first.to_key());
                self.find_at(DamageKind::Frame, (next, last), None, (at.0, &at.1), chain(&e));
                last
            }
        }
    }

    /// Checks rows whose hash matched: each decodes to an event that encodes
    /// to the same bytes, times do not run backwards, blobs are there.
    fn rows(&mut self, label: Label, rows: &[u8]) -> (PageSummary, Vec<Definition>) {
        let mut summary = PageSummary {
            first: label.first,
            count: 0,
            day: label.day,
            address: Address::default(),
            first_recv: RecvTime(0),
            last_recv: RecvTime(i64::MIN),
            tally: Tally::default(),
        };
        let (mut list, mut counter) = (Vec::new(), Counter::default());
        let day = Some(label.day);
        for row in Rows::new(rows) {
            let seq = Seq(label.first.0 + u64::from(summary.count));
            let decoded = row.and_then(|row| Ok((row, event::decode(row.bytes)?.0)));
            let (row, event) = match decoded {
                Ok(decoded) => decoded,
                Err(e) => {
                    self.unreadable.push((seq, label.last()));
                    self.find(DamageKind::Page, (seq, label.last()), day, e.to_string());
                    break;
                }
            };
            if row.recv() < summary.last_recv {
                let what = "its time runs backwards".into();
                self.find(DamageKind::Page, (seq, seq), day, what);
            }
            if summary.count == 0 {
                summary.first_recv = row.recv();
            }
            list.extend(Definition::of(&row, summary.count));
            summary.last_recv = row.recv();
            counter.count(&row);
            summary.count += 1;
            self.report.events += 1;
            self.hear(seq, &event.body);
            for address in event.body.blobs() {
                if self.seen.insert(address) {
                    match blob::get(self.store, address) {
                        Ok(blob) => {
                            self.report.blobs += 1;
                            self.read(blob.len());
                        }
                        Err(_) if loss::covers(&self.report.losses, (seq, seq)) => {}
                        Err(e) => {
                            let at = (keys::BLOBS, address.0.as_slice());
                            self.find_at(DamageKind::Blob, (seq, seq), day, at, chain(&e));
                        }
                    }
                }
            }
        }
        counter.add_to(&mut summary.tally);
        (summary, list)
    }
}

fn is_poison(e: &crate::store::StoreError) -> bool {
    matches!(e, crate::store::StoreError::Poisoned)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut out = error.to_string();
    let mut source = error.source();
    while let Some(e) = source {
        out = format!("{out}: {e}");
        source = e.source();
    }
    out
}
