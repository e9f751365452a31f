//! The events ahead of a session, one page or frame in memory at a time.

use orrery_journal::event::Event;
use orrery_journal::units::Seq;
use orrery_journal::{Journal, ReadError, Stretch};

/// Enough to hold any page whole, and too little for the reader to start
/// threads of its own.
const AHEAD_EVENTS: u64 = 8_192;

pub(super) struct Cursor {
    journal: Journal,
    stretch: Option<Stretch>,
}

impl Cursor {
    pub(super) fn new(journal: Journal) -> Cursor {
        Cursor { journal, stretch: None }
    }

    /// The event at `seq`, which must not lie beyond the durable end.
    pub(super) fn event(&mut self, seq: Seq) -> Result<&Event, ReadError> {
        self.load(seq)?;
        let missing = ReadError::Missing { from: seq, to: seq };
        self.stretch.as_ref().and_then(|s| s.events.get(place(s, seq)?)).ok_or(missing)
    }

    /// The last event of the page or frame that holds `seq`.
    pub(super) fn last_beside(&mut self, seq: Seq) -> Result<Seq, ReadError> {
        self.load(seq)?;
        let last = |s: &Stretch| Seq(s.first.0 + (s.events.len() as u64).saturating_sub(1));
        Ok(self.stretch.as_ref().map_or(seq, last))
    }

    fn load(&mut self, seq: Seq) -> Result<(), ReadError> {
        if self.stretch.as_ref().is_some_and(|s| place(s, seq).is_some()) {
            return Ok(());
        }
        self.stretch = None;
        let to = Seq(seq.0.saturating_add(AHEAD_EVENTS));
        self.stretch = self.journal.read(seq, to).next().transpose()?;
        Ok(())
    }
}

fn place(stretch: &Stretch, seq: Seq) -> Option<usize> {
    let at = usize::try_from(seq.0.checked_sub(stretch.first.0)?).ok()?;
    (at < stretch.events.len()).then_some(at)
}
