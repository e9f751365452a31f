//! Replay sessions over a real market: what they tell is what was recorded, and
//! what differs is what should.

mod bad;
mod live;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use orrery::backend::Archive;
use orrery::backend::sessions::landmarks::above_flip;
use orrery::backend::sessions::{Keeper, Limits};
use orrery::control::BackendError;
use orrery::control::events::{Edge, EventFilter};
use orrery::control::session::feed::{MESSAGES_MAX, Message, Taken, Told, Watcher};
use orrery::control::session::{
    BranchOrder, Command, SeekTo, SessionOrder, SessionView, Sessions, Shows, Standing,
};
use orrery::feeds::simulate::{Simulation, SimulationOptions};
use orrery::models::parameters::Parameters;
use orrery::partition::Partition;
use orrery::world::MarketWorld;
use orrery_journal::event::{Draft, Kind};
use orrery_journal::units::{NANOS_PER_SECOND, RecvTime, Seq};
use orrery_journal::{Calendar, Journal};
use orrery_replay::artifact::{Artifact, Header};
use orrery_replay::derived::Derived;
use orrery_replay::driver::{Threads, fold_range};
use orrery_replay::engine::Engine;
use orrery_replay::session::{Speed, Unit};

/// Half a minute of a simulated session: other strikes after 15 s, a gap after
/// 20 s, and a spot that crosses the flip.
fn drafts() -> Vec<Draft> {
    let options = SimulationOptions {
        seed: 7,
        duration_ns: Some(30 * NANOS_PER_SECOND),
        ticks_per_second: 60,
        chain_every_ns: 10 * NANOS_PER_SECOND,
        topology_change_ns: Some(15 * NANOS_PER_SECOND),
        gap_ns: Some((20 * NANOS_PER_SECOND, 4 * NANOS_PER_SECOND)),
        ..SimulationOptions::default()
    };
    let (mut at, mut drafts) = (options.start, Vec::new());
    let mut simulation = Simulation::new(options);
    for _ in 0..30 {
        at = at.plus_nanos(NANOS_PER_SECOND);
        drafts.extend(simulation.next_batch(at));
    }
    drafts
}

/// The archive of that session, folded once for all tests of this process.
fn archive() -> Arc<Archive> {
    static ARCHIVE: OnceLock<Arc<Archive>> = OnceLock::new();
    let made = ARCHIVE.get_or_init(|| {
        let journal = Journal::in_memory(Calendar::NewYork).expect("memory");
        let writer = journal.writer(|| RecvTime(0)).expect("the first writer");
        let source = writer.define_source(r#"{"feed":"test"}"#).expect("a source");
        let mut drafts = drafts();
        drafts.iter_mut().for_each(|draft| draft.source = source);
        for part in drafts.chunks(500) {
            writer.append(part.to_vec()).expect("open");
        }
        writer.close().expect("committed");
        let world = MarketWorld::new(Parameters::default()).expect("usable");
        let archive = Archive::new(journal, Derived::in_memory(), Arc::new(world), 1);
        archive.catch_up(&mut |_| ControlFlow::Continue(())).expect("folded");
        Arc::new(archive)
    });
    Arc::clone(made)
}

/// A keeper that takes what it needs.
fn keeper(limits: Limits) -> Arc<Keeper> {
    let limits = Limits { share_percent: 100, ..limits };
    Arc::new(Keeper::new(archive(), Parameters::default(), limits, None))
}

/// The whole journal, as fast as possible.
fn whole() -> SessionOrder {
    SessionOrder { from: Some(Edge::Seq(Seq(1))), speed: Speed::Max, ..SessionOrder::default() }
}

/// Waits for something for at most a minute.
fn eventually<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Everything until the session stands at its end, and what was missed.
fn to_the_end(watcher: &mut Watcher) -> (Vec<Arc<Message>>, u64) {
    let (mut all, mut missed) = (Vec::new(), 0);
    eventually("the end of a session", || {
        loop {
            match watcher.take(100) {
                Taken::Messages(found) => all.extend(found),
                Taken::Lagged(n) => missed += n,
                Taken::End => return Some(()),
                Taken::Nothing => {
                    let ended = |m: &Arc<Message>| matches!(&m.told, Told::State(v) if v.standing == Standing::Ended);
                    return all.last().is_some_and(ended).then_some(());
                }
            }
        }
    });
    (all, missed)
}

fn artifacts(messages: &[Arc<Message>]) -> Vec<Artifact> {
    let artifact = |m: &Arc<Message>| match &m.told {
        Told::Artifact(artifact, at) => {
            assert_eq!(at.time, artifact.header.created_at);
            Some(artifact.clone())
        }
        Told::State(_) => None,
    };
    messages.iter().filter_map(artifact).collect()
}

/// Headers by symbol and family, in order.
fn by_family(made: &[Artifact]) -> BTreeMap<(Box<str>, Box<str>), Vec<Header>> {
    let mut families: BTreeMap<_, Vec<Header>> = BTreeMap::new();
    for Artifact { header, .. } in made {
        let name = (header.symbol.clone(), header.family.clone());
        families.entry(name).or_default().push(header.clone());
    }
    families
}

fn recorded() -> BTreeMap<(Box<str>, Box<str>), Vec<Header>> {
    let archive = archive();
    let derived = archive.derived();
    let of = |(symbol, family): (Box<str>, Box<str>)| {
        let headers = derived.headers(&symbol, &family, 1, usize::MAX).expect("readable");
        ((symbol, family), headers)
    };
    archive.families().expect("readable").into_iter().map(of).collect()
}

fn told(keeper: &Keeper, id: &str, command: Command) -> SessionView {
    keeper.command(id, command).unwrap_or_else(|e| panic!("{e}")).0
}

fn step(unit: Unit, count: u32) -> Command {
    Command::Step(unit, count, Shows::default())
}

#[test]
fn what_is_played_or_stepped_is_what_was_recorded_bit_for_bit() {
    let keeper = keeper(Limits::default());
    let played = keeper.create(&whole()).expect("a session").id;
    let mut watcher = keeper.watch(&played, None, true).expect("a watcher");
    told(&keeper, &played, Command::Play);
    let (messages, missed) = to_the_end(&mut watcher);
    assert_eq!(missed, 0, "a watcher that is waited for misses nothing");
    let made = artifacts(&messages);
    assert!(made.len() > 100, "{} artifacts", made.len());
    assert_eq!(by_family(&made), recorded());
    assert!(made.iter().all(|a| a.body.len() as u64 == a.header.body_len));
    let again = keeper.command(&played, Command::Play).expect_err("nothing is left");
    assert!(matches!(again, BackendError::Precondition(_)), "{again}");

    // The same by steps, from the middle on.
    let stepped = keeper.create(&whole()).expect("a session").id;
    let mut watcher = keeper.watch(&stepped, None, true).expect("a watcher");
    let middle = archive().journal().head().seq.0 / 2;
    told(&keeper, &stepped, Command::Seek(SeekTo::Seq(Seq(middle))));
    let units = [Unit::Event, Unit::Timer, Unit::Artifact, Unit::Frame];
    let steps = std::thread::spawn({
        let (keeper, stepped) = (keeper.clone(), stepped.clone());
        move || {
            let mut turns = units.iter().cycle();
            while told(&keeper, &stepped, step(*turns.next().expect("for ever"), 40)).standing
                != Standing::Ended
            {}
        }
    });
    let (messages, missed) = to_the_end(&mut watcher);
    steps.join().expect("stepped to the end");
    let made = by_family(&artifacts(&messages));
    assert_eq!(missed, 0);
    for (name, headers) in recorded() {
        let last = made.get(&name).map_or(0, Vec::len);
        let after = headers.iter().filter(|h| h.seq_last.0 > middle).count();
        assert!(last >= after, "{name:?}: {last} of {after}");
        assert_eq!(made.get(&name).cloned().unwrap_or_default(), headers[headers.len() - last..]);
    }
}

#[test]
fn two_watchers_see_the_same_and_one_that_sleeps_is_told_and_delays_nobody() {
    let keeper = keeper(Limits::default());
    let id = keeper.create(&whole()).expect("a session").id;
    let mut asleep = keeper.watch(&id, Some(0), false).expect("a watcher");
    let mut quick = keeper.watch(&id, Some(0), true).expect("a watcher");
    assert_eq!(keeper.get(&id).expect("there").watchers, 2);
    // Over and over, until more was told than anybody holds.
    let mut all = Vec::new();
    while all.len() < MESSAGES_MAX + 1_000 {
        told(&keeper, &id, Command::Play);
        all.extend(to_the_end(&mut quick).0);
        told(&keeper, &id, Command::Seek(SeekTo::Opening));
    }
    let numbers: Vec<u64> = all.iter().map(|m| m.number).collect();
    assert_eq!(numbers, (1..=all.len() as u64).collect::<Vec<_>>());
    keeper.close(&id).expect("there");
    let (late, missed) = to_the_end(&mut asleep);
    assert!(missed > 1_000, "{missed} were missed");
    let first = usize::try_from(missed).expect("few");
    for (one, other) in late.iter().zip(&all[first..]) {
        assert!(Arc::ptr_eq(one, other), "the same messages in the same order");
    }
    let last = late.last().map(|m| &m.told);
    assert!(matches!(last, Some(Told::State(v)) if v.standing == Standing::Closed));
}

#[test]
fn another_profile_changes_what_depends_on_it_and_nothing_else() {
    let keeper = keeper(Limits::default());
    let origin = keeper.create(&whole()).expect("a session").id;
    told(&keeper, &origin, Command::Seek(SeekTo::NextEpoch));
    told(&keeper, &origin, step(Unit::Artifact, 30));
    let order =
        BranchOrder { profiles: vec!["gex/inverse-oi@1".to_owned()], ..BranchOrder::default() };
    let branch = keeper.branch(&origin, &order).expect("a branch");
    assert_eq!(branch.origin.as_deref(), Some(&*origin));
    assert_ne!(branch.configuration, keeper.get(&origin).expect("there").configuration);
    let play = |id: &str| {
        let mut watcher = keeper.watch(id, None, true).expect("a watcher");
        told(&keeper, id, Command::Play);
        artifacts(&to_the_end(&mut watcher).0)
    };
    let (one, other) = (play(&origin), play(&branch.id));
    let bodies = |made: &[Artifact]| -> BTreeMap<Box<str>, Vec<_>> {
        let mut bodies: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for a in made.iter().filter(|a| &*a.header.symbol == "SPX") {
            let said = (a.header.created_at, a.header.content);
            bodies.entry(a.header.family.clone()).or_default().push(said);
        }
        bodies
    };
    let (one, other) = (bodies(&one), bodies(&other));
    let differing: BTreeSet<&str> =
        one.iter().filter(|(f, said)| other.get(*f) != Some(said)).map(|(f, _)| &**f).collect();
    // What reads gex, and nothing else.
    let readers = ["gex", "bias_lfi", "market_mode", "levels", "context", "selector"];
    assert!(differing.contains("gex") && differing.contains("levels"), "{differing:?}");
    assert!(differing.iter().all(|f| readers.contains(f)), "{differing:?}");
    for family in ["heatmap", "gravity", "spot", "flow"] {
        assert!(one.contains_key(family) && one.get(family) == other.get(family), "{family}");
    }

    // Without quotes nothing is known of them, and the heatmap stands still.
    let view = told(&keeper, &origin, Command::Seek(SeekTo::Opening));
    assert_eq!(view.standing, Standing::Paused);
    told(&keeper, &origin, Command::Seek(SeekTo::NextArtifact(family("heatmap"))));
    let without = EventFilter { kinds: vec![Kind::Quote], tickers: Vec::new() };
    let order = BranchOrder { without, ..BranchOrder::default() };
    let quiet = keeper.branch(&origin, &order).expect("a branch");
    assert_eq!(quiet.standing, Standing::Warming);
    let (all, few) = (bodies(&play(&origin)), bodies(&play(&quiet.id)));
    assert!(few["heatmap"].len() < all["heatmap"].len());
    assert_eq!(few["spot"], all["spot"]);
}

fn family(name: &str) -> Shows {
    Shows { symbols: vec!["SPX".into()], families: vec![name.into()] }
}

/// Where a command of the keeper leads, again and again, until there is nothing
/// more.
fn all_of(keeper: &Keeper, id: &str, to: SeekTo) -> Vec<SessionView> {
    told(keeper, id, Command::Seek(SeekTo::Opening));
    let mut found = Vec::new();
    loop {
        match keeper.command(id, Command::Seek(to.clone())) {
            Ok((view, _)) => found.push(view),
            Err(BackendError::NoneLeft(_)) => return found,
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn seeks_land_where_a_linear_scan_says() {
    let keeper = keeper(Limits::default());
    let order = SessionOrder {
        shows: Shows { symbols: vec!["SPX".into()], families: Vec::new() },
        ..whole()
    };
    let id = keeper.create(&order).expect("a session").id;
    let archive = archive();
    let (journal, head) = (archive.journal(), archive.journal().head());

    // Epochs: as the partition records their promotions.
    let world = MarketWorld::new(Parameters::default()).expect("usable");
    let mut engine = Engine::new(Arc::new(world));
    let go_on = &mut |_| ControlFlow::Continue(());
    fold_range(journal, &mut engine, head.seq, Threads::ONE, go_on).expect("folds");
    let spx = engine.fold_as::<Partition>("SPX").expect("a partition");
    let promoted: Vec<_> = spx.epochs().iter().filter_map(|e| e.promoted).collect();
    let found = all_of(&keeper, &id, SeekTo::NextEpoch);
    assert!(promoted.len() >= 2, "{promoted:?}");
    let at: Vec<_> = found.iter().map(|v| (v.at.seq, v.at.time)).collect();
    assert_eq!(at, promoted.iter().map(|m| (m.seq, m.at)).collect::<Vec<_>>());

    // Gaps: as they stand in the journal.
    let mut gaps = Vec::new();
    for stretch in journal.read(Seq::FIRST, head.seq) {
        let stretch = stretch.expect("undamaged");
        let events = (stretch.first.0..).zip(stretch.events.iter());
        gaps.extend(events.filter(|(_, e)| e.body.kind() == Kind::Gap).map(|(seq, _)| Seq(seq)));
    }
    let found = all_of(&keeper, &id, SeekTo::NextGap);
    assert!(!gaps.is_empty() && found.iter().map(|v| v.at.seq).eq(gaps.iter().copied()));

    // Artifacts and flips: as they were recorded.
    let gex = &recorded()[&("SPX".into(), "gex".into())];
    let moments = |headers: &[&Header]| headers.iter().map(|h| h.created_at).collect::<Vec<_>>();
    let found = all_of(&keeper, &id, SeekTo::NextArtifact(family("gex")));
    let at: Vec<_> = found.iter().map(|v| v.at.time).collect();
    assert_eq!(at, moments(&gex.iter().collect::<Vec<_>>()));
    let mut crossings = Vec::new();
    let mut before = None;
    for header in gex {
        let body = archive.body(header).expect("readable");
        let Some(above) = above_flip(&body) else { continue };
        if before.is_some_and(|b| b != above) {
            crossings.push(header);
        }
        before = Some(above);
    }
    let found = all_of(&keeper, &id, SeekTo::NextFlip);
    let at: Vec<_> = found.iter().map(|v| v.at.time).collect();
    assert!(!crossings.is_empty(), "a market whose spot never crosses its flip tests nothing");
    assert_eq!(at, moments(&crossings));
}

#[test]
fn nobody_keeps_a_session_that_nobody_asks_for() {
    let keeper = keeper(Limits::default());
    let short = SessionOrder { idle: Some(Duration::from_millis(30)), ..whole() };
    let watched = keeper.create(&short).expect("a session").id;
    let watcher = keeper.watch(&watched, Some(0), false).expect("a watcher");
    let mut ending = {
        // Nobody watches this one; its end is still told to whoever watched before.
        let id = keeper.create(&short).expect("a session").id;
        let feed = keeper.watch(&id, Some(0), false).expect("a watcher").feed();
        eventually("an expired session", || keeper.get(&id).is_err().then_some(()));
        feed.watch(Some(0), false).expect("told")
    };
    let (messages, _) = to_the_end(&mut ending);
    let last = messages.last().map(|m| &m.told);
    assert!(matches!(last, Some(Told::State(v)) if v.standing == Standing::Expired), "{last:?}");
    // It outlived many times its idle timeout.
    assert_eq!(keeper.get(&watched).expect("watched").standing, Standing::Paused);
    drop(watcher);
    eventually("the other one", || keeper.get(&watched).is_err().then_some(()));
    assert!(keeper.list().is_empty());
}

#[test]
fn a_server_keeps_so_many_sessions_and_no_more() {
    let keeper = keeper(Limits { sessions: 3, ..Limits::default() });
    let ids: Vec<String> = (0..3).map(|_| keeper.create(&whole()).expect("room").id).collect();
    let full = |refused: BackendError| match refused {
        BackendError::Exhausted { reason, .. } => assert_eq!(reason, "TOO_MANY_SESSIONS"),
        other => panic!("{other}"),
    };
    full(keeper.create(&whole()).expect_err("full"));
    full(keeper.branch(&ids[0], &BranchOrder::default()).expect_err("full"));
    keeper.close(&ids[1]).expect("there");
    assert!(keeper.get(&ids[1]).is_err(), "closed is gone");
    let again = keeper.create(&whole()).expect("room again").id;
    assert_eq!(again, "session-4", "a name is never used twice");
    let left: Vec<String> = keeper.list().into_iter().map(|v| v.id).collect();
    assert_eq!(left, [&*ids[0], &*ids[2], "session-4"]);
    keeper.close_all();
    assert!(keeper.list().is_empty());
    assert!(matches!(keeper.create(&whole()), Err(BackendError::Unavailable(_))));
}
