//! The thread of one session: does what it is told, plays what is due, tells
//! what came out, and ends when nobody asks any more.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use orrery_replay::engine::Made;
use orrery_replay::session::{
    Breathe, Mask, Moment, Plan, Session, SessionError, State, Target, Tick,
};

use super::share::{Share, Turn};
use super::{Outlet, landmarks, plan};
use crate::control::BackendError;
use crate::control::session::feed::{Feed, Told};
use crate::control::session::{Command, SeekTo, SessionView, Standing};

/// How long a session that has to wait for a watcher waits before it looks again.
const HOLD: Duration = Duration::from_millis(2);
/// The longest wait in one go.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What a session is asked.
pub(super) enum Ask {
    Command {
        command: Command,
        reply: Sender<Result<(SessionView, u32), BackendError>>,
    },
    /// The plan of a branch; with the same definitions, the branch itself.
    Branch {
        mask: Mask,
        same: bool,
        reply: Sender<Result<Branched, BackendError>>,
    },
}

/// The plan of a branch, and the branch itself where it could be copied.
pub(super) type Branched = (Plan, Option<Box<Session>>);

/// How to open a session, on its own thread.
pub(super) type Open = Box<dyn FnOnce(Breathe<'_>) -> Result<Session, SessionError> + Send>;

/// How a session begins.
pub(super) enum Begin {
    /// It is there already.
    Ready(Box<Session>),
    /// It folds its way to its opening first.
    Open(Open),
}

/// What the keeper sees of a session.
pub(super) struct Shared {
    view: Mutex<SessionView>,
    pub(super) feed: Arc<Feed>,
    closing: AtomicBool,
    over: AtomicBool,
}

impl Shared {
    pub(super) fn new(view: SessionView) -> Shared {
        let (closing, over) = (AtomicBool::new(false), AtomicBool::new(false));
        Shared { view: Mutex::new(view), feed: Arc::default(), closing, over }
    }

    /// The session as it stands.
    pub(super) fn view(&self) -> SessionView {
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner).clone();
        view.watchers = self.feed.watchers();
        view.last_number = self.feed.last();
        view
    }

    /// Asks it to end.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    fn closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Whether it has ended, or is about to because it was closed.
    pub(super) fn over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

pub(super) struct Worker {
    shared: Arc<Shared>,
    inbox: Receiver<Ask>,
    share: Arc<Share>,
    outlet: Option<Box<dyn Outlet>>,
    play: bool,
    /// When somebody last asked, watched or was published to.
    active: i64,
}

/// How a session ended.
enum End {
    Closed,
    Expired,
    Failed(SessionError),
}

impl Worker {
    pub(super) fn new(
        shared: Arc<Shared>,
        inbox: Receiver<Ask>,
        share: Arc<Share>,
        outlet: Option<Box<dyn Outlet>>,
        play: bool,
    ) -> Worker {
        let active = share.now();
        Worker { shared, inbox, share, outlet, play, active }
    }

    pub(super) fn run(mut self, begin: Begin) {
        let end = self.live(begin);
        let mut standing = match end {
            End::Closed => Standing::Closed,
            End::Expired => Standing::Expired,
            End::Failed(why) => {
                tracing::warn!(error = &why as &dyn std::error::Error, "a replay session failed");
                Standing::Failed(plan::error(why).to_string())
            }
        };
        self.tell_standing(standing.clone());
        // What failed stays to be asked for until it is closed or expires.
        while let Standing::Failed(why) = &standing {
            match self.inbox.recv_timeout(self.patience()) {
                Ok(ask) => {
                    self.active = self.share.now();
                    refuse(ask, why);
                }
                Err(RecvTimeoutError::Timeout) if self.idle_left() > 0 => {}
                Err(_) => standing = Standing::Expired,
            }
            if self.shared.closing() {
                standing = Standing::Closed;
            }
        }
        drop(self.outlet.take());
        self.shared.over.store(true, Ordering::Release);
        self.shared.feed.close();
    }

    fn live(&mut self, begin: Begin) -> End {
        let mut session = match self.begin(begin) {
            Ok(session) => session,
            Err(SessionError::Stopped { .. }) => return End::Closed,
            Err(why) => return End::Failed(why),
        };
        self.active = self.share.now();
        if self.play {
            session.play(self.active);
        }
        self.tell_state(&session);
        loop {
            let wait = match self.turn(&mut session) {
                Ok(wait) => wait.min(self.patience()),
                Err(why) => return End::Failed(why),
            };
            match self.inbox.recv_timeout(wait) {
                Ok(ask) => {
                    self.active = self.share.now();
                    if let Err(why) = self.answer(&mut session, ask) {
                        return End::Failed(why);
                    }
                    self.active = self.share.now();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return End::Closed,
            }
            if self.shared.closing() {
                return End::Closed;
            }
            let published_to = self.outlet.is_some() && session.state() == State::Playing;
            if published_to || self.shared.feed.watchers() > 0 {
                self.active = self.share.now();
            } else if self.idle_left() <= 0 {
                return End::Expired;
            }
        }
    }

    fn begin(&mut self, begin: Begin) -> Result<Box<Session>, SessionError> {
        match begin {
            Begin::Ready(session) => Ok(session),
            Begin::Open(open) => {
                let (share, shared) = (Arc::clone(&self.share), Arc::clone(&self.shared));
                let mut turn = Some(share.turn());
                let session = open(&mut |at| breathe(&share, &shared, &mut turn, Some(at)))?;
                Ok(Box::new(session))
            }
        }
    }

    /// Nanoseconds until it expires.
    fn idle_left(&self) -> i64 {
        let idle = self.shared.view.lock().unwrap_or_else(PoisonError::into_inner).idle;
        let idle = i64::try_from(idle.as_nanos()).unwrap_or(i64::MAX);
        self.active.saturating_add(idle).saturating_sub(self.share.now())
    }

    /// How long it may wait without looking around.
    fn patience(&self) -> Duration {
        let left = u64::try_from(self.idle_left()).unwrap_or(0).max(1_000_000);
        Duration::from_nanos(left).min(WAIT_MAX)
    }

    /// Plays what is due, for a turn at most; how long to wait for more.
    fn turn(&mut self, session: &mut Session) -> Result<Duration, SessionError> {
        if session.state() != State::Playing {
            return Ok(WAIT_MAX);
        }
        let share = Arc::clone(&self.share);
        let turn = share.turn();
        let mut made = Vec::new();
        let wait = loop {
            if !self.shared.feed.has_room() {
                break HOLD;
            }
            if turn.is_over() {
                break Duration::ZERO;
            }
            match session.tick(share.now(), &mut made)? {
                Tick::Passed => self.tell(&mut made),
                Tick::Wait(nanos) => break Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)),
                Tick::Still => break WAIT_MAX,
            }
        };
        drop(turn);
        match session.state() {
            State::Playing => self.note(session),
            _ => self.tell_state(session),
        }
        Ok(wait)
    }

    fn answer(&mut self, session: &mut Session, ask: Ask) -> Result<(), SessionError> {
        match ask {
            Ask::Branch { mask, same, reply } => {
                let plan = session.branch_plan(mask);
                let copy = match same {
                    true => {
                        let made = session.branch(plan.clone(), &mut |_| ControlFlow::Continue(()));
                        made.map(|session| Some(Box::new(session)))
                    }
                    false => Ok(None),
                };
                let _ = reply.send(copy.map(|copy| (plan, copy)).map_err(plan::error));
            }
            Ask::Command { command, reply } => match self.obey(session, command) {
                Ok(done) => {
                    self.tell_state(session);
                    let _ = reply.send(Ok((self.shared.view(), done)));
                }
                Err(why) => {
                    let fatal = is_fatal(&why);
                    self.tell_state(session);
                    if !fatal {
                        let _ = reply.send(Err(plan::error(why)));
                        return Ok(());
                    }
                    // Whoever asked learns of it from the state that follows.
                    return Err(why);
                }
            },
        }
        Ok(())
    }

    fn obey(&mut self, session: &mut Session, command: Command) -> Result<u32, SessionError> {
        let now = self.share.now();
        match command {
            Command::Play if session.state() == State::Ended => {
                return Err(SessionError::AtEnd { end: session.plan().end });
            }
            Command::Play => session.play(now),
            Command::Pause => session.pause(),
            Command::Speed(speed, gap_cap) => {
                speed.into_iter().for_each(|speed| session.set_speed(speed, now));
                gap_cap.into_iter().for_each(|cap| session.set_gap_cap(cap));
            }
            Command::Step(unit, count, shows) => {
                let told = self.shared.view().shows;
                let (share, shared) = (Arc::clone(&self.share), Arc::clone(&self.shared));
                let mut turn = Some(share.turn());
                let mut made = Vec::new();
                // One at a time, so that each is told where it came out.
                let mut done = 0;
                while done < count {
                    let wanted = |m: &Made| {
                        shows.admits(&m.artifact.header) && told.admits(&m.artifact.header)
                    };
                    let one = session.step(unit, 1, &wanted, &mut made, &mut |_| {
                        breathe(&share, &shared, &mut turn, None)
                    });
                    self.tell(&mut made);
                    if one? == 0 {
                        break;
                    }
                    done += 1;
                    if breathe(&share, &shared, &mut turn, None).is_break() {
                        return Err(SessionError::Stopped { at: session.at() });
                    }
                }
                return Ok(done);
            }
            Command::Seek(to) => self.seek(session, to)?,
        }
        Ok(0)
    }

    fn seek(&mut self, session: &mut Session, to: SeekTo) -> Result<(), SessionError> {
        let stood = session.at();
        let shows = self.shared.view().shows;
        let (share, shared) = (Arc::clone(&self.share), Arc::clone(&self.shared));
        let mut turn = Some(share.turn());
        let breathe = &mut |_: Moment| breathe(&share, &shared, &mut turn, None);
        match to {
            SeekTo::Opening => session.seek(Target::Opening, breathe)?,
            SeekTo::Seq(seq) => session.seek(Target::Seq(seq), breathe)?,
            SeekTo::Time(time) => session.seek(Target::Time(time), breathe)?,
            SeekTo::NextGap => session.seek_gap(breathe)?,
            SeekTo::NextEpoch => {
                let mut found = landmarks::epoch_change(session.engine(), shows);
                session.seek_until("epoch change", &mut found, breathe)?;
            }
            SeekTo::NextFlip => {
                let mut found = landmarks::flip_crossing(session.engine(), shows);
                session.seek_until("flip crossing", &mut found, breathe)?;
            }
            SeekTo::NextArtifact(wanted) => {
                let what = format!("{} artifact", wanted.families.join(" or "));
                let admits = |m: &Made| {
                    let header = &m.artifact.header;
                    wanted.admits(header) && shows.has_symbol(&header.symbol)
                };
                let mut found = |_: &_, made: &[Made]| made.iter().any(admits);
                session.seek_until(&what, &mut found, breathe)?;
            }
        }
        let at = session.at();
        if (at.seq, at.time) < (stood.seq, stood.time)
            && let Some(outlet) = &mut self.outlet
        {
            outlet.begin_again();
        }
        Ok(())
    }

    /// Tells what came out, and forgets it.
    fn tell(&mut self, made: &mut Vec<Made>) {
        if made.is_empty() {
            return;
        }
        {
            let view = self.shared.view.lock().unwrap_or_else(PoisonError::into_inner);
            made.retain(|m| view.shows.admits(&m.artifact.header));
        }
        if let Some(outlet) = &mut self.outlet {
            outlet.put(made);
        }
        self.shared.feed.tell(made.drain(..).map(|m| {
            let at = Moment { seq: m.at, time: m.artifact.header.created_at };
            Told::Artifact(m.artifact, at)
        }));
    }

    /// Notes where it stands.
    fn note(&self, session: &Session) {
        let mut view = self.shared.view.lock().unwrap_or_else(PoisonError::into_inner);
        view.standing = match session.state() {
            State::Paused => Standing::Paused,
            State::Playing => Standing::Playing,
            State::Ended => Standing::Ended,
        };
        view.at = session.at();
        view.speed = session.pacer().speed();
        view.gap_cap = session.pacer().gap_cap();
        view.folded = session.folded();
    }

    /// Notes and tells where it stands.
    fn tell_state(&self, session: &Session) {
        self.note(session);
        self.shared.feed.tell([Told::State(self.shared.view())]);
    }

    fn tell_standing(&self, standing: Standing) {
        self.shared.view.lock().unwrap_or_else(PoisonError::into_inner).standing = standing.clone();
        let mut view = self.shared.view();
        view.standing = standing;
        self.shared.feed.tell([Told::State(view)]);
    }
}

/// On a long way: gives the turn away where others should have it, notes how far
/// it is, and breaks off when the session is to end.
fn breathe<'a>(
    share: &'a Share,
    shared: &Shared,
    turn: &mut Option<Turn<'a>>,
    at: Option<Moment>,
) -> ControlFlow<()> {
    if let Some(at) = at {
        shared.view.lock().unwrap_or_else(PoisonError::into_inner).at = at;
    }
    if turn.as_ref().is_none_or(Turn::is_over) {
        drop(turn.take());
        *turn = Some(share.turn());
    }
    match shared.closing() {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    }
}

/// Whether the session takes nothing more after it.
fn is_fatal(why: &SessionError) -> bool {
    matches!(why, SessionError::Read(_) | SessionError::Fold(_) | SessionError::Restore(_))
}

/// Answers with why the session failed.
fn refuse(ask: Ask, why: &str) {
    let error = || BackendError::Precondition(format!("the session failed: {why}"));
    match ask {
        Ask::Command { reply, .. } => drop(reply.send(Err(error()))),
        Ask::Branch { reply, .. } => drop(reply.send(Err(error()))),
    }
}
