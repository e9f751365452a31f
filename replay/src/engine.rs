//! Order, timers, partitions: the one loop that live and replay share.
//!
//! The engine gives each event to the partitions that want it, fires whatever
//! timers came due before it, and turns answers into versioned artifacts. It
//! knows neither models nor threads nor where events come from; [`crate::driver`]
//! feeds it whole stretches and may spread the partitions over workers.
//!
//! Rules that make the result a function of the journal alone:
//! - a partition is born with the first `InstrumentDefined` event whose ticker
//!   it wants, and sees nothing from before;
//! - before an event is applied, every timer of every partition born before it
//!   that is due at or before the event's recv time has fired, each with the
//!   moment it asked for, whether or not the event concerns that partition;
//! - events about an instrument go to the partitions that want its ticker;
//!   events about none go to all; bookkeeping other than `InstrumentDefined`
//!   goes to none;
//! - the condition list of a quote or trade is told with it, also to partitions
//!   that were born after the list was defined;
//! - artifacts are ordered by the event that brought them out, then by the
//!   partition's birth, then as the fold put them out.

mod error;
pub(crate) mod share;

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use orrery_journal::Head;
use orrery_journal::event::{Body, Event, InlineText, JournalEvent};
use orrery_journal::units::{Address, RecvTime, Seq};

use crate::canonical::{Decoder, Encoder};
use crate::checkpoint::state::{Marks, State};
use crate::fold::{Fold, RestoreError, Standing, World};
use crate::ledger::Line;
use crate::routes::Routes;

pub use self::error::{EngineError, EngineRestoreError};
use self::share::{Cell, Share, order};
pub use crate::artifact::Made;

/// First bytes of a saved engine.
const MAGIC: &[u8; 8] = b"ORRYFOLD";
/// Layout of a saved engine.
const FORMAT: u32 = 2;

/// The folds of all partitions at one position of the journal.
pub struct Engine {
    pub(crate) world: Arc<dyn World>,
    configuration: Address,
    pub(crate) routes: Arc<Routes>,
    pub(crate) share: Share,
    pub(crate) position: Head,
    pub(crate) abandoned: bool,
    /// What partitions that are still to be born have to know.
    standing: Arc<Vec<Standing>>,
}

impl Engine {
    /// Before the first event.
    #[must_use]
    pub fn new(world: Arc<dyn World>) -> Engine {
        Engine {
            configuration: world.configuration(),
            world,
            routes: Arc::default(),
            share: Share::new(1),
            position: Head::default(),
            abandoned: false,
            standing: Arc::default(),
        }
    }

    /// The last event that was folded.
    #[must_use]
    pub const fn position(&self) -> Head {
        self.position
    }

    /// Facts that stand by now, in order.
    #[must_use]
    pub fn standing(&self) -> &[Standing] {
        &self.standing
    }

    /// Hash of every parameter of every fold.
    #[must_use]
    pub const fn configuration(&self) -> Address {
        self.configuration
    }

    /// Names of the partitions, in order of birth.
    #[must_use]
    pub fn partitions(&self) -> Vec<&str> {
        self.routes.names().iter().map(|n| &**n).collect()
    }

    /// The fold of a partition, for the rooms that know what it is.
    #[must_use]
    pub fn fold(&self, partition: &str) -> Option<&dyn Fold> {
        self.cell(partition).map(|c| &*c.fold)
    }

    /// The same as a concrete type.
    #[must_use]
    pub fn fold_as<T: Any>(&self, partition: &str) -> Option<&T> {
        self.fold(partition)?.as_any().downcast_ref()
    }

    /// The last version of a family.
    #[must_use]
    pub fn line(&self, partition: &str, family: &str) -> Option<&Line> {
        self.cell(partition)?.ledger.line(family)
    }

    /// The last version of every family, by partition's birth and family's name.
    pub fn lines(&self) -> impl Iterator<Item = (&str, &str, &Line)> {
        self.share
            .cells
            .iter()
            .flat_map(|c| c.ledger.lines().map(|(family, line)| (&*c.name, family, line)))
    }

    fn cell(&self, partition: &str) -> Option<&Cell> {
        self.share.cells.iter().find(|c| *c.name == *partition)
    }

    /// The blob that [`Engine::apply`] needs for an event, if any.
    #[must_use]
    pub fn blob_needed(event: &Event) -> Option<Address> {
        match &event.body {
            Body::InstrumentDefined(text) => text.blob(),
            Body::ConditionsDefined { blob, .. } => Some(*blob),
            body => body.fold_blob(),
        }
    }

    /// Folds the next event. `blob` is that of [`Engine::blob_needed`].
    ///
    /// # Errors
    /// See [`EngineError`].
    pub fn apply(
        &mut self,
        next: &JournalEvent,
        blob: Option<&[u8]>,
        made: &mut Vec<Made>,
    ) -> Result<(), EngineError> {
        self.expect(next.seq)?;
        self.abandoned = true;
        let event = &next.event;
        if blob.is_none() && Engine::blob_needed(event).is_some() {
            return Err(EngineError::Blob { seq: next.seq });
        }
        for cell in self.define(next.seq, event, blob)? {
            self.share.push(cell);
        }
        let start = made.len();
        self.share.step(&self.routes, next.seq, event, blob, made)?;
        if let Some(new) = made.get_mut(start..) {
            order(new);
        }
        self.position = Head { seq: next.seq, recv: event.recv };
        self.abandoned = false;
        Ok(())
    }

    /// The next moment at which a fold wants to be called, if any; it may lie
    /// before the position.
    #[must_use]
    pub fn next_due(&self) -> Option<RecvTime> {
        self.share.next_due()
    }

    /// Fires whatever is due at or before `now`, which must not lie beyond the
    /// next event. Where the next event fires the same timers, nothing changes.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub fn advance(&mut self, now: RecvTime, made: &mut Vec<Made>) -> Result<(), EngineError> {
        self.expect(self.position.seq.next())?;
        self.abandoned = true;
        self.share.fire_until(now, self.position.seq, made)?;
        self.abandoned = false;
        Ok(())
    }

    pub(crate) fn expect(&self, got: Seq) -> Result<(), EngineError> {
        if self.abandoned {
            return Err(EngineError::Abandoned);
        }
        let expected = self.position.seq.next();
        if got == expected { Ok(()) } else { Err(EngineError::OutOfOrder { expected, got }) }
    }

    /// Takes a definition into the routes; returns the partitions that it
    /// brought to life. Any other event does nothing.
    pub(crate) fn define(
        &mut self,
        seq: Seq,
        event: &Event,
        blob: Option<&[u8]>,
    ) -> Result<Vec<Cell>, EngineError> {
        let ticker = match &event.body {
            Body::InstrumentDefined(InlineText::Inline(text)) => text,
            Body::InstrumentDefined(InlineText::Blob(_)) => {
                blob.and_then(|b| std::str::from_utf8(b).ok()).ok_or(EngineError::Blob { seq })?
            }
            Body::ConditionsDefined { id, .. } => {
                let bytes = blob.ok_or(EngineError::Blob { seq })?;
                let (codes, _) = bytes.as_chunks::<4>();
                let list = codes.iter().map(|code| u32::from_le_bytes(*code)).collect();
                Arc::make_mut(&mut self.routes).define_conditions(*id, list);
                return Ok(Vec::new());
            }
            Body::Control(_) => {
                if let Some(fact) = blob.filter(|fact| self.world.stands(fact)) {
                    let standing = Arc::make_mut(&mut self.standing);
                    standing.push((seq, Bytes::copy_from_slice(fact)));
                }
                return Ok(Vec::new());
            }
            _ => return Ok(Vec::new()),
        };
        if let Some(route) = self.routes.get(event.instrument) {
            if *route.ticker == *ticker {
                return Ok(Vec::new());
            }
            return Err(EngineError::Redefined {
                seq,
                id: event.instrument,
                was: route.ticker.to_string(),
                now: ticker.to_owned(),
            });
        }
        let known = self.routes.names().len();
        Arc::make_mut(&mut self.routes).define(&*self.world, event.instrument, ticker, seq);
        Ok((known..self.routes.names().len()).filter_map(|n| self.birth(n, seq)).collect())
    }

    fn birth(&self, number: usize, born: Seq) -> Option<Cell> {
        let name = self.routes.names().get(number)?.clone();
        let mut cell = Cell::new(number as u32, name, born, &*self.world);
        if !self.standing.is_empty() {
            cell.fold.begin(&self.standing);
        }
        Some(cell)
    }

    /// The whole state as canonical bytes: equal states give equal bytes.
    ///
    /// ```text
    /// magic ORRYFOLD | format u32 = 2 | configuration 32 | seq u64 | recv i64
    /// partitions u64, each: name
    /// instruments u64, each: id u32, defined u64, ticker
    /// condition lists u64, each: codes u64, each u32
    /// per partition: name, born u64, seq_last u64, clock i64, ledger, fold (length u64 + bytes)
    /// ledger: families u64, each: name, version u64, epoch (presence u8, 32),
    ///         profile, content 32, header hash 32, seq_last u64
    /// where there are any: standing facts u64, each: seq u64, blob (length u64 + bytes)
    /// ```
    /// Texts are a length (u64) and UTF-8; numbers are little-endian.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        self.save_in_parts().0
    }

    /// The same, with its parts.
    #[must_use]
    pub fn state(&self) -> State {
        let (bytes, marks) = self.save_in_parts();
        State::new(bytes, marks)
    }

    fn save_in_parts(&self) -> (Vec<u8>, Marks) {
        let (mut out, mut marks) = (Vec::new(), Marks::default());
        let mut e = Encoder::new(&mut out);
        marks.part(0, "engine");
        e.raw(MAGIC);
        e.u32(FORMAT);
        e.address(self.configuration);
        e.seq(self.position.seq);
        e.recv(self.position.recv);
        marks.part(e.position(), "routes");
        self.routes.save(&mut e);
        for cell in &self.share.cells {
            cell.save(&mut e, &mut marks);
        }
        marks.part(e.position(), "standing facts");
        if !self.standing.is_empty() {
            e.count(self.standing.len());
            for (seq, fact) in &*self.standing {
                e.seq(*seq);
                e.bytes(fact);
            }
        }
        (out, marks)
    }

    /// An engine in a saved state.
    ///
    /// # Errors
    /// See [`EngineRestoreError`].
    pub fn restore(world: Arc<dyn World>, bytes: &[u8]) -> Result<Engine, EngineRestoreError> {
        let mut engine = Engine::new(world);
        let mut d = Decoder::new(bytes);
        if d.raw()? != *MAGIC {
            return Err(RestoreError("these bytes are no saved fold".into()).into());
        }
        let format = d.u32()?;
        if format != FORMAT {
            return Err(RestoreError(format!("format {format}; this orrery reads {FORMAT}")).into());
        }
        let saved = d.address()?;
        if saved != engine.configuration {
            return Err(EngineRestoreError::Configuration { saved, ours: engine.configuration });
        }
        engine.position = Head { seq: d.seq()?, recv: d.recv()? };
        engine.routes = Arc::new(Routes::load(&mut d, &*engine.world)?);
        for (number, name) in engine.routes.names().iter().enumerate() {
            let cell = Cell::load(number as u32, name, &mut d, &*engine.world)?;
            engine.share.push(cell);
        }
        if d.left() > 0 {
            let standing = d.list(|d| Ok((d.seq()?, Bytes::copy_from_slice(d.bytes()?))))?;
            engine.standing = Arc::new(standing);
        }
        d.end()?;
        Ok(engine)
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("position", &self.position)
            .field("partitions", &self.routes.names())
            .finish_non_exhaustive()
    }
}
