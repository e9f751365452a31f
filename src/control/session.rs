//! Replay sessions as they are asked for: what a keeper of sessions answers,
//! and the service that translates it.

pub mod feed;
mod service;
pub(super) mod words;

use std::time::Duration;

use orrery_journal::units::{Address, RecvTime, Seq, TradingDay};
use orrery_replay::artifact::Header;
use orrery_replay::session::{Moment, Speed, Unit};

pub use self::service::ReplaySessions;
use super::BackendError;
use super::events::{Edge, EventFilter};
use feed::Watcher;

/// Which artifacts are told.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Shows {
    /// Only these symbols; all when empty.
    pub symbols: Vec<String>,
    /// Only these families; all when empty.
    pub families: Vec<String>,
}

impl Shows {
    /// Whether an artifact is told.
    #[must_use]
    pub fn admits(&self, header: &Header) -> bool {
        let family = &*header.family;
        let known = self.families.is_empty() || self.families.iter().any(|f| f == family);
        known && self.has_symbol(&header.symbol)
    }

    /// Whether artifacts of a symbol are told.
    #[must_use]
    pub fn has_symbol(&self, symbol: &str) -> bool {
        self.symbols.is_empty() || self.symbols.iter().any(|s| s == symbol)
    }
}

/// A session to be made.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct SessionOrder {
    /// Only this day.
    pub day: Option<TradingDay>,
    /// From here on.
    pub from: Option<Edge>,
    /// Up to here.
    pub to: Option<Edge>,
    /// What is told.
    pub shows: Shows,
    /// Definitions in place of those that hold.
    pub profiles: Vec<String>,
    /// Fold only these.
    pub only: EventFilter,
    /// Leave these out; nothing when empty.
    pub without: EventFilter,
    /// How fast it plays.
    pub speed: Speed,
    /// Longest silence of the market's time, ns.
    pub gap_cap: Option<i64>,
    /// Play at once.
    pub play: bool,
    /// Publish under a prefix of its own.
    pub publish: bool,
    /// How long it lives when nobody asks.
    pub idle: Option<Duration>,
}

/// A session that goes on from where another one stands.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct BranchOrder {
    /// Definitions in place of the origin's.
    pub profiles: Vec<String>,
    /// From here on fold only these.
    pub only: EventFilter,
    /// From here on leave these out; nothing when empty.
    pub without: EventFilter,
    /// Publish under a prefix of its own.
    pub publish: bool,
}

/// What a session is told to do.
#[derive(Clone, PartialEq, Debug)]
pub enum Command {
    /// Let the clock run.
    Play,
    /// Stop it.
    Pause,
    /// Go on by so many.
    Step(Unit, u32, Shows),
    /// Go somewhere.
    Seek(SeekTo),
    /// Speed and gap cap, where they are to change.
    Speed(Option<Speed>, Option<Option<i64>>),
}

/// Where to go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SeekTo {
    /// Before the first event.
    Opening,
    /// After an event.
    Seq(Seq),
    /// After a time.
    Time(RecvTime),
    /// To the next moment with another active epoch.
    NextEpoch,
    /// To the next gap of a feed.
    NextGap,
    /// To the next gex artifact with the spot on the other side of its flip.
    NextFlip,
    /// To the next artifact of these; one family is named.
    NextArtifact(Shows),
}

/// Where a session stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// On its way to its opening.
    Warming,
    /// Waits to be told.
    Paused,
    /// Its clock runs.
    Playing,
    /// Behind its last moment.
    Ended,
    /// It could not go on.
    Failed(String),
    /// Closed by somebody, or by the end of the server.
    Closed,
    /// Nobody asked for too long.
    Expired,
}

impl Standing {
    /// In a word.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Standing::Warming => "warming",
            Standing::Paused => "paused",
            Standing::Playing => "playing",
            Standing::Ended => "ended",
            Standing::Failed(_) => "failed",
            Standing::Closed => "closed",
            Standing::Expired => "expired",
        }
    }
}

/// A session as it is told.
#[derive(Clone, PartialEq, Debug)]
pub struct SessionView {
    /// Its name in this server.
    pub id: String,
    /// Where it stands.
    pub standing: Standing,
    /// First event.
    pub first: Seq,
    /// Last event.
    pub last: Seq,
    /// Last moment.
    pub end: RecvTime,
    /// What has happened.
    pub at: Moment,
    /// How fast it plays.
    pub speed: Speed,
    /// Longest silence, ns.
    pub gap_cap: Option<i64>,
    /// What is told.
    pub shows: Shows,
    /// Definitions that differ.
    pub profiles: Vec<String>,
    /// Hash of every parameter.
    pub configuration: Address,
    /// Where it branched off.
    pub origin: Option<String>,
    /// What stands before what it publishes.
    pub prefix: Option<String>,
    /// How many watch.
    pub watchers: u32,
    /// Number of the last thing that was told.
    pub last_number: u64,
    /// Events folded.
    pub folded: u64,
    /// How long it lives when nobody asks.
    pub idle: Duration,
}

/// Keeps sessions. Methods may block for as long as a way is long.
pub trait Sessions: Send + Sync + 'static {
    /// Makes a session; it may still be warming.
    ///
    /// # Errors
    /// A range that the journal does not have, an unknown profile, family or
    /// ticker, too many sessions, nowhere to publish.
    fn create(&self, order: &SessionOrder) -> Result<SessionView, BackendError>;

    /// Makes a session that goes on from where another one stands.
    ///
    /// # Errors
    /// As [`Sessions::create`]; an unknown session.
    fn branch(&self, id: &str, order: &BranchOrder) -> Result<SessionView, BackendError>;

    /// A session.
    ///
    /// # Errors
    /// An unknown session.
    fn get(&self, id: &str) -> Result<SessionView, BackendError>;

    /// All of them, by number.
    fn list(&self) -> Vec<SessionView>;

    /// Tells a session what to do and waits until it is done. For a step the
    /// number says how many units there were.
    ///
    /// # Errors
    /// An unknown session, one that failed, a place that it cannot go to.
    fn command(&self, id: &str, command: Command) -> Result<(SessionView, u32), BackendError>;

    /// A watcher. `hold` has the clock wait for it.
    ///
    /// # Errors
    /// An unknown session, a number that was not told yet.
    fn watch(&self, id: &str, after: Option<u64>, hold: bool) -> Result<Watcher, BackendError>;

    /// Ends a session.
    ///
    /// # Errors
    /// An unknown session.
    fn close(&self, id: &str) -> Result<SessionView, BackendError>;
}
