//! `orrery seal` and `orrery certificate`: what a trading day comes down to,
//! signed, and held against what the journal says now.

use std::ops::ControlFlow;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use orrery_journal::event::{Draft, DraftBody, InstrumentRef};
use orrery_journal::units::TradingDay;
use orrery_replay::certificate::facts::FactsError;
use orrery_replay::certificate::text::FieldDifference;
use serde::Serialize;

use super::exit::Exit;
use super::{Common, open, output};
use crate::backend::sealing::SealingError;
use crate::backend::{Archive, sealing};
use crate::clock;
use crate::control::certificate::{Kept, Sealed, Verified};
use crate::control::proving::WantedCertificate;

/// Certify a trading day: sign its events, states and artifacts.
///
/// Every event of the day is read and every header checked first. A certified
/// day keeps its certificate, byte for byte; it lies in `proof/days` of the data
/// directory and outlives derived data and dropped events. A server certifies
/// the days that end while it runs. Works beside a server, too: it is asked.
///
/// Example: orrery seal 2015-12-24 --close
#[derive(Debug, Args)]
pub struct Seal {
    /// Trading day, YYYY-MM-DD. It must be over: the next one has begun.
    day: String,
    /// End the newest day first, if the calendar has ended it: journal that the
    /// next day began. Nothing older can be imported then.
    #[arg(long)]
    close: bool,
    /// Certify it once more, under the next number, because other definitions
    /// make other artifacts of it now.
    #[arg(long)]
    again: bool,
    /// Name of the log and its key, such as example.com/orrery; only the first
    /// use can choose it.
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
    #[command(flatten)]
    server: open::Server,
}

/// Print a day's certificate, or list all; or find everything that it states
/// anew and say what differs.
///
/// Exit code 0: it is there, or it holds. 1: something differs.
///
/// Example: orrery certificate 2015-12-24 --verify
#[derive(Debug, Args)]
pub struct Certificate {
    /// Trading day, YYYY-MM-DD; without it all certificates are listed.
    day: Option<String>,
    /// This one of the day's certificates; the newest without it.
    #[arg(long, value_name = "N", requires = "day", value_parser = clap::value_parser!(u32).range(1..))]
    number: Option<u32>,
    /// Fold the day again from its opening state and compare every line.
    #[arg(long, requires = "day")]
    verify: bool,
    /// With --verify: fold everything from the first event on.
    #[arg(long, requires = "verify")]
    from_scratch: bool,
    #[command(flatten)]
    server: open::Server,
}

#[derive(Serialize)]
struct View {
    day: String,
    number: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    made: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    holds: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    differences: Option<Vec<Difference>>,
    note: String,
}

#[derive(Serialize)]
struct Difference {
    field: String,
    certified: String,
    found: String,
}

impl From<Kept> for View {
    fn from(kept: Kept) -> View {
        let Kept { id, note } = kept;
        let (day, number) = (id.day.to_string(), id.number);
        View { day, number, made: None, holds: None, differences: None, note }
    }
}

fn parse(text: &str) -> anyhow::Result<TradingDay> {
    TradingDay::parse(text).with_context(|| format!("`{text}` is no date; write YYYY-MM-DD"))
}

pub fn seal(common: &Common, command: &Seal) -> anyhow::Result<Exit> {
    let day = parse(&command.day)?;
    let origin = command.origin.as_deref();
    let Sealed { kept, made } = match open::reach(common, &command.server)? {
        open::Reach::Here(journal) => {
            let data = open::with(common, journal)?;
            if command.close {
                close(&data, day)?;
            }
            let archive = data.into_archive(common.threads);
            open::catch_up(&archive)?;
            here(&archive, day, command.again, origin)?
        }
        open::Reach::Server(_) if command.close && origin.is_some() => {
            bail!("a server has named its log when it started; leave --origin out")
        }
        open::Reach::Server(client) if command.close => client.seal_closing(day, command.again)?,
        open::Reach::Server(mut client) => client.seal(day, command.again, origin)?,
    };
    if common.json {
        output::json(&View { made: Some(made), ..kept.into() })?;
    } else {
        let what = if made { "certified" } else { "was certified already" };
        output::line(format!("{day} {what}: number {}", kept.id.number));
        output::line(kept.note.trim_end());
    }
    Ok(Exit::Fine)
}

fn here(
    archive: &Archive,
    day: TradingDay,
    again: bool,
    origin: Option<&str>,
) -> anyhow::Result<Sealed> {
    let bar = output::progress(archive.journal().head().seq.0, "certifying");
    let sealed = sealing::seal(archive, day, again, origin, &mut |at| {
        bar.set_position(at.seq.0);
        ControlFlow::Continue(())
    });
    bar.finish_and_clear();
    match sealed {
        Err(error @ SealingError::Facts(FactsError::Open { .. })) if is_over(archive, day)? => {
            Err(anyhow!(error).context(format!("`orrery seal {day} --close` ends the day first")))
        }
        sealed => Ok(sealed?),
    }
}

/// Whether the calendar has ended the day.
fn is_over(archive: &Archive, day: TradingDay) -> anyhow::Result<bool> {
    let journal = archive.journal();
    let days = journal.days()?;
    let newest = days.last().filter(|last| last.day == day);
    Ok(newest.is_some_and(|last| sealing::end_of(journal, day, last.last_recv) <= clock::now()))
}

/// Journals that the next day has begun, if a day is the newest and over.
fn close(data: &open::Data, day: TradingDay) -> anyhow::Result<()> {
    let journal = &data.journal;
    let days = journal.days()?;
    let Some(last) = days.last().filter(|last| last.day == day && !last.sealed) else {
        return Ok(());
    };
    let end = sealing::end_of(journal, day, last.last_recv);
    if clock::now() < end {
        bail!("{day} is not over before {end}; nothing was journaled");
    }
    let writer = journal.writer(clock::now)?;
    let source = writer.define_source(r#"{"feed":"command-line"}"#)?;
    let beat = Draft {
        recv: Some(end),
        vendor_time: None,
        instrument: InstrumentRef::None,
        source,
        extension: None,
        body: DraftBody::ClockBeat,
    };
    writer.append(vec![beat])?.wait()?;
    writer.close()?;
    Ok(())
}

pub fn certificate(common: &Common, command: &Certificate) -> anyhow::Result<Exit> {
    let Some(day) = &command.day else { return list(common, &command.server) };
    let wanted = WantedCertificate { day: parse(day)?, number: command.number };
    if command.verify {
        return verify(common, command, wanted);
    }
    // Reading a file needs no journal, so no server is in the way.
    let kept = match &command.server.is_named() {
        true => match open::reach(common, &command.server)? {
            open::Reach::Server(mut client) => client.certificate(wanted)?,
            open::Reach::Here(_) => sealing::find(common.data_dir(), wanted)?,
        },
        false => sealing::find(common.data_dir(), wanted)?,
    };
    if common.json {
        output::json(&View::from(kept))?;
    } else {
        output::line(kept.note.trim_end());
    }
    Ok(Exit::Fine)
}

fn list(common: &Common, server: &open::Server) -> anyhow::Result<Exit> {
    let all = match server.is_named() {
        true => match open::reach(common, server)? {
            open::Reach::Server(mut client) => client.certificates()?,
            open::Reach::Here(_) => sealing::all(common.data_dir())?,
        },
        false => sealing::all(common.data_dir())?,
    };
    if common.json {
        output::json(&all.into_iter().map(View::from).collect::<Vec<_>>())?;
        return Ok(Exit::Fine);
    }
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|kept| {
            let said = |name: &str| {
                let line = kept.note.lines().find_map(|line| line.strip_prefix(name));
                line.unwrap_or("-").trim().to_owned()
            };
            let short = |text: String| text.chars().take(12).collect::<String>();
            let artifacts = said("artifacts ");
            let (count, root) = artifacts.split_once(' ').unwrap_or((&artifacts, "-"));
            vec![
                kept.id.day.to_string(),
                kept.id.number.to_string(),
                said("events "),
                count.to_owned(),
                short(root.to_owned()),
                short(said("configuration ")),
                said("binary "),
            ]
        })
        .collect();
    let names = ["day", "number", "events", "artifacts", "root", "configuration", "binary"];
    output::table(&names, &rows);
    Ok(Exit::Fine)
}

fn verify(
    common: &Common,
    command: &Certificate,
    wanted: WantedCertificate,
) -> anyhow::Result<Exit> {
    let found = match open::reach(common, &command.server)? {
        open::Reach::Here(journal) => {
            let archive = open::with(common, journal)?.into_archive(common.threads);
            open::catch_up(&archive)?;
            let bar = output::progress(archive.journal().head().seq.0, "folding");
            let found = sealing::verify(&archive, wanted, command.from_scratch, &mut |at| {
                bar.set_position(at.seq.0);
                ControlFlow::Continue(())
            });
            bar.finish_and_clear();
            found?
        }
        open::Reach::Server(mut client) => {
            client.verify_certificate(wanted, command.from_scratch)?
        }
    };
    let Verified { kept, differences } = found;
    let holds = differences.is_empty();
    if common.json {
        let of = |d: FieldDifference| Difference {
            field: d.field,
            certified: d.certified,
            found: d.found,
        };
        let differences = Some(differences.into_iter().map(of).collect());
        output::json(&View { holds: Some(holds), differences, ..kept.into() })?;
    } else {
        for FieldDifference { field, certified, found } in &differences {
            let told =
                |text: &str| if text.is_empty() { "nothing".to_owned() } else { text.to_owned() };
            let (certified, found) = (told(certified), told(found));
            output::line(format!("{field}: certified {certified}, found {found}"));
        }
        let id = kept.id;
        output::line(match holds {
            true => format!("HOLDS: certificate {id}, every line found again"),
            false => format!("DIFFERENT: certificate {id}, in {} lines", differences.len()),
        });
    }
    Ok(if holds { Exit::Fine } else { Exit::Finding })
}
