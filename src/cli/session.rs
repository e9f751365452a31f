//! `orrery session`: replay sessions of a running server.

pub mod order;
mod watch;

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use orrery_journal::units::RecvTime;
use orrery_replay::session::{Moment, Speed, Unit, parse_speed};
use serde_json::json;

use self::order::{Changes, Order};
use super::exit::Exit;
use super::journal::read::nanos;
use super::{Common, open, output};
use crate::control::client::session::SessionClient;
use crate::control::events::Edge;
use crate::control::session::{BranchOrder, Command, SeekTo, SessionView, Shows};

/// Replay sessions of a running server: play, pause, step, seek, branch, watch.
///
/// A session ends when it is closed, or 15 minutes after anybody asked for it or
/// watched it last. `orrery play` needs no server.
///
/// Example: orrery session create 2015-12-24 --speed 60 --play
#[derive(Debug, Args)]
pub struct SessionCommand {
    #[command(subcommand)]
    command: What,
    #[command(flatten)]
    server: open::Server,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a session over a day or a range.
    Create(Create),
    /// Make a session that goes on from where another one stands.
    Branch(Branch),
    /// List all sessions.
    List,
    /// Show a session.
    Get(Named),
    /// Let its clock run.
    Play(Named),
    /// Stop its clock.
    Pause(Named),
    /// Go on by events, frames, timers or artifacts.
    Step(Step),
    /// Go to a moment, or on to the next thing of a kind.
    Seek(Seek),
    /// Set speed and gap cap.
    Speed(SetSpeed),
    /// Print what comes out, until the session ends.
    Watch(watch::Watch),
    /// End it.
    Close(Named),
}

/// A session by its name.
#[derive(Debug, Args)]
struct Named {
    /// Its name, such as session-1.
    id: String,
}

#[derive(Debug, Args)]
struct Create {
    #[command(flatten)]
    order: Order,
    /// Play at once.
    #[arg(long)]
    play: bool,
    /// Publish to the server's Redis, under `replay:<session>:`.
    #[arg(long)]
    publish: bool,
    /// How long it lives when nobody asks, such as 1h; a day at most.
    #[arg(long, value_name = "DURATION", value_parser = nanos)]
    idle: Option<i64>,
}

#[derive(Debug, Args)]
struct Branch {
    /// The session to branch off from.
    id: String,
    #[command(flatten)]
    changes: Changes,
    /// Publish to the server's Redis, under `replay:<session>:`.
    #[arg(long)]
    publish: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StepUnit {
    Event,
    Frame,
    Timer,
    Artifact,
}

#[derive(Debug, Args)]
struct Step {
    /// The session.
    id: String,
    /// By what.
    #[arg(value_enum, default_value = "event")]
    unit: StepUnit,
    /// How many.
    #[arg(short = 'n', long, default_value_t = 1, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// Count artifacts of this symbol only.
    #[arg(long, value_name = "SYMBOL")]
    symbol: Option<String>,
    /// Count artifacts of this family only.
    #[arg(long, value_name = "FAMILY")]
    family: Option<String>,
}

#[derive(Debug, Args)]
struct Seek {
    /// The session.
    id: String,
    /// A seq (`seq:1200`, `1200`), a time (RFC 3339), `opening`, `epoch`, `gap`,
    /// `flip`, or `artifact:FAMILY`: the next one of it.
    #[arg(value_parser = target)]
    target: SeekTo,
}

#[derive(Debug, Args)]
struct SetSpeed {
    /// The session.
    id: String,
    /// How fast: 0.1 to 100000 times, or max.
    #[arg(value_parser = parse_speed, required_unless_present = "gap_cap")]
    speed: Option<Speed>,
    /// Longest silence of the market's time to keep, such as 5s; 0s keeps all.
    #[arg(long, value_name = "DURATION", value_parser = nanos)]
    gap_cap: Option<i64>,
}

fn target(text: &str) -> Result<SeekTo, String> {
    if let Some(family) = text.strip_prefix("artifact:") {
        let shows = Shows { families: vec![family.to_owned()], ..Shows::default() };
        return Ok(SeekTo::NextArtifact(shows));
    }
    Ok(match text {
        "opening" => SeekTo::Opening,
        "epoch" => SeekTo::NextEpoch,
        "gap" => SeekTo::NextGap,
        "flip" => SeekTo::NextFlip,
        text => match open::edge(text) {
            Ok(Edge::Seq(seq)) => SeekTo::Seq(seq),
            Ok(Edge::Time(time)) => SeekTo::Time(time),
            Err(_) => {
                return Err("no place; write a seq, a time, opening, epoch, gap, flip or \
                            artifact:FAMILY"
                    .to_owned());
            }
        },
    })
}

pub fn run(common: &Common, command: &SessionCommand) -> anyhow::Result<Exit> {
    let mut client = SessionClient::connect(&command.server.address(common)?)?;
    let tell = |view: &SessionView| print(&[view], common.json);
    let mut done = |id: &str, command: Command| -> anyhow::Result<()> {
        let (view, units) = client.command(id, &command)?;
        if let Command::Step(unit, count, _) = command
            && units < count
        {
            let unit = format!("{unit:?}").to_lowercase();
            output::note(format!("{units} of {count} {unit} steps, then came the end"));
        }
        print(&[&view], common.json)
    };
    match &command.command {
        What::Create(create) => {
            let mut order = create.order.order();
            (order.play, order.publish) = (create.play, create.publish);
            let nanos = create.idle.and_then(|idle| u64::try_from(idle).ok());
            order.idle = nanos.map(Duration::from_nanos);
            tell(&client.create(&order)?)?;
        }
        What::Branch(branch) => {
            let order = BranchOrder {
                profiles: branch.changes.profiles.clone(),
                only: branch.changes.only(),
                without: branch.changes.without(),
                publish: branch.publish,
            };
            tell(&client.branch(&branch.id, &order)?)?;
        }
        What::List => {
            let views = client.list()?;
            print(&views.iter().collect::<Vec<_>>(), common.json)?;
        }
        What::Get(named) => tell(&client.get(&named.id)?)?,
        What::Play(named) => done(&named.id, Command::Play)?,
        What::Pause(named) => done(&named.id, Command::Pause)?,
        What::Step(step) => {
            let unit = match step.unit {
                StepUnit::Event => Unit::Event,
                StepUnit::Frame => Unit::Frame,
                StepUnit::Timer => Unit::Timer,
                StepUnit::Artifact => Unit::Artifact,
            };
            let shows = Shows {
                symbols: step.symbol.iter().cloned().collect(),
                families: step.family.iter().cloned().collect(),
            };
            done(&step.id, Command::Step(unit, step.count, shows))?;
        }
        What::Seek(seek) => done(&seek.id, Command::Seek(seek.target.clone()))?,
        What::Speed(set) => {
            let cap = set.gap_cap.map(|cap| (cap > 0).then_some(cap));
            done(&set.id, Command::Speed(set.speed, cap))?;
        }
        What::Watch(watch) => return watch::run(common, watch, &mut client),
        What::Close(named) => tell(&client.close(&named.id)?)?,
    }
    Ok(Exit::Fine)
}

/// A moment for people; nothing before the first event of all.
fn moment(at: Moment) -> String {
    if at.time == RecvTime(i64::MIN) { "-".to_owned() } else { at.time.to_rfc3339() }
}

fn print(views: &[&SessionView], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        let all: Vec<_> = views.iter().map(|v| document(v)).collect();
        return match all.as_slice() {
            [only] => output::json(only),
            all => output::json(&all),
        };
    }
    let rows: Vec<Vec<String>> = views
        .iter()
        .map(|v| {
            let cap =
                v.gap_cap.map_or_else(|| "-".to_owned(), |ns| format!("{}s", ns as f64 / 1e9));
            vec![
                v.id.clone(),
                v.standing.name().to_owned(),
                format!("{}..{}", v.first, v.last),
                v.at.seq.to_string(),
                moment(v.at),
                v.speed.to_string(),
                cap,
                v.watchers.to_string(),
                if v.profiles.is_empty() { "-".to_owned() } else { v.profiles.join(",") },
                v.origin.clone().unwrap_or_else(|| "-".to_owned()),
            ]
        })
        .collect();
    let head = [
        "session", "state", "events", "at seq", "at time", "speed", "gap cap", "watchers",
        "profiles", "origin",
    ];
    output::table(&head, &rows);
    for why in views.iter().filter_map(|v| match &v.standing {
        crate::control::session::Standing::Failed(why) => Some(why),
        _ => None,
    }) {
        output::note(why);
    }
    Ok(())
}

/// A session for machines.
fn document(view: &SessionView) -> serde_json::Value {
    json!({
        "session": view.id,
        "state": view.standing.name(),
        "first": view.first.0,
        "last": view.last.0,
        "seq": view.at.seq.0,
        "time": (view.at.time > RecvTime(i64::MIN)).then(|| view.at.time.to_rfc3339()),
        "speed": view.speed.factor(),
        "gap_cap_ns": view.gap_cap,
        "symbols": view.shows.symbols,
        "families": view.shows.families,
        "profiles": view.profiles,
        "configuration": view.configuration.to_string(),
        "origin": view.origin,
        "publish_prefix": view.prefix,
        "watchers": view.watchers,
        "last_number": view.last_number,
        "folded_events": view.folded,
        "idle_seconds": view.idle.as_secs_f64(),
    })
}
