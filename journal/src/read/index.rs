//! What the handle knows without reading the store: where pages and frames
//! lie, what they hold, and all names. Changed only after a commit is durable,
//! so whatever it says can be shown.

use std::sync::Arc;

use crate::event::Kind;
use crate::format::cut::Cut;
use crate::format::summary::PageSummary;
use crate::units::{RecvTime, Seq};
use crate::write::intern::Interner;

/// The events behind the last page.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    /// What they are; the address is zero.
    pub summary: PageSummary,
    /// First seq of each of their frames.
    pub frames: Vec<Seq>,
}

/// Where an event is stored.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// In a sealed page.
    Page(Arc<PageSummary>),
    /// In the frame that begins here.
    Frame(Seq),
}

/// Everything that is known of the durable journal.
#[derive(Debug)]
pub(crate) struct Index {
    pub pages: Vec<Arc<PageSummary>>,
    pub open: Option<Open>,
    /// What retention dropped.
    pub cut: Option<Cut>,
    pub tickers: Interner,
    pub conditions: Interner,
    pub sources: Interner,
    /// Events by source id, bookkeeping left out; position is the id.
    pub source_events: Vec<u64>,
}

impl Index {
    pub(crate) fn new() -> Index {
        Index {
            pages: Vec::new(),
            open: None,
            cut: None,
            tickers: Interner::new(),
            conditions: Interner::new(),
            sources: Interner::new(),
            source_events: Vec::new(),
        }
    }

    /// The names that a defining event of this kind adds to.
    pub(crate) fn names(&mut self, kind: Kind) -> Option<&mut Interner> {
        match kind {
            Kind::InstrumentDefined => Some(&mut self.tickers),
            Kind::ConditionsDefined => Some(&mut self.conditions),
            Kind::SourceDefined => Some(&mut self.sources),
            _ => None,
        }
    }

    /// Last event and its time.
    pub(crate) fn end(&self) -> (Seq, RecvTime) {
        let open = self.open.as_ref().map(|o| &o.summary);
        open.or(self.pages.last().map(AsRef::as_ref))
            .map_or((Seq::BEFORE_FIRST, RecvTime(i64::MIN)), |s| (s.last(), s.last_recv))
    }

    /// Where `seq` is stored; `None` beyond the end.
    pub(crate) fn place(&self, seq: Seq) -> Option<Place> {
        let at = self.pages.partition_point(|p| p.last() < seq);
        if let Some(page) = self.pages.get(at) {
            return (page.first <= seq).then(|| Place::Page(page.clone()));
        }
        let open = self.open.as_ref()?;
        if seq > open.summary.last() {
            return None;
        }
        let at = open.frames.partition_point(|first| *first <= seq);
        open.frames.get(at.checked_sub(1)?).copied().map(Place::Frame)
    }

    /// Adds the events of a stretch to the counts by source.
    pub(crate) fn count_sources(&mut self, added: impl Iterator<Item = (u16, u64)>) {
        for (id, n) in added {
            let id = usize::from(id);
            if self.source_events.len() <= id {
                self.source_events.resize(id + 1, 0);
            }
            if let Some(count) = self.source_events.get_mut(id) {
                *count += n;
            }
        }
    }
}
