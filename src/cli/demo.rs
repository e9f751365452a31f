//! `orrery demo`: something to look at, from nothing.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use orrery_journal::event::{Draft, DraftBody, InstrumentRef};
use orrery_journal::units::{NANOS_PER_SECOND, SourceId};
use orrery_replay::compare::Span;
use serde::Serialize;
use serde_json::Value;

use super::exit::Exit;
use super::serve::Listener;
use super::{Common, epochs, open, output, replay, sync};
use crate::app::{self, Feed, Pace, Service};
use crate::backend::Archive;
use crate::clock::{self, Stopwatch};
use crate::feeds::simulate::{Simulation, SimulationOptions};

/// Make a session, journal it, fold it, replay it, print what came out, serve it.
///
/// Needs no server and no other step. The session goes on live while it is
/// served. Its data lies in its own folder below --data; running it again goes
/// on from there.
///
/// Exit code 0: the replay was identical. 1: it was not.
///
/// Example: orrery demo --exit
#[derive(Debug, Args)]
pub struct Demo {
    /// End after the replay instead of serving.
    #[arg(long)]
    exit: bool,
    /// Another seed is another market.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Minutes of the session.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=390))]
    minutes: u16,
    /// Drafts in one append. Changes no byte of the result.
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch: u32,
    #[command(flatten)]
    sync: sync::Sync,
    #[command(flatten)]
    listener: Listener,
}

/// After the session's last event: longer than the slowest cadence, so that
/// whatever is due comes out before the replay.
const CLOSING_NANOS: i64 = 2 * NANOS_PER_SECOND;

pub fn run(common: &Common, command: &Demo) -> anyhow::Result<Exit> {
    let redis = command.listener.buses()?;
    let door = command.listener.door.door(command.listener.listen)?;
    let scheme = command.listener.scheme();
    let mut common = common.clone();
    // Another session needs another journal, so the folder names it.
    let folder = format!("demo-{}-{}m", command.seed, command.minutes);
    common.data.get_or_insert_with(|| PathBuf::from(Common::DATA).join(folder));
    let data = open::or_create(&common, None, command.sync.mode())?;

    let mut simulation = Simulation::new(session(command));
    let descriptor = simulation.descriptor();
    let watch = Stopwatch::start();
    let added = journal_session(command, &data, &mut simulation, &descriptor)?;
    let journaled_s = watch.seconds();

    let world = Arc::clone(&data.world);
    let archive = Arc::new(data.into_archive(common.threads));
    let watch = Stopwatch::start();
    let caught_up = open::catch_up(&archive)?;
    let folded_s = watch.seconds();
    let mut story = Story {
        data: common.data_dir().display().to_string(),
        events: archive.journal().head().seq.0,
        added,
        journaled_s,
        folded_events: caught_up.counts.events,
        folded_s,
        epochs: epochs::views(&archive, None, archive.journal().head().seq)?,
        levels: levels(&archive)?,
        profiles: profiles(&archive)?,
        replays: Vec::new(),
    };
    for day in archive.journal().days()? {
        let watch = Stopwatch::start();
        let span = Span { first: day.first, last: day.last };
        let found = archive.replay(span, None, &mut |_, _| ControlFlow::Continue(()))?;
        story.replays.push(DayReplay {
            day: day.day.to_string(),
            identical: found.identical(),
            artifacts: found.artifacts,
            events: found.events,
            seconds: watch.seconds(),
            difference: found.first_difference().map(ToString::to_string),
        });
    }
    let identical = story.replays.iter().all(|r| r.identical);
    if common.json {
        output::json(&story)?;
    } else {
        story.print();
    }
    if !identical {
        return Ok(Exit::Finding);
    }
    if command.exit {
        return Ok(Exit::Fine);
    }
    let pace = Pace::Session(archive.journal().head().recv);
    let feed = Feed::Simulate { simulation: Box::new(simulation), descriptor, pace };
    let service = Service {
        listen: command.listener.listen,
        door,
        feed: Some(feed),
        redis,
        takeover: command.listener.redis_takeover,
        sets: command.listener.sets(),
        observe: command.listener.observe(),
        scrub: command.listener.scrub_mib_per_second << 20,
        sessions: command.listener.sessions(),
        world,
        origin: None,
    };
    app::run(archive, caught_up.engine, service, |address| {
        output::line(format!("open {scheme}://{address}/ - the session goes on; stop with Ctrl-C"));
    })?;
    Ok(Exit::Fine)
}

/// The session of the command: a change of topology past its middle, a gap in
/// its last quarter.
fn session(command: &Demo) -> SimulationOptions {
    let length = i64::from(command.minutes) * 60 * NANOS_PER_SECOND;
    SimulationOptions {
        seed: command.seed,
        duration_ns: None,
        topology_change_ns: Some(length / 100 * 55),
        gap_ns: Some((length / 100 * 75, 8 * NANOS_PER_SECOND)),
        ..SimulationOptions::default()
    }
}

/// Journals what the journal does not hold yet of the session; returns how many
/// facts that were.
fn journal_session(
    command: &Demo,
    data: &open::Data,
    simulation: &mut Simulation,
    descriptor: &str,
) -> anyhow::Result<u64> {
    let held = data
        .journal
        .sources()?
        .into_iter()
        .find(|s| s.descriptor == descriptor)
        .map_or(0, |s| s.events);
    let writer = data.journal.writer(clock::now)?;
    let source = writer.define_source(descriptor)?;
    let options = session(command);
    let length = i64::from(command.minutes) * 60 * NANOS_PER_SECOND;
    let end = options.start.plus_nanos(length);
    let bar = output::progress(u64::from(command.minutes) * 60, "journaling");
    let (mut at, mut passed, mut added) = (options.start, 0u64, 0u64);
    let mut pending: Vec<Draft> = Vec::new();
    let mut tickets = Vec::new();
    while at < end || passed < held {
        at = at.plus_nanos(NANOS_PER_SECOND);
        bar.inc(1);
        for mut draft in simulation.next_batch(at) {
            passed += 1;
            if passed > held {
                draft.source = source;
                pending.push(draft);
            }
        }
        while pending.len() >= command.batch as usize {
            let rest = pending.split_off(command.batch as usize);
            added += pending.len() as u64;
            tickets.push(writer.append(std::mem::replace(&mut pending, rest))?);
        }
    }
    added += pending.len() as u64;
    if added > 0 {
        pending.push(Draft {
            recv: Some(at.plus_nanos(CLOSING_NANOS)),
            vendor_time: None,
            instrument: InstrumentRef::None,
            source: SourceId::JOURNAL,
            extension: None,
            body: DraftBody::ClockBeat,
        });
        tickets.push(writer.append(pending)?);
    }
    for ticket in tickets {
        ticket.wait()?;
    }
    writer.close()?;
    bar.finish_and_clear();
    Ok(added)
}

/// What came out, for people and machines.
#[derive(Serialize)]
struct Story {
    data: String,
    events: u64,
    added: u64,
    journaled_s: f64,
    folded_events: u64,
    folded_s: f64,
    epochs: Vec<epochs::EpochView>,
    levels: Vec<(String, String)>,
    profiles: Vec<String>,
    replays: Vec<DayReplay>,
}

#[derive(Serialize)]
struct DayReplay {
    day: String,
    identical: bool,
    artifacts: u64,
    events: u64,
    seconds: f64,
    difference: Option<String>,
}

impl Story {
    fn print(&self) {
        let rate = |events: u64, seconds: f64| match events {
            0 => "was there already".to_owned(),
            _ => format!(
                "{:.1} s, {} events/s",
                seconds,
                output::grouped((events as f64 / seconds.max(1e-9)) as u64)
            ),
        };
        output::line(format!(
            "journal   {} events in {} ({})",
            output::grouped(self.events),
            self.data,
            rate(self.added, self.journaled_s)
        ));
        output::line(format!(
            "fold      {} events ({})",
            output::grouped(self.folded_events),
            rate(self.folded_events, self.folded_s)
        ));
        output::line("epochs");
        epochs::print(&self.epochs);
        output::line("levels");
        for (name, value) in &self.levels {
            output::line(format!("  {name:<24} {value}"));
        }
        output::line(format!("profiles  {}", self.profiles.join(", ")));
        for r in &self.replays {
            let line = replay::summary(r.artifacts, r.events, r.seconds, r.difference.as_deref());
            output::line(format!("replay    {}: {line}", r.day));
        }
    }
}

/// Profiles of the newest artifacts.
fn profiles(archive: &Archive) -> anyhow::Result<Vec<String>> {
    let mut names = BTreeSet::new();
    for (symbol, family) in archive.families()? {
        names.extend(archive.derived().latest(&symbol, &family)?.map(|h| h.profile.to_string()));
    }
    Ok(names.into_iter().collect())
}

/// The session's levels, from the newest artifacts of SPX.
fn levels(archive: &Archive) -> anyhow::Result<Vec<(String, String)>> {
    let body = |family: &str| -> anyhow::Result<Value> {
        match archive.derived().latest("SPX", family)? {
            Some(header) => Ok(serde_json::from_slice(&archive.body(&header)?)?),
            None => Ok(Value::Null),
        }
    };
    let (gex, gravity, context) = (body("gex")?, body("gravity")?, body("context")?);
    let said = |value: &Value| match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.len().to_string(),
        Value::Number(n) => n.as_f64().map_or_else(
            || n.to_string(),
            |v| format!("{v:.4}").trim_end_matches('0').trim_end_matches('.').to_owned(),
        ),
        other => other.to_string(),
    };
    let rows = [
        ("spot", &gex["spot"]),
        ("net GEX ($ per 1 %)", &gex["levels"]["net"]),
        ("call wall", &gex["levels"]["call_wall"]),
        ("put wall", &gex["levels"]["put_wall"]),
        ("peak strike", &gex["levels"]["peak"]),
        ("zero-gamma flip", &gex["levels"]["flip"]["nearest"]),
        ("gamma alignment", &context["gamma_alignment"]),
        ("volume nodes", &gravity["structures"]["volume_nodes"]),
        ("volume wells", &gravity["structures"]["volume_wells"]),
        ("crevasses", &gravity["structures"]["crevasses"]),
        ("market memory strength", &gravity["structures"]["market_memory_strength"]),
    ];
    Ok(rows.into_iter().map(|(name, value)| (name.to_owned(), said(value))).collect())
}
