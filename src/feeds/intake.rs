//! Facts of the vendor's messages on the short way into the journal.
//!
//! Everything up to the canonical row happens on the feed's own thread: reading
//! the text, giving tickers and condition lists their ids, encoding. The
//! journal's committer then only gives the rows their place. What is new to the
//! journal (a ticker, a list, an extension, refused input) goes in as a draft,
//! in its place among the rows; until the journal has given the id, so does
//! whatever else needs it. The journal holds the same either way.
//!
//! A frame is handed over whole or not at all.

mod names;

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Display;

use bytes::Bytes;
use orrery_journal::event::{
    Draft, DraftBody, InstrumentRef, Quote, RefusalReason, TickBatch, TickMark, Trade,
};
use orrery_journal::units::{InstrumentId, RecvTime, SourceId, VendorTime};
use orrery_journal::{AppendError, Journal, Ticket, Writer};

use self::names::Names;
use crate::feeds::massive::wire::{self, Fact, FactBody, Sink};
use crate::feeds::{QUARANTINE_BYTES_MAX, Recv};

/// Facts of one append at most, give or take a frame.
const APPEND_FACTS: usize = 4_096;
/// Hand-overs that wait for their answers at most.
const IN_FLIGHT_MAX: usize = 8;

/// What was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Taken {
    /// Facts and status messages.
    pub facts: u64,
    /// Those of them that went in as drafts.
    pub drafts: u64,
    /// Refused input; it lies in quarantine.
    pub refused: u64,
    /// Messages and broken frames that serde_json had to read.
    pub fallbacks: u64,
}

/// Takes frames of one source.
pub struct Intake<'a> {
    journal: &'a Journal,
    writer: &'a Writer,
    /// The answers to each hand-over that is not yet known to be durable.
    in_flight: VecDeque<Vec<Ticket>>,
    staged: Staged,
}

/// What is on its way to the next append.
struct Staged {
    source: SourceId,
    recv: Recv,
    tickers: Names,
    conditions: BTreeMap<Box<[u32]>, u32>,
    pieces: Vec<Piece>,
    facts: usize,
    taken: Taken,
    mark: Mark,
}

/// Neighbours that go the same way.
enum Piece {
    Ticks(TickBatch),
    Drafts(Vec<Draft>),
}

/// How much was staged when a frame began.
#[derive(Clone, Copy, Default)]
struct Mark {
    pieces: usize,
    ticks: TickMark,
    drafts: usize,
    facts: usize,
    taken: Taken,
}

impl<'a> Intake<'a> {
    /// For messages of one source, which the writer has defined.
    #[must_use]
    pub fn new(journal: &'a Journal, writer: &'a Writer, source: SourceId) -> Intake<'a> {
        let staged = Staged {
            source,
            recv: Recv::Own,
            tickers: Names::default(),
            conditions: BTreeMap::new(),
            pieces: Vec::new(),
            facts: 0,
            taken: Taken::default(),
            mark: Mark::default(),
        };
        let mut intake = Intake { journal, writer, in_flight: VecDeque::new(), staged };
        intake.learn();
        intake
    }

    /// Takes a frame that was received at `recv`. Durable only after
    /// [`Intake::finish`] or a later answer; blocks while the writer is full.
    ///
    /// # Errors
    /// When the journal takes no more, or refused an earlier append.
    pub fn frame(&mut self, text: &[u8], recv: Recv) -> Result<(), AppendError> {
        self.staged.recv = recv;
        wire::read_frame(text, &mut self.staged);
        if self.staged.facts >= APPEND_FACTS { self.flush() } else { Ok(()) }
    }

    /// Hands over what was taken, without waiting until it is durable.
    ///
    /// # Errors
    /// When the journal takes no more, or refused an earlier append.
    pub fn flush(&mut self) -> Result<(), AppendError> {
        let mut tickets = Vec::with_capacity(self.staged.pieces.len());
        for piece in self.staged.pieces.drain(..) {
            tickets.push(match piece {
                Piece::Ticks(ticks) => self.writer.append_ticks(ticks)?,
                Piece::Drafts(drafts) => self.writer.append(drafts)?,
            });
        }
        self.in_flight.push_back(tickets);
        self.staged.facts = 0;
        while self.in_flight.len() > IN_FLIGHT_MAX {
            self.wait_for_one()?;
        }
        self.learn();
        Ok(())
    }

    /// Hands over what was taken and waits until all of it is durable.
    ///
    /// # Errors
    /// When the journal did not take all of it.
    pub fn finish(mut self) -> Result<Taken, AppendError> {
        self.flush()?;
        while !self.in_flight.is_empty() {
            self.wait_for_one()?;
        }
        Ok(self.staged.taken)
    }

    fn wait_for_one(&mut self) -> Result<(), AppendError> {
        let mut tickets = self.in_flight.pop_front().unwrap_or_default().into_iter();
        tickets.try_for_each(|ticket| ticket.wait().map(drop))
    }

    /// The ids that the journal has given meanwhile.
    fn learn(&mut self) {
        let Staged { tickers, conditions, .. } = &mut self.staged;
        while let Some(ticker) = self.journal.ticker(InstrumentId(tickers.len() + 1)) {
            tickers.push(ticker);
        }
        while let Some(list) = self.journal.conditions(conditions.len() as u32 + 1) {
            conditions.insert(list, conditions.len() as u32 + 1);
        }
    }
}

impl Staged {
    /// The id of a list; 0 for none.
    #[inline]
    fn list(&self, list: &[u32]) -> Option<u32> {
        if list.is_empty() { Some(0) } else { self.conditions.get(list).copied() }
    }

    /// Adds a fact as a row, if everything that it names has its id.
    #[inline]
    fn tick(&mut self, fact: &Fact<'_>) -> Option<()> {
        let instrument = InstrumentId(self.tickers.id(fact.ticker)?);
        let conditions = match fact.body {
            _ if fact.extension.is_some() => return None,
            FactBody::Quote(_, list) | FactBody::Trade(_, list) => self.list(list)?,
            FactBody::Bar(_) | FactBody::IndexValue(_) => 0,
        };
        let (recv, source) = (self.recv.of(Some(RecvTime(fact.at.0))), self.source);
        let (at, ticks) = (Some(fact.at), self.ticks());
        match fact.body {
            FactBody::Quote(quote, _) => {
                ticks.quote(recv, at, instrument, source, &Quote { conditions, ..quote });
            }
            FactBody::Trade(trade, _) => {
                ticks.trade(recv, at, instrument, source, &Trade { conditions, ..trade });
            }
            FactBody::Bar(bar) => ticks.bar(recv, at, instrument, source, bar),
            FactBody::IndexValue(value) => ticks.index_value(recv, at, instrument, source, value),
        }
        Some(())
    }

    /// The batch at the end.
    #[inline]
    fn ticks(&mut self) -> &mut TickBatch {
        if !matches!(self.pieces.last(), Some(Piece::Ticks(_))) {
            // Where new tickers come in between, batches are short.
            let room = if self.pieces.is_empty() { APPEND_FACTS } else { 0 };
            self.pieces.push(Piece::Ticks(TickBatch::with_capacity(room)));
        }
        match self.pieces.last_mut() {
            Some(Piece::Ticks(ticks)) => ticks,
            // Pushed above.
            _ => unreachable!("the last piece is a batch of ticks"),
        }
    }

    fn draft(
        &mut self,
        at: Option<VendorTime>,
        instrument: InstrumentRef,
        extension: Option<&[u8]>,
        body: DraftBody,
    ) {
        let draft = Draft {
            recv: self.recv.of(at.map(|at| RecvTime(at.0))),
            vendor_time: at,
            instrument,
            source: self.source,
            extension: extension.map(Bytes::copy_from_slice),
            body,
        };
        self.taken.drafts += 1;
        self.facts += 1;
        match self.pieces.last_mut() {
            Some(Piece::Drafts(drafts)) => drafts.push(draft),
            _ => self.pieces.push(Piece::Drafts(vec![draft])),
        }
    }
}

impl Sink for Staged {
    #[inline]
    fn fact(&mut self, fact: Fact<'_>) {
        self.taken.facts += 1;
        if self.tick(&fact).is_some() {
            self.facts += 1;
            return;
        }
        let body = match fact.body {
            FactBody::Quote(quote, list) => DraftBody::Quote { quote, conditions: list.into() },
            FactBody::Trade(trade, list) => DraftBody::Trade { trade, conditions: list.into() },
            FactBody::Bar(bar) => DraftBody::Bar(Box::new(*bar)),
            FactBody::IndexValue(value) => DraftBody::IndexValue(value),
        };
        let instrument = InstrumentRef::Ticker(fact.ticker.into());
        self.draft(Some(fact.at), instrument, fact.extension, body);
    }

    fn status(&mut self, text: &[u8]) {
        self.taken.facts += 1;
        let body = DraftBody::Control(Bytes::copy_from_slice(text));
        self.draft(None, InstrumentRef::None, None, body);
    }

    fn refuse(&mut self, reason: RefusalReason, text: &[u8], _: &dyn Display) {
        self.taken.refused += 1;
        let text = text.get(..QUARANTINE_BYTES_MAX).unwrap_or(text);
        let body = DraftBody::Quarantine { reason, blob: Bytes::copy_from_slice(text) };
        self.draft(None, InstrumentRef::None, None, body);
    }

    fn fallback(&mut self) {
        self.taken.fallbacks += 1;
    }

    fn mark(&mut self) {
        let (ticks, drafts) = match self.pieces.last() {
            Some(Piece::Ticks(ticks)) => (ticks.mark(), 0),
            Some(Piece::Drafts(drafts)) => (TickMark::default(), drafts.len()),
            None => Default::default(),
        };
        let (pieces, facts, taken) = (self.pieces.len(), self.facts, self.taken);
        self.mark = Mark { pieces, ticks, drafts, facts, taken };
    }

    fn rollback(&mut self) {
        let Mark { pieces, ticks, drafts, facts, taken } = self.mark;
        self.pieces.truncate(pieces);
        match self.pieces.last_mut() {
            Some(Piece::Ticks(batch)) => batch.rollback(ticks),
            Some(Piece::Drafts(list)) => list.truncate(drafts),
            None => {}
        }
        (self.facts, self.taken) = (facts, taken);
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use orrery_journal::Calendar;
    use orrery_journal::event::Event;
    use orrery_journal::units::Seq;

    use super::*;
    use crate::feeds::Decoded;

    /// Frames with new and known tickers, lists, extensions, a status, and
    /// every tenth frame broken or with something refused in it.
    fn frames() -> Vec<String> {
        let (mut frames, mut n) = (Vec::new(), 0u64);
        for frame in 0..300u64 {
            let mut text = String::from("[");
            for _ in 0..20 {
                n += 1;
                let (t, sym) = (1_767_623_400_000 + n / 9, (n * n) % (3 + frame));
                let message = match n % 23 {
                    3 => r#"{"ev":"status","status":"ok"}"#.to_owned(),
                    5 => format!(
                        r#"{{"ev":"T","sym":"S{sym}","p":1.5,"s":{n},"c":[{}],"t":{t}}}"#,
                        n % 31
                    ),
                    7 => format!(r#"{{"ev":"V","T":"I:{sym}","val":{n}.25,"t":{t}}}"#),
                    9 => format!(r#"{{"ev":"Q","sym":"S{sym}","bp":1e1,"strange":{n},"t":{t}}}"#),
                    11 if frame % 10 == 3 => r#"{"ev":"Q"}"#.to_owned(),
                    13 => format!(
                        r#"{{"ev":"A","sym":"S{sym}","o":1,"h":2,"l":1,"c":2,"s":{t},"e":{}}}"#,
                        t + 1000
                    ),
                    _ => format!(r#"{{"ev":"Q","sym":"S{sym}","bp":0.0{n},"ap":{n},"t":{t}}}"#),
                };
                let comma = if text.len() > 1 { "," } else { "" };
                write!(text, "{comma}{message}").expect("memory");
            }
            text.push_str(if frame % 10 == 7 { ",]" } else { "]" });
            frames.push(text);
        }
        frames
    }

    fn events(journal: &Journal) -> Vec<Event> {
        let stretches = journal.read(Seq::FIRST, Seq::MAX);
        stretches.flat_map(|s| s.expect("clean").events.to_vec()).collect()
    }

    fn clock() -> RecvTime {
        RecvTime(0)
    }

    #[test]
    fn the_journal_is_the_same_by_way_of_drafts() {
        let (drafted, taken_in) =
            [0, 1].map(|_| Journal::in_memory(Calendar::Utc).expect("opens")).into();
        let writer = drafted.writer(clock).expect("a writer");
        let source = writer.define_source("{}").expect("an id");
        let mut out = Decoded::default();
        for frame in frames() {
            wire::frame(frame.as_bytes(), Recv::Own, &mut out);
        }
        let mut now = RecvTime(0);
        for draft in &mut out.drafts {
            draft.source = source;
            now = draft.recv.unwrap_or(now);
            draft.recv = Some(now);
        }
        let (facts, refused) = (out.messages, out.refused.values().sum::<u64>());
        let fallbacks = out.fallbacks;
        writer.append(out.drafts).expect("queued").wait().expect("durable");

        let writer = taken_in.writer(clock).expect("a writer");
        let source = writer.define_source("{}").expect("an id");
        let mut intake = Intake::new(&taken_in, &writer, source);
        for (n, frame) in frames().iter().enumerate() {
            intake.frame(frame.as_bytes(), Recv::Own).expect("taken");
            if n % 7 == 0 {
                intake.flush().expect("queued");
            }
        }
        let taken = intake.finish().expect("durable");
        assert_eq!((taken.facts + taken.refused, taken.refused), (facts, refused));
        assert_eq!(taken.fallbacks, fallbacks);
        assert!(taken.drafts < taken.facts && refused > 30 && fallbacks > 300, "{taken:?}");
        assert_eq!(events(&taken_in), events(&drafted));
    }

    #[test]
    fn an_intake_that_starts_later_knows_the_names() {
        let journal = Journal::in_memory(Calendar::Utc).expect("opens");
        let writer = journal.writer(clock).expect("a writer");
        let source = writer.define_source("{}").expect("an id");
        let frame = br#"[{"ev":"T","sym":"SPY","p":1,"s":1,"c":[7],"t":1767623400000}]"#;
        for drafts in [1, 0] {
            let mut intake = Intake::new(&journal, &writer, source);
            intake.frame(frame, Recv::At(RecvTime(5))).expect("taken");
            assert_eq!(intake.finish().expect("durable").drafts, drafts);
        }
        let events = events(&journal);
        assert_eq!(events.last().map(|e| e.recv), Some(RecvTime(5)));
        assert_eq!(events[events.len() - 1], events[events.len() - 2]);
    }
}
