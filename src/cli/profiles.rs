//! `orrery profiles`: which definitions are in force, which run beside them, how
//! much they disagree, and which come into force.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use orrery_journal::units::{RecvTime, Seq, TradingDay};
use serde_json::{Value, json};

use super::exit::Exit;
use super::{Common, open, output};
use crate::backend::Archive;
use crate::control::AsOf;
use crate::control::client::Client;
use crate::control::events::Edge;
use crate::control::profiles::{
    Apart, Definitions, Disagreement, Order, Profiles, Reported, Shadow, Standing,
};
use crate::world::roster::SHADOWS_MAX;

/// Which definitions are in force, and what others would say.
///
/// Works on the data directory, or asks the server that has it.
#[derive(Debug, Args)]
pub struct ProfilesCommand {
    #[command(flatten)]
    server: open::Server,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(List),
    /// Run other definitions beside those in force, without any effect.
    #[command(subcommand)]
    Shadow(ShadowCommand),
    Report(Report),
    Promote(Promote),
    Rollback(Rollback),
}

/// List what is in force and what runs beside it.
///
/// Example: orrery profiles list
#[derive(Debug, Args)]
struct List {
    /// As it stood at a seq (`seq:1200`) or a time (RFC 3339).
    #[arg(long)]
    at: Option<String>,
}

#[derive(Debug, Subcommand)]
enum ShadowCommand {
    Add(Add),
    Remove(Remove),
}

/// Begin a shadow: other definitions over the same events, from here on.
///
/// It makes artifacts of its own (`gex+NAME.SEQ`) that reach no Redis, page,
/// stream or shelf, and changes no byte of those in force. Models that read the
/// book say the whole at once; those that add up (volume profiles, flow) begin
/// with what comes.
///
/// Example: orrery profiles shadow add calm --profile gex/inverse-oi@1
#[derive(Debug, Args)]
struct Add {
    /// Its name: a to z, 0 to 9 and -.
    name: String,
    /// A profile, such as gex/inverse-oi@1; may be given several times, for
    /// different models.
    #[arg(long, value_name = "PROFILE")]
    profile: Vec<String>,
    /// A parameter, such as gex.flip.step=0.001; may be given several times.
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    when: When,
}

/// End a shadow; what it has said stays on record.
///
/// Example: orrery profiles shadow remove calm
#[derive(Debug, Args)]
struct Remove {
    /// Its name.
    name: String,
    #[command(flatten)]
    when: When,
}

/// Say how much shadows disagree with what was in force on a day: the share of
/// instants that differ by family, and how far levels lie apart.
///
/// Exit code 0: nowhere. 1: somewhere.
///
/// Example: orrery profiles report 2026-08-19
#[derive(Debug, Args)]
struct Report {
    /// Trading day, YYYY-MM-DD; the newest without it.
    day: Option<String>,
    /// Only this shadow.
    #[arg(long)]
    name: Option<String>,
}

/// Put a shadow in force, for all models of all symbols at one event.
///
/// What was in force runs on as the shadow `previous`. The event is journaled:
/// replay and live change at the same place, and nothing is done twice.
///
/// Example: orrery profiles promote calm
#[derive(Debug, Args)]
struct Promote {
    /// Its name.
    name: String,
    #[command(flatten)]
    when: When,
}

/// Put back what was in force before the last promotion.
///
/// Example: orrery profiles rollback
#[derive(Debug, Args)]
struct Rollback {
    #[command(flatten)]
    when: When,
}

#[derive(Debug, Args)]
struct When {
    /// The time of the event (RFC 3339), not before the last one. Default: now.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

/// Who answers: the data directory, or the server that has it.
enum Asked {
    Here(Box<Archive>),
    Server(Box<Client>),
}

impl Asked {
    fn standing(&self, at: Option<&str>) -> anyhow::Result<Standing> {
        match self {
            Asked::Here(archive) => {
                let seq = open::moment(archive.journal(), at)?;
                Ok(Profiles::standing(&**archive, AsOf::Seq(seq))?)
            }
            Asked::Server(client) => {
                let as_of = match at.map(open::edge).transpose().map_err(anyhow::Error::msg)? {
                    None => AsOf::Head,
                    Some(Edge::Seq(seq)) => AsOf::Seq(seq),
                    Some(Edge::Time(time)) => AsOf::Time(time),
                };
                Ok(client.standing(as_of)?)
            }
        }
    }

    fn order(&self, order: Order, at: Option<RecvTime>) -> anyhow::Result<Seq> {
        match self {
            Asked::Here(archive) => {
                let seq = archive.order_at(&order, at)?;
                archive.put_pen_down()?;
                open::catch_up(archive)?;
                Ok(seq)
            }
            Asked::Server(_) if at.is_some() => {
                bail!("a server journals at its own time; leave --at out")
            }
            Asked::Server(client) => Ok(client.order(order)?),
        }
    }

    /// The report of a day; of the newest one when nothing is said.
    fn report(&self, day: Option<&str>, name: &str) -> anyhow::Result<(TradingDay, Vec<Reported>)> {
        let asked = day.map(|text| {
            TradingDay::parse(text)
                .with_context(|| format!("`{text}` is no date; write YYYY-MM-DD"))
        });
        let asked = asked.transpose()?;
        match self {
            Asked::Here(archive) => {
                let days = archive.journal().days()?;
                let newest = days.iter().rfind(|day| !day.dropped).map(|day| day.day);
                let day = asked.or(newest).context("the journal is empty")?;
                Ok((day, Profiles::report(&**archive, day, name)?))
            }
            Asked::Server(client) => {
                let day = asked.context("name the day when a server is asked")?;
                Ok((day, client.report(day, name)?))
            }
        }
    }
}

fn asked(common: &Common, server: &open::Server) -> anyhow::Result<Asked> {
    match open::reach(common, server)? {
        open::Reach::Server(client) => Ok(Asked::Server(client)),
        open::Reach::Here(journal) => {
            let archive = open::with(common, journal)?.into_archive(common.threads);
            open::catch_up(&archive)?;
            Ok(Asked::Here(Box::new(archive)))
        }
    }
}

/// Runs the command.
///
/// # Errors
/// When the data does not open, or what is asked cannot be done.
pub fn run(common: &Common, command: &ProfilesCommand) -> anyhow::Result<Exit> {
    let asked = asked(common, &command.server)?;
    let order = |order: Order, when: &When| {
        let at = when.at.as_deref().map(|text| {
            RecvTime::parse_rfc3339(text).with_context(|| {
                format!("`{text}` is no time; write it as in 2015-12-24T15:30:00Z")
            })
        });
        let seq = asked.order(order, at.transpose()?)?;
        if common.json {
            output::json(&json!({ "seq": seq.0 }))?;
        } else {
            output::line(format!("journaled as event {seq}"));
        }
        Ok(Exit::Fine)
    };
    match &command.command {
        Command::List(list) => run_list(common, &asked.standing(list.at.as_deref())?),
        Command::Report(report) => {
            let name = report.name.as_deref().unwrap_or_default();
            let (day, shadows) = asked.report(report.day.as_deref(), name)?;
            run_report(common, day, &shadows)
        }
        Command::Shadow(ShadowCommand::Add(add)) => {
            let (name, profiles) = (add.name.clone(), add.profile.clone());
            order(Order::Add { name, profiles, settings: add.set.clone() }, &add.when)
        }
        Command::Shadow(ShadowCommand::Remove(remove)) => {
            order(Order::Remove(remove.name.clone()), &remove.when)
        }
        Command::Promote(promote) => order(Order::Promote(promote.name.clone()), &promote.when),
        Command::Rollback(rollback) => order(Order::Rollback, &rollback.when),
    }
}

fn run_list(common: &Common, standing: &Standing) -> anyhow::Result<Exit> {
    let Standing { moment, in_force, shadows } = standing;
    if common.json {
        let view = |d: &Definitions| {
            let settings: BTreeMap<&str, Value> = d
                .settings
                .iter()
                .map(|(k, v)| (k.as_str(), serde_json::from_str(v).unwrap_or(Value::Null)))
                .collect();
            json!({ "profiles": d.profiles, "settings": settings, "since": d.since.map(|s| s.0) })
        };
        let shadow = |s: &Shadow| {
            let mut shown = view(&s.definitions);
            (shown["name"], shown["tag"]) = (json!(s.name), json!(s.tag));
            shown
        };
        output::json(&json!({ "seq": moment.seq.0, "in_force": view(in_force),
                              "shadows": shadows.iter().map(shadow).collect::<Vec<_>>() }))?;
        return Ok(Exit::Fine);
    }
    let row = |name: &str, d: &Definitions| {
        let settings = d.settings.iter().map(|(path, value)| format!("{path}={value}"));
        vec![
            name.to_owned(),
            d.since.map_or_else(|| "the first".to_owned(), |seq| seq.to_string()),
            d.profiles.join(" "),
            settings.collect::<Vec<_>>().join(" "),
        ]
    };
    let mut rows = vec![row("(in force)", in_force)];
    rows.extend(shadows.iter().map(|s| row(&s.name, &s.definitions)));
    output::table(&["name", "since event", "profiles", "differs from the beginning"], &rows);
    output::line(format!("{} of {SHADOWS_MAX} shadows", shadows.len()));
    Ok(Exit::Fine)
}

fn run_report(common: &Common, day: TradingDay, shadows: &[Reported]) -> anyhow::Result<Exit> {
    if common.json {
        let level = |l: &Apart| json!({ "path": l.path, "times": l.times, "largest": l.largest, "mean": l.mean });
        let family = |f: &Disagreement| {
            json!({ "symbol": f.symbol, "family": f.family, "in_force": f.in_force,
                    "shadow": f.shadow, "instants": f.instants, "differing": f.differing,
                    "share": f.share(), "levels": f.levels.iter().map(level).collect::<Vec<_>>() })
        };
        let shadow = |s: &Reported| json!({ "shadow": s.tag, "families": s.families.iter().map(family).collect::<Vec<_>>() });
        let all: Vec<Value> = shadows.iter().map(shadow).collect();
        output::json(&json!({ "day": day.to_string(), "shadows": all }))?;
    } else if shadows.is_empty() {
        output::line(format!("no shadow ran on {day}"));
    } else {
        shadows.iter().for_each(|shadow| print(day, shadow));
    }
    let differs = shadows.iter().flat_map(|s| &s.families).any(|f| f.differing > 0);
    Ok(if differs { Exit::Finding } else { Exit::Fine })
}

fn print(day: TradingDay, shadow: &Reported) {
    output::line(format!("{} on {day}, beside what was in force", shadow.tag));
    let number = |v: Option<f64>| v.map_or_else(|| "-".to_owned(), |x| format!("{x:.4}"));
    let percent = |n: u64, of: u64| format!("{:.2} %", n as f64 / of.max(1) as f64 * 100.0);
    let mut rows = Vec::new();
    for f in &shadow.families {
        rows.push(vec![
            f.symbol.clone(),
            f.family.clone(),
            output::grouped(f.in_force),
            output::grouped(f.shadow),
            percent(f.differing, f.instants),
            String::new(),
            String::new(),
        ]);
        rows.extend(f.levels.iter().map(|l| {
            let mut row =
                vec![String::new(), format!("  {}", l.path), String::new(), String::new()];
            row.extend([percent(l.times, f.instants), number(l.largest), number(l.mean)]);
            row
        }));
    }
    let head =
        ["symbol", "family", "in force", "shadow", "differ", "largest change", "mean change"];
    output::table(&head, &rows);
}
