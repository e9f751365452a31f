//! Keeps replay sessions: makes them, hands them what they are told, lets them
//! go.
//!
//! Each session has a thread that mostly waits; those that fold take turns and
//! together take a stated share of one core ([`share`]), so that the live
//! pipeline keeps the rest. Numbers, memory and lifetimes are bounded
//! ([`Limits`]).

pub mod definitions;
pub mod landmarks;
pub mod plan;
pub mod share;
mod worker;

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use orrery_replay::engine::Made;
use orrery_replay::fold::World as _;
use orrery_replay::session::{Pacer, Plan, Session, Speed};

use self::share::Share;
use self::worker::{Ask, Begin, Shared, Worker};
use super::Archive;
use crate::control::BackendError;
use crate::control::session::feed::Watcher;
use crate::control::session::{
    BranchOrder, Command, SeekTo, SessionOrder, SessionView, Sessions, Shows, Standing,
};
use crate::models::parameters::Parameters;
use crate::world::MarketWorld;

/// What a server allows its sessions.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Sessions at the same time. A session holds the folds of all symbols, the
    /// states it remembers and what it told last: at most some 100 MB each.
    pub sessions: usize,
    /// How long a session lives when nobody asks, unless it says otherwise.
    pub idle: Duration,
    /// How much of one core all sessions together may take, in percent.
    pub share_percent: u8,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { sessions: 16, idle: Duration::from_secs(15 * 60), share_percent: 50 }
    }
}

/// Where a session's artifacts go when it publishes. Dropping it takes back what
/// was published.
pub trait Outlet: Send {
    /// Takes what came out, in order.
    fn put(&mut self, made: &[Made]);

    /// What comes now lies before what was put so far.
    fn begin_again(&mut self);
}

/// Opens outlets.
pub trait Outlets: Send + Sync {
    /// What stands before every key and channel of a session.
    fn prefix(&self, session: &str) -> String;

    /// An outlet for a session.
    ///
    /// # Errors
    /// When there is nowhere to publish to.
    fn open(&self, session: &str) -> Result<Box<dyn Outlet>, String>;
}

/// The keeper.
pub struct Keeper {
    archive: Arc<Archive>,
    parameters: Parameters,
    limits: Limits,
    outlets: Option<Box<dyn Outlets>>,
    share: Arc<Share>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    by_number: BTreeMap<u64, Entry>,
    /// Threads of sessions that were closed and clean up.
    ending: Vec<JoinHandle<()>>,
    last: u64,
    closed: bool,
}

/// A session that somebody may ask for.
struct Entry {
    shared: Arc<Shared>,
    asks: Sender<Ask>,
    parameters: Parameters,
    thread: JoinHandle<()>,
}

/// What a new session is made of.
struct New {
    view: SessionView,
    parameters: Parameters,
    begin: Begin,
    play: bool,
    publish: bool,
}

impl Keeper {
    /// A keeper of sessions over an archive. `parameters` are those that the
    /// archive folds with; without `outlets` nothing can be published.
    #[must_use]
    pub fn new(
        archive: Arc<Archive>,
        parameters: Parameters,
        limits: Limits,
        outlets: Option<Box<dyn Outlets>>,
    ) -> Keeper {
        let share = Arc::new(Share::new(limits.share_percent));
        Keeper { archive, parameters, limits, outlets, share, table: Mutex::default() }
    }

    /// Ends all sessions and waits until their threads have.
    pub fn close_all(&self) {
        let threads = {
            let mut table = self.table();
            table.closed = true;
            while let Some((_, entry)) = table.by_number.pop_first() {
                let thread = entry.end();
                table.ending.push(thread);
            }
            std::mem::take(&mut table.ending)
        };
        for thread in threads {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.by_number.retain(|_, entry| !entry.shared.over());
        table.ending.retain(|thread| !thread.is_finished());
        table
    }

    fn with<T>(&self, id: &str, ask: impl FnOnce(&Entry) -> T) -> Result<T, BackendError> {
        let table = self.table();
        let entry = number(id).and_then(|n| table.by_number.get(&n));
        entry.map(ask).ok_or_else(|| BackendError::Unknown { what: "session", name: id.to_owned() })
    }

    /// Whether there is room for another one; asked before work is done for it.
    fn admit(&self) -> Result<(), BackendError> {
        let table = self.table();
        if table.closed {
            return Err(BackendError::Unavailable("the server is stopping".into()));
        }
        if table.by_number.len() < self.limits.sessions {
            return Ok(());
        }
        let told = format!(
            "there are {} sessions already, as many as this server keeps; close one, or wait \
             until one expires",
            table.by_number.len()
        );
        Err(BackendError::Exhausted { reason: "TOO_MANY_SESSIONS", told })
    }

    fn start(&self, new: New) -> Result<SessionView, BackendError> {
        let New { mut view, parameters, begin, play, publish } = new;
        self.admit()?;
        let mut table = self.table();
        table.last += 1;
        let number = table.last;
        view.id = format!("session-{number}");
        let mut outlet = None;
        if publish {
            let outlets = self.outlets.as_ref().ok_or_else(|| {
                let why = "this server delivers to no Redis; start it with --redis".to_owned();
                BackendError::Precondition(why)
            })?;
            outlet = Some(outlets.open(&view.id).map_err(BackendError::Unavailable)?);
            view.prefix = Some(outlets.prefix(&view.id));
        }
        let (asks, inbox): (Sender<Ask>, Receiver<Ask>) = channel();
        let shared = Arc::new(Shared::new(view));
        let share = Arc::clone(&self.share);
        let worker = Worker::new(Arc::clone(&shared), inbox, share, outlet, play);
        let thread = std::thread::Builder::new()
            .name(format!("replay-{number}"))
            .spawn(move || worker.run(begin))
            .map_err(|e| BackendError::Unavailable(format!("no thread for a session: {e}")))?;
        let told = shared.view();
        table.by_number.insert(number, Entry { shared, asks, parameters, thread });
        Ok(told)
    }

    fn view(&self, plan: &Plan, parameters: &Parameters, profiles: Vec<String>) -> SessionView {
        SessionView {
            id: String::new(),
            standing: Standing::Warming,
            first: plan.opening.seq.next(),
            last: plan.end.seq,
            end: plan.end.time,
            at: plan.opening,
            speed: Speed::REAL,
            gap_cap: None,
            shows: Shows::default(),
            profiles,
            configuration: parameters.hash(),
            origin: None,
            prefix: None,
            watchers: 0,
            last_number: 0,
            folded: 0,
            idle: self.limits.idle,
        }
    }

    /// Opens a session elsewhere, on its own thread.
    fn opener(
        &self,
        parameters: &Parameters,
        plan: Plan,
        pacer: Pacer,
    ) -> Result<Begin, BackendError> {
        let world = MarketWorld::new(parameters.clone())
            .map_err(|e| BackendError::Precondition(e.to_string()))?;
        debug_assert_eq!(world.configuration(), parameters.hash());
        let (journal, derived) = (self.archive.journal().clone(), self.archive.derived().clone());
        Ok(Begin::Open(Box::new(move |breathe| {
            Session::open(journal, derived, Arc::new(world), plan, pacer, breathe)
        })))
    }
}

impl Sessions for Keeper {
    fn create(&self, order: &SessionOrder) -> Result<SessionView, BackendError> {
        self.admit()?;
        let parameters = definitions::with_profiles(&self.parameters, &order.profiles)?;
        definitions::know_families(&parameters, &order.shows.families)?;
        let plan = plan::of(self.archive.journal(), order)?;
        let mut view = self.view(&plan, &parameters, order.profiles.clone());
        view.shows = order.shows.clone();
        (view.speed, view.gap_cap) = (order.speed, order.gap_cap);
        view.idle = order.idle.unwrap_or(self.limits.idle);
        let begin = self.opener(&parameters, plan, Pacer::new(order.speed, order.gap_cap))?;
        self.start(New { view, parameters, begin, play: order.play, publish: order.publish })
    }

    fn branch(&self, id: &str, order: &BranchOrder) -> Result<SessionView, BackendError> {
        self.admit()?;
        let held = self.with(id, |e| e.parameters.clone())?;
        let parameters = definitions::with_profiles(&held, &order.profiles)?;
        let mask = plan::mask(self.archive.journal(), &order.only, &order.without)?;
        let same = parameters.hash() == held.hash();
        let (reply, answer) = channel();
        self.with(id, |e| e.asks.send(Ask::Branch { mask, same, reply }))?
            .map_err(|_| ended(id))?;
        let (plan, copy) = answer.recv().map_err(|_| ended(id))??;
        let origin = self.get(id)?;
        let mut profiles = origin.profiles;
        profiles.extend(order.profiles.iter().cloned());
        let mut view = self.view(&plan, &parameters, profiles);
        view.shows = origin.shows;
        (view.speed, view.gap_cap, view.idle) = (origin.speed, origin.gap_cap, origin.idle);
        view.origin = Some(id.to_owned());
        let begin = match copy {
            Some(session) => Begin::Ready(session),
            None => self.opener(&parameters, plan, Pacer::new(view.speed, view.gap_cap))?,
        };
        self.start(New { view, parameters, begin, play: false, publish: order.publish })
    }

    fn get(&self, id: &str) -> Result<SessionView, BackendError> {
        self.with(id, |e| e.shared.view())
    }

    fn list(&self) -> Vec<SessionView> {
        self.table().by_number.values().map(|e| e.shared.view()).collect()
    }

    fn command(&self, id: &str, command: Command) -> Result<(SessionView, u32), BackendError> {
        if let Command::Step(_, _, shows) | Command::Seek(SeekTo::NextArtifact(shows)) = &command {
            let parameters = self.with(id, |e| e.parameters.clone())?;
            definitions::know_families(&parameters, &shows.families)?;
        }
        let (reply, answer) = channel();
        self.with(id, |e| e.asks.send(Ask::Command { command, reply }))?.map_err(|_| ended(id))?;
        answer.recv().map_err(|_| ended(id))?
    }

    fn watch(&self, id: &str, after: Option<u64>, hold: bool) -> Result<Watcher, BackendError> {
        let (watcher, last) =
            self.with(id, |e| (e.shared.feed.watch(after, hold), e.shared.feed.last()))?;
        watcher.ok_or_else(|| {
            let why = format!("nothing has that number yet; {id} told {last} so far");
            BackendError::Invalid { field: "after_number", why }
        })
    }

    fn close(&self, id: &str) -> Result<SessionView, BackendError> {
        let mut view = self.get(id)?;
        let mut table = self.table();
        if let Some(entry) = number(id).and_then(|n| table.by_number.remove(&n)) {
            let thread = entry.end();
            table.ending.push(thread);
        }
        view.standing = Standing::Closed;
        Ok(view)
    }
}

impl Entry {
    /// Asks it to end; it hears of it when it is next asked nothing.
    fn end(self) -> JoinHandle<()> {
        self.shared.close();
        self.thread
    }
}

fn number(id: &str) -> Option<u64> {
    id.strip_prefix("session-")?.parse().ok()
}

fn ended(id: &str) -> BackendError {
    BackendError::Precondition(format!("{id} has ended"))
}
