//! What a fold is: a pure function of events and its own state.
//!
//! A fold says what should happen and somebody else does it. It is never told
//! whether it runs live or in replay, and it has no way to find out.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;
use orrery_journal::event::Event;
use orrery_journal::units::{Address, InstrumentId, RecvTime, Seq};

use crate::checkpoint::state::Marks;

/// An event with everything that a fold may read besides its own state.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Position in the journal.
    pub seq: Seq,
    /// The fact.
    pub event: &'a Event,
    /// Ticker of the event's instrument, when it has one. For an
    /// `InstrumentDefined` event the ticker that is being defined.
    pub ticker: Option<&'a str>,
    /// The blob of [`orrery_journal::event::Body::fold_blob`], when it has one.
    pub blob: Option<&'a [u8]>,
    /// Conditions of a quote or trade as the vendor listed them. Empty where it
    /// listed none; `None` where the list's definition was never seen.
    pub conditions: Option<&'a [u32]>,
}

/// Identity of an epoch: blake3 over its canonical topology.
pub type EpochId = Address;

/// A finished body on its way out.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Family: `gex`, `heatmap`, `context`...
    pub family: &'static str,
    /// Name of the definitions that made it, such as `gex/naive-oi@1`.
    pub profile: &'static str,
    /// The active epoch; `None` where the partition has no chain.
    pub epoch: Option<EpochId>,
    /// Canonical body: UTF-8 JSON, fields in a fixed order, maps sorted, no NaN.
    pub body: Bytes,
    /// By which definitions, where they are not the world's own.
    pub by: Option<Arc<By>>,
}

/// Definitions that came into force by an event, or run beside those in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// Hash of every parameter.
    pub configuration: Address,
    /// Where they run beside: what tells their families from those in force.
    /// Such artifacts count versions of their own and have no effect.
    pub beside: Option<Box<str>>,
}

/// An event that partitions born after it must know of, with its blob.
pub type Standing = (Seq, Bytes);

/// Where a fold puts what it finished, in order.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    /// Finished bodies, oldest first.
    pub outputs: Vec<Output>,
}

/// Why a saved state was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("saved state cannot be restored: {0}")]
pub struct RestoreError(pub String);

/// The fold of one partition (one underlying).
///
/// The engine calls [`Fold::fire`] for every due moment at or before an event's
/// recv time, in order, and then [`Fold::apply`].
pub trait Fold: Send {
    /// Told once, before anything else: what stands since before its birth.
    /// Default: nothing.
    fn begin(&mut self, _standing: &[Standing]) {}

    /// Takes an event.
    fn apply(&mut self, input: &Input<'_>, out: &mut Outbox);

    /// Events of this instrument come soon: reads what they will need, so that it is
    /// at hand. Default: nothing.
    fn look_ahead(&self, _instrument: InstrumentId) {}

    /// The next moment at which this fold wants to be called, if any.
    fn next_due(&self) -> Option<RecvTime>;

    /// That moment has come; `due` is the moment asked for, not the moment of
    /// whatever event follows. Must move [`Fold::next_due`] beyond `due`.
    fn fire(&mut self, due: RecvTime, out: &mut Outbox);

    /// Appends the whole state as canonical bytes.
    fn save(&self, out: &mut Vec<u8>);

    /// The same bytes, with the places where parts begin that change apart from
    /// each other. Default: there is one part.
    fn save_in_parts(&self, out: &mut Vec<u8>, _marks: &mut Marks) {
        self.save(out);
    }

    /// Takes a saved state in place of its own.
    ///
    /// # Errors
    /// When the bytes are not a state of this fold.
    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError>;

    /// For inspection by the rooms that know the concrete fold.
    fn as_any(&self) -> &dyn Any;
}

/// What the engine must know about the folds, without knowing any.
pub trait World: Send + Sync {
    /// Hash over every parameter of every fold; goes into each header.
    fn configuration(&self) -> Address;

    /// Whether a control fact stands: partitions that are born after it are told
    /// of it. Default: none does.
    fn stands(&self, _control: &[u8]) -> bool {
        false
    }

    /// The partitions that want the events of a ticker.
    fn partitions(&self, ticker: &str) -> Vec<Box<str>>;

    /// A new, empty fold for a partition.
    fn fold(&self, partition: &str) -> Box<dyn Fold>;
}
