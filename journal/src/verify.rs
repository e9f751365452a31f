//! Reading everything again and reporting whatever is wrong, all of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::canon::{Label, Rows};
use crate::definitions::Definition;
use crate::event;
use crate::page::Decoder;
use crate::reader::{Found, stored_summary};
use crate::recover::{page_definitions, pairs};
use crate::shared::Shared;
use crate::summary::{Counter, Instruments, PageSummary, Tally};
use crate::units::{Address, RecvTime, Seq, TradingDay};
use crate::{ReadError, blob, keys, reader};

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
    /// Everything that is wrong, in order.
    pub findings: Vec<Finding>,
}

/// One damaged stretch.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// First event concerned.
    pub first: Seq,
    /// Last event concerned, as far as it is known.
    pub last: Seq,
    /// Day concerned, as far as it is known.
    pub day: Option<TradingDay>,
    /// What is wrong.
    pub what: String,
}

struct Check<'a> {
    shared: &'a Shared,
    report: VerifyReport,
    /// Blobs that were looked at already, good or bad.
    seen: BTreeSet<Address>,
    decoder: Decoder,
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
    let mut check = Check {
        shared,
        report: VerifyReport::default(),
        seen: BTreeSet::new(),
        decoder: Decoder::default(),
    };
    while next <= to {
        let last = match reader::find(shared, next) {
            Ok(Found::Page(page)) => check.page(&page)?,
            Ok(Found::Frame(first, stored)) => check.frame(first, &stored, next),
            Err(ReadError::Store(e)) => return Err(e.into()),
            Err(e) => {
                let last = check.after(next);
                check.find(next, last, None, e.to_string());
                last
            }
        };
        progress(last.min(to));
        next = last.next();
    }
    if from <= Seq::FIRST && to == end {
        check.strangers()?;
    }
    Ok(check.report)
}

impl Check<'_> {
    fn find(&mut self, first: Seq, last: Seq, day: Option<TradingDay>, what: String) {
        self.report.findings.push(Finding { first, last, day, what });
    }

    fn page(&mut self, page: &Arc<PageSummary>) -> Result<Seq, ReadError> {
        let (first, last, day) = (page.first, page.last(), Some(page.day));
        let mut decoder = std::mem::take(&mut self.decoder);
        match reader::page_rows(self.shared.store.as_ref(), page, &mut decoder) {
            Err(ReadError::Store(e)) if is_poison(&e) => return Err(e.into()),
            Err(e) => self.find(first, last, day, chain(&e)),
            Ok((label, rows)) => {
                self.report.pages += 1;
                let (summary, list) = self.rows(label, rows);
                if (PageSummary { address: page.address, ..summary }) != **page {
                    let what = "the page's summary does not say what the page holds".into();
                    self.find(first, last, day, what);
                }
                self.instruments(page, rows)?;
                self.definitions(page, &list)?;
                let stored = self.shared.store.get(keys::PAGES, &first.to_key())?;
                if !stored.is_some_and(|stored| crate::page::is_intact(&stored)) {
                    let what = "bits of the stored page changed, though none of its events".into();
                    self.find(first, last, day, what);
                }
            }
        }
        self.decoder = decoder;
        Ok(last)
    }

    /// What the summary says of instruments must be true, or a filter would
    /// leave events out.
    fn instruments(&mut self, page: &PageSummary, rows: &[u8]) -> Result<(), ReadError> {
        let stored = self.shared.store.get(keys::SUMMARIES, &page.first.to_key())?;
        let said = stored.map(|bytes| PageSummary::decode(&bytes));
        let right = match &said {
            Some(Ok((_, Some(said)))) => *said == Instruments::of_rows(rows),
            // Old ones say nothing.
            Some(Ok((_, None))) => true,
            _ => false,
        };
        if !right {
            let what = "the page's summary does not say which instruments it holds".into();
            self.find(page.first, page.last(), Some(page.day), what);
        }
        Ok(())
    }

    fn definitions(&mut self, page: &PageSummary, list: &[Definition]) -> Result<(), ReadError> {
        let stored = self.shared.store.get(keys::DEFINITIONS, &page.first.to_key())?;
        let key = Bytes::copy_from_slice(&page.first.to_key());
        let what = match (stored, list.is_empty()) {
            (None, true) => return Ok(()),
            (Some(_), true) => "definitions are stored for a page that has none".into(),
            (stored, false) => match page_definitions(stored.map(|v| Ok((key, v))), page) {
                Ok(found) if found == list => return Ok(()),
                Ok(_) => "the page's definitions are not those of its events".into(),
                Err(why) => format!("the page's definitions: {why}"),
            },
        };
        self.find(page.first, page.last(), Some(page.day), what);
        Ok(())
    }

    fn frame(&mut self, first: Seq, stored: &Bytes, next: Seq) -> Seq {
        match reader::frame_rows(stored, first, next) {
            Ok((label, rows)) => {
                self.report.frames += 1;
                self.rows(label, rows);
                label.last()
            }
            Err(e) => {
                let last = self.after(next);
                self.find(first, last, None, chain(&e));
                last
            }
        }
    }

    /// Last event before the next frame, for a frame that cannot say itself.
    fn after(&self, first: Seq) -> Seq {
        let index = self.shared.index();
        let next = index.open.as_ref().and_then(|open| {
            let at = open.frames.partition_point(|f| *f <= first);
            open.frames.get(at).copied()
        });
        next.map_or(index.end().0, |next| Seq(next.0 - 1)).max(first)
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
                    self.find(seq, label.last(), day, e.to_string());
                    break;
                }
            };
            if row.recv() < summary.last_recv {
                self.find(seq, seq, day, "its time runs backwards".into());
            }
            if summary.count == 0 {
                summary.first_recv = row.recv();
            }
            list.extend(Definition::of(&row, summary.count));
            summary.last_recv = row.recv();
            counter.count(&row);
            summary.count += 1;
            self.report.events += 1;
            for address in event.body.blobs() {
                if self.seen.insert(address) {
                    match blob::get(self.shared.store.as_ref(), address) {
                        Ok(_) => self.report.blobs += 1,
                        Err(e) => self.find(seq, seq, day, chain(&e)),
                    }
                }
            }
        }
        counter.add_to(&mut summary.tally);
        (summary, list)
    }

    /// Pages and definitions that belong to no summary.
    fn strangers(&mut self) -> Result<(), ReadError> {
        for (table, what) in
            [(keys::PAGES, "a stored page"), (keys::DEFINITIONS, "stored definitions")]
        {
            let store = self.shared.store.clone();
            for pair in pairs(store.as_ref(), table, Seq::BEFORE_FIRST) {
                let (key, _) = pair?;
                let seq = Seq::from_key(&key);
                // The store's summaries, not the index: a page that was sealed a
                // moment ago is in the store before the index hears of it.
                let known = match seq {
                    Some(seq) => {
                        stored_summary(store.as_ref(), seq)?.is_some_and(|p| p.first == seq)
                    }
                    None => false,
                };
                if !known {
                    let seq = seq.unwrap_or_default();
                    self.find(seq, seq, None, format!("{what} belongs to no summary"));
                }
            }
        }
        Ok(())
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
