//! Partitions and the one step that folds an event.
//!
//! A cell is one partition: its fold, its timer, its ledger. A share is what
//! one thread folds. Nothing here knows how many shares there are: the engine
//! has one with everything, the driver deals the cells out to its workers.

use std::hint::black_box;

use orrery_journal::event::{Body, Event};
use orrery_journal::units::{Address, InstrumentId, RecvTime, Seq};

use super::error::{EngineError, EngineRestoreError};
use crate::artifact::Made;
use crate::canonical::{Decoder, Encoder};
use crate::checkpoint::state::Marks;
use crate::fold::{Fold, Input, Outbox, RestoreError, World};
use crate::ledger::{Ledger, Moment};
use crate::routes::Routes;

/// One partition: its fold and what the engine keeps about it.
pub(crate) struct Cell {
    /// Dense number, by order of birth.
    pub(crate) number: u32,
    pub(crate) name: Box<str>,
    /// The event it was born with; nothing before concerns it.
    born: Seq,
    /// Last event that was applied.
    seq_last: Seq,
    /// The latest moment that the fold was told, by an event or a timer. What
    /// it finishes is stamped with this, so that stamps never run backwards,
    /// not even where a fold asks for a moment that is over.
    clock: RecvTime,
    configuration: Address,
    pub(crate) fold: Box<dyn Fold>,
    /// Cached [`Fold::next_due`]; the end of time when there is none.
    due: RecvTime,
    pub(crate) ledger: Ledger,
    outbox: Outbox,
}

const NEVER: RecvTime = RecvTime(i64::MAX);

impl Cell {
    /// A partition that begins with the event `born`.
    pub(crate) fn new(number: u32, name: Box<str>, born: Seq, world: &dyn World) -> Cell {
        let mut cell = Cell {
            fold: world.fold(&name),
            number,
            name,
            born,
            seq_last: Seq::BEFORE_FIRST,
            clock: RecvTime(i64::MIN),
            configuration: world.configuration(),
            due: NEVER,
            ledger: Ledger::default(),
            outbox: Outbox::default(),
        };
        cell.look_at_timer();
        cell
    }

    /// Name, birth, last event, clock, ledger, fold.
    pub(crate) fn save(&self, e: &mut Encoder<'_>, marks: &mut Marks) {
        marks.within(&self.name, |marks| {
            marks.part(e.position(), "ledger");
            e.text(&self.name);
            e.seq(self.born);
            e.seq(self.seq_last);
            e.recv(self.clock);
            self.ledger.save(e);
            e.nested(|out| {
                marks.part(out.len(), "fold");
                self.fold.save_in_parts(out, marks);
            });
        });
    }

    /// Reads what [`Cell::save`] wrote; the name must be the one that is due.
    pub(crate) fn load(
        number: u32,
        due: &str,
        d: &mut Decoder<'_>,
        world: &dyn World,
    ) -> Result<Cell, EngineRestoreError> {
        let name = d.text()?;
        if name != due {
            return Err(RestoreError(format!("partition {name} stands where {due} belongs")).into());
        }
        let born = d.seq()?;
        let mut cell = Cell::new(number, name.into(), born, world);
        cell.seq_last = d.seq()?;
        cell.clock = d.recv()?;
        cell.ledger = Ledger::load(d)?;
        let state = d.bytes()?;
        cell.fold
            .restore(state)
            .map_err(|source| EngineRestoreError::Fold { partition: name.into(), source })?;
        cell.look_at_timer();
        Ok(cell)
    }

    fn look_at_timer(&mut self) {
        self.due = self.fold.next_due().unwrap_or(NEVER);
    }

    /// Fires everything that is due at or before `now`.
    fn fire_until(
        &mut self,
        now: RecvTime,
        at: Seq,
        made: &mut Vec<Made>,
    ) -> Result<(), EngineError> {
        while self.due <= now && self.due != NEVER {
            let due = self.due;
            self.fold.fire(due, &mut self.outbox);
            self.look_at_timer();
            if self.due <= due {
                return Err(EngineError::StuckTimer { partition: self.name.clone(), due, seq: at });
            }
            self.clock = self.clock.max(due);
            self.collect(at, made);
        }
        Ok(())
    }

    fn apply(&mut self, input: &Input<'_>, made: &mut Vec<Made>) {
        self.fold.apply(input, &mut self.outbox);
        self.seq_last = input.seq;
        self.look_at_timer();
        self.clock = self.clock.max(input.event.recv);
        self.collect(input.seq, made);
    }

    fn collect(&mut self, at: Seq, made: &mut Vec<Made>) {
        for output in self.outbox.outputs.drain(..) {
            let moment = Moment {
                symbol: &self.name,
                configuration: self.configuration,
                seq_last: self.seq_last,
                created_at: self.clock,
            };
            if let Some(artifact) = self.ledger.enter(output, &moment) {
                made.push(Made { at, partition: self.number, artifact });
            }
        }
    }
}

/// Some of the partitions: every `stride`-th from a first one on. One worker's
/// share; all of them when the stride is 1.
pub(crate) struct Share {
    stride: u32,
    pub(crate) cells: Vec<Cell>,
}

impl Share {
    pub(crate) const fn new(stride: u32) -> Share {
        Share { stride, cells: Vec::new() }
    }

    /// Cells must come in order of their numbers.
    pub(crate) fn push(&mut self, cell: Cell) {
        self.cells.push(cell);
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Deals the cells out to `shares` workers by number.
    pub(crate) fn deal(cells: Vec<Cell>, shares: u32) -> Vec<Share> {
        let mut dealt: Vec<Share> = (0..shares).map(|_| Share::new(shares)).collect();
        for cell in cells {
            if let Some(share) = dealt.get_mut((cell.number % shares) as usize) {
                share.push(cell);
            }
        }
        dealt
    }

    pub(crate) fn into_cells(self) -> Vec<Cell> {
        self.cells
    }

    /// Takes one event: timers first, then the event. `routes` may be newer
    /// than the event.
    pub(crate) fn step(
        &mut self,
        routes: &Routes,
        seq: Seq,
        event: &Event,
        blob: Option<&[u8]>,
        made: &mut Vec<Made>,
    ) -> Result<(), EngineError> {
        for cell in &mut self.cells {
            // A partition is not born before its first event: no timer precedes it.
            if cell.due <= event.recv && cell.born < seq {
                cell.fire_until(event.recv, seq, made)?;
            }
        }
        let kind = event.body.kind();
        let defines = matches!(event.body, Body::InstrumentDefined(_));
        if kind.is_bookkeeping() && !defines {
            return Ok(());
        }
        if event.instrument == InstrumentId::NONE {
            let input = Input { seq, event, ticker: None, blob, conditions: Some(&[]) };
            for cell in self.cells.iter_mut().filter(|c| c.born <= seq) {
                cell.apply(&input, made);
            }
            return Ok(());
        }
        let route = routes
            .get(event.instrument)
            .filter(|r| r.defined <= seq)
            .ok_or(EngineError::UndefinedInstrument { seq, id: event.instrument })?;
        // The blob of a definition is only its long ticker, which is told anyway.
        let blob = if defines { None } else { blob };
        let listed = match &event.body {
            Body::Quote(quote) => quote.conditions,
            Body::Trade(trade) => trade.conditions,
            _ => 0,
        };
        let conditions = routes.conditions(listed);
        let input = Input { seq, event, ticker: Some(&route.ticker), blob, conditions };
        for number in &*route.partitions {
            let place = self.place(*number);
            if let Some(cell) = self.cells.get_mut(place).filter(|c| c.number == *number) {
                cell.apply(&input, made);
            }
        }
        Ok(())
    }

    /// Has the processor fetch what the next events will need, all of it at a time.
    /// Changes nothing.
    pub(crate) fn look_ahead(&self, routes: &Routes, events: &[Event]) {
        for event in events {
            black_box(routes.get(event.instrument).map(|route| route.defined));
        }
        for event in events {
            for number in routes.get(event.instrument).iter().flat_map(|r| &*r.partitions) {
                let cell = self.cells.get(self.place(*number));
                if let Some(cell) = cell.filter(|c| c.number == *number) {
                    cell.fold.look_ahead(event.instrument);
                }
            }
        }
    }

    /// Where the cell of a number lies if it is of this share, since cells are
    /// `stride` apart; otherwise another lies there, or none.
    fn place(&self, number: u32) -> usize {
        (number / self.stride) as usize
    }

    /// The earliest moment that a partition asks for.
    pub(crate) fn next_due(&self) -> Option<RecvTime> {
        self.cells.iter().map(|c| c.due).min().filter(|due| *due != NEVER)
    }

    pub(crate) fn fire_until(
        &mut self,
        now: RecvTime,
        at: Seq,
        made: &mut Vec<Made>,
    ) -> Result<(), EngineError> {
        self.cells.iter_mut().try_for_each(|c| c.fire_until(now, at, made))
    }
}

/// Puts artifacts in their one order.
pub(crate) fn order(made: &mut [Made]) {
    made.sort_by_key(|m| (m.at, m.partition));
}
