//! `orrery journal`: the journal itself: its numbers, its events.

pub mod read;
mod tail;

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use orrery_journal::{Calendar, Stat};
use serde::Serialize;

pub use self::read::kind;
use super::exit::Exit;
use super::{Common, open, output};

/// Look at the journal itself.
#[derive(Debug, Args)]
pub struct JournalCommand {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Stat(StatCommand),
    Read(read::Read),
    Tail(tail::Tail),
}

/// Events, pages, frames, blobs, bytes: the journal in numbers.
///
/// Works beside a server, too: it is asked.
///
/// Example: orrery journal stat --json
#[derive(Debug, Args)]
struct StatCommand {
    #[command(flatten)]
    server: open::Server,
}

#[derive(Serialize)]
struct View {
    server: Option<String>,
    events: u64,
    head_seq: u64,
    head_recv: Option<String>,
    watermark_seq: Option<u64>,
    writer_epoch: Option<u64>,
    calendar: &'static str,
    format: u32,
    days: u64,
    pages: u64,
    page_events: u64,
    frames: u64,
    frame_events: u64,
    blobs: u64,
    instruments: u64,
    conditions: u64,
    sources: u64,
    bytes: u64,
    bytes_per_event: Option<f64>,
    parts: BTreeMap<String, u64>,
    disk_free: Option<u64>,
    disk_reserve: u64,
    input_stopped: bool,
    refused: u64,
}

impl View {
    fn new(stat: Stat, server: Option<String>) -> View {
        let events = stat.head.seq.0;
        View {
            server,
            events,
            head_seq: events,
            head_recv: (events > 0).then(|| stat.head.recv.to_rfc3339()),
            watermark_seq: stat.watermark.map(|s| s.0),
            writer_epoch: stat.writer_epoch,
            calendar: match stat.calendar {
                Calendar::NewYork => "new-york",
                Calendar::Utc => "utc",
            },
            format: stat.format,
            days: stat.days,
            pages: stat.pages,
            page_events: stat.page_events,
            frames: stat.frames,
            frame_events: stat.frame_events,
            blobs: stat.blobs,
            instruments: stat.instruments,
            conditions: stat.conditions,
            sources: stat.sources,
            bytes: stat.bytes,
            bytes_per_event: stat.bytes_per_event(),
            parts: stat.parts.into_iter().map(|p| (p.name, p.bytes)).collect(),
            disk_free: stat.guard.room.map(|r| r.free),
            disk_reserve: stat.guard.reserve,
            input_stopped: stat.guard.closed,
            refused: stat.guard.refused,
        }
    }

    fn print(&self) {
        let n = output::grouped;
        let or = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), n);
        let per = self.bytes_per_event.map_or("-".to_owned(), |b| format!("{b:.2}"));
        let mut rows = vec![
            ("events", n(self.events)),
            ("head", format!("{} {}", n(self.head_seq), self.head_recv.as_deref().unwrap_or("-"))),
            ("watermark", or(self.watermark_seq)),
            ("writer epoch", or(self.writer_epoch)),
            ("calendar", self.calendar.to_owned()),
            ("format", self.format.to_string()),
            ("days", n(self.days)),
            ("pages", format!("{} with {} events", n(self.pages), n(self.page_events))),
            ("frames", format!("{} with {} events", n(self.frames), n(self.frame_events))),
            ("blobs", format!("about {}", n(self.blobs))),
            ("instruments", n(self.instruments)),
            ("condition lists", n(self.conditions)),
            ("sources", n(self.sources)),
            ("bytes on disk", format!("{}, {per} an event", n(self.bytes))),
        ];
        let parts: Vec<(String, String)> =
            self.parts.iter().map(|(name, bytes)| (format!("  {name}"), n(*bytes))).collect();
        rows.extend(parts.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())));
        let input = if self.input_stopped { "STOPPED: the disk is nearly full" } else { "taken" };
        rows.push((
            "disk free",
            format!("{}, {} in reserve", or(self.disk_free), n(self.disk_reserve)),
        ));
        rows.push(("input", format!("{input}, {} refused", n(self.refused))));
        for (name, value) in rows {
            output::line(format!("{name:<16} {value}"));
        }
    }
}

pub fn run(common: &Common, command: &JournalCommand) -> anyhow::Result<Exit> {
    match &command.command {
        What::Stat(command) => stat(common, command),
        What::Read(command) => read::run(common, command),
        What::Tail(command) => tail::run(common, command),
    }
}

fn stat(common: &Common, command: &StatCommand) -> anyhow::Result<Exit> {
    let view = match open::reach(common, &command.server)? {
        open::Reach::Here(journal) => View::new(journal.stat()?, None),
        open::Reach::Server(mut client) => {
            let stat = client.stat()?;
            View::new(stat, Some(client.address().to_owned()))
        }
    };
    match common.json {
        true => output::json(&view)?,
        false => view.print(),
    }
    Ok(Exit::Fine)
}
