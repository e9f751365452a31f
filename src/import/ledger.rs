//! What an import needs of a journal; a list in memory can stand in for one.

use orrery_journal::event::{Draft, Kind};
use orrery_journal::units::{RecvTime, Seq, SourceId, TradingDay};
use orrery_journal::{AppendError, Appended, Head, Journal, ReadError, SourceInfo, Ticket, Writer};

use crate::market::calendar;

/// The answer to an append, to come.
pub(super) trait Promise {
    /// Waits for it.
    fn wait(self) -> Result<Appended, AppendError>;
}

impl Promise for Ticket {
    fn wait(self) -> Result<Appended, AppendError> {
        Ticket::wait(self)
    }
}

/// A journal as an import sees it.
pub(super) trait Ledger {
    /// The answer to an append.
    type Ticket: Promise;

    fn head(&self) -> Head;
    fn sources(&self) -> Result<Vec<SourceInfo>, ReadError>;
    /// Kind and source of the last event.
    fn last(&self) -> Result<Option<(Kind, SourceId)>, ReadError>;
    fn day_of(&self, at: RecvTime) -> TradingDay;
    /// The last nanosecond of a day.
    fn day_end(&self, day: TradingDay) -> RecvTime;
    fn define_source(&self, descriptor: &str) -> Result<SourceId, AppendError>;
    fn append(&self, drafts: Vec<Draft>) -> Result<Self::Ticket, AppendError>;
}

/// The real one.
pub(super) struct Disk<'a> {
    pub(super) journal: &'a Journal,
    pub(super) writer: &'a Writer,
}

impl Ledger for Disk<'_> {
    type Ticket = Ticket;

    fn head(&self) -> Head {
        self.journal.head()
    }

    fn sources(&self) -> Result<Vec<SourceInfo>, ReadError> {
        self.journal.sources()
    }

    fn last(&self) -> Result<Option<(Kind, SourceId)>, ReadError> {
        let head = self.journal.head().seq;
        if head == Seq::BEFORE_FIRST {
            return Ok(None);
        }
        let mut last = None;
        for stretch in self.journal.read(head, head) {
            last = stretch?.events.last().map(|e| (e.body.kind(), e.source));
        }
        Ok(last)
    }

    fn day_of(&self, at: RecvTime) -> TradingDay {
        self.journal.day_of(at)
    }

    fn day_end(&self, day: TradingDay) -> RecvTime {
        calendar::day_bounds(self.journal.calendar(), day).1.plus_nanos(-1)
    }

    fn define_source(&self, descriptor: &str) -> Result<SourceId, AppendError> {
        self.writer.define_source(descriptor)
    }

    fn append(&self, drafts: Vec<Draft>) -> Result<Ticket, AppendError> {
        self.writer.append(drafts)
    }
}
