//! Reading beyond the end: what is durable now, then what becomes durable.

use std::time::Duration;

use super::{Reader, Stretch};
use crate::units::Seq;
use crate::{Journal, ReadError};

/// A reader that waits where others end.
///
/// It never makes the writer wait and holds nothing while it waits itself. The
/// writer may go and another one come; only an error ends it for good.
pub struct TailReader {
    journal: Journal,
    next: Seq,
    patience: Duration,
    /// Up to where the journal was durable when it was asked last.
    durable: Option<Reader>,
    ended: bool,
}

impl TailReader {
    pub(crate) fn new(journal: Journal, from: Seq, patience: Duration) -> TailReader {
        let next = from.max(Seq::FIRST);
        TailReader { journal, next, patience, durable: None, ended: false }
    }

    /// Position of the event that comes next.
    #[must_use]
    pub fn position(&self) -> Seq {
        self.next
    }
}

impl Iterator for TailReader {
    type Item = Result<Stretch, ReadError>;

    /// The next stretch. `None` says that none became durable within the
    /// patience; ask again whenever you like. After an error it is `None` at
    /// once and for good.
    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let read = match self.durable.as_mut().and_then(Iterator::next) {
            Some(read) => read,
            None => {
                self.durable = None;
                let before = Seq(self.next.0.saturating_sub(1));
                let head = self.journal.wait_beyond(before, self.patience).seq;
                if head < self.next {
                    return None;
                }
                let mut reader = self.journal.reader(self.next, head);
                let read = reader.next()?;
                self.durable = Some(reader);
                read
            }
        };
        match &read {
            Ok(stretch) => self.next = Seq(stretch.first.0 + stretch.events.len() as u64),
            Err(_) => self.ended = true,
        }
        Some(read)
    }
}
