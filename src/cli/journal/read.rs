//! `orrery journal read`: events of a range, as text or JSON.

use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;

use clap::Args;
use orrery_journal::event::Kind;
use orrery_journal::units::TradingDay;
use serde::Serialize;

use crate::backend::reading;
use crate::cli::exit::Exit;
use crate::cli::{Common, open, output, show};
use crate::control::events::{Edge, EventFilter, EventRange, Found, ReadDone};

/// Print events, in their order: a day, a range, some kinds, some tickers.
///
/// Everything is checked against its address on the way. Pages whose summary
/// says that nothing wanted is in them are not read; how many is told at the
/// end. Works beside a server, too: it is asked.
///
/// Example: orrery journal read --day 2015-12-24 --kind trade,bar --ticker GOOG
#[derive(Debug, Args)]
pub struct Read {
    /// Only this trading day, YYYY-MM-DD.
    #[arg(long, value_parser = day)]
    day: Option<TradingDay>,
    /// From here on: a seq (`seq:1200`, `1200`) or a time (RFC 3339).
    #[arg(long, value_name = "MOMENT", value_parser = open::edge)]
    from: Option<Edge>,
    /// Up to here, included: a seq or a time.
    #[arg(long, value_name = "MOMENT", value_parser = open::edge)]
    to: Option<Edge>,
    /// Only what was taken this long before the last event, or later: 90s, 10m,
    /// 2h, 1d.
    #[arg(long, value_name = "DURATION", value_parser = nanos)]
    since: Option<i64>,
    #[command(flatten)]
    wanted: Wanted,
    /// At most so many events.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    #[command(flatten)]
    server: open::Server,
}

/// Which events.
#[derive(Clone, Debug, Args)]
pub struct Wanted {
    /// Only these kinds, such as `quote,trade`.
    #[arg(long = "kind", value_name = "KIND", value_delimiter = ',', value_parser = kind)]
    kinds: Vec<Kind>,
    /// Only events about these tickers, such as `GOOG,O:SPXW260819C07600000`.
    #[arg(long = "ticker", value_name = "TICKER", value_delimiter = ',')]
    tickers: Vec<String>,
}

impl Wanted {
    /// The filter.
    pub fn filter(&self) -> EventFilter {
        EventFilter { kinds: self.kinds.clone(), tickers: self.tickers.clone() }
    }
}

/// A date, as an option's value.
pub fn day(text: &str) -> Result<TradingDay, String> {
    TradingDay::parse(text).ok_or_else(|| "no date; write YYYY-MM-DD".to_owned())
}

/// A kind of event by its name.
///
/// # Errors
/// When there is none; the error lists them.
pub fn kind(text: &str) -> Result<Kind, String> {
    Kind::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
        let known: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        format!("no kind; there are {}", known.join(", "))
    })
}

/// `250ms`, `90s`, `10m`, `2h`, `1d` in nanoseconds.
pub fn nanos(text: &str) -> Result<i64, String> {
    let (number, unit) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("no duration; write 250ms, 90s, 10m, 2h or 1d".to_owned()),
    };
    let nanos = number.parse::<i64>().ok().and_then(|n| n.checked_mul(millis * 1_000_000));
    nanos.ok_or_else(|| "no duration that fits".to_owned())
}

#[derive(Serialize)]
struct Account {
    server: Option<String>,
    from: u64,
    to: u64,
    count: u64,
    pages_read: u64,
    pages_skipped: u64,
    frames_read: u64,
    next: Option<u64>,
}

pub fn run(common: &Common, command: &Read) -> anyhow::Result<Exit> {
    let range = EventRange {
        day: command.day,
        from: command.from.into_iter().collect(),
        to: command.to.into_iter().collect(),
        since: command.since,
        filter: command.wanted.filter(),
        limit: command.limit,
    };
    let reach = open::reach(common, &command.server)?;
    let mut printer = Printer::new(if common.json { Form::Document } else { Form::Text });
    let mut each = |found: &[Found]| printer.print(found);
    let (done, server) = match reach {
        open::Reach::Here(journal) => (Some(reading::read(&journal, &range, &mut each)?), None),
        open::Reach::Server(mut client) => {
            (client.read(&range, &mut each)?, Some(client.address().to_owned()))
        }
    };
    let Some(ReadDone { from, to, events, pages_read, pages_skipped, frames_read, next }) = done
    else {
        return Ok(Exit::Fine);
    };
    let next = next.map(|seq| seq.0);
    let (from, to, count) = (from.0, to.0, events);
    let account = Account { server, from, to, count, pages_read, pages_skipped, frames_read, next };
    printer.end(&account)?;
    if !common.json {
        let n = output::grouped;
        let more = next.map_or(String::new(), |seq| format!("; more from seq:{seq} on"));
        output::note(format!(
            "{} events; {} pages read, {} skipped by their summary, {} frames read{more}",
            n(count),
            n(pages_read),
            n(pages_skipped),
            n(frames_read),
        ));
    }
    Ok(Exit::Fine)
}

/// How events are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A line for people.
    Text,
    /// A JSON object a line.
    Lines,
    /// One JSON document with all of them.
    Document,
}

/// Writes events to standard output while they come.
pub struct Printer {
    out: BufWriter<io::Stdout>,
    form: Form,
    printed: u64,
}

impl Printer {
    /// Writes nothing yet.
    pub fn new(form: Form) -> Printer {
        Printer { out: BufWriter::new(io::stdout()), form, printed: 0 }
    }

    /// Events so far.
    pub fn printed(&self) -> u64 {
        self.printed
    }

    /// Writes events; a reader that went away (`| head`) wants no more.
    pub fn print(&mut self, found: &[Found]) -> ControlFlow<()> {
        match found.iter().try_for_each(|found| self.one(found)).and_then(|()| self.out.flush()) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }

    fn one(&mut self, found: &Found) -> io::Result<()> {
        let fields = show::fields(&found.at, found.ticker.as_deref());
        self.printed += 1;
        match self.form {
            Form::Text => writeln!(self.out, "{fields}"),
            Form::Lines => {
                serde_json::to_writer(&mut self.out, &fields)?;
                writeln!(self.out)
            }
            Form::Document => {
                let before: &[u8] = if self.printed == 1 { b"{\"events\":[\n" } else { b",\n" };
                self.out.write_all(before)?;
                Ok(serde_json::to_writer(&mut self.out, &fields)?)
            }
        }
    }

    /// Closes the document with an account of what was read.
    fn end(&mut self, account: &Account) -> anyhow::Result<()> {
        if self.form == Form::Document {
            let text = serde_json::to_string(account)?;
            let before = if self.printed == 0 { "{\"events\":[" } else { "" };
            // The account's own fields stand beside the events.
            let _ = writeln!(self.out, "{before}\n],{}", text.trim_start_matches('{'));
        }
        let _ = self.out.flush();
        Ok(())
    }
}
