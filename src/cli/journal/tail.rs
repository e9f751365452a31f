//! `orrery journal tail`: the last events, and those that come.

use std::ops::ControlFlow;
use std::time::Duration;

use clap::Args;
use orrery_journal::units::Seq;

use super::read::{Form, Printer, Wanted};
use crate::backend::reading;
use crate::cli::exit::Exit;
use crate::cli::{Common, open, output};
use crate::control::events::{Start, Tailed};

/// How often a quiet server is to say that it is there.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Print the last events and, beside a server, those that become durable.
///
/// Ends with Ctrl-C, after --count events, or with the server. Where no server
/// holds the data directory nothing can come: then it ends after the last
/// event. `--json` prints one object a line.
///
/// Example: orrery journal tail --connect 127.0.0.1:8417 --kind chain_snapshot,gap
#[derive(Debug, Args)]
pub struct Tail {
    /// Begin with the last so many wanted events.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(..=10_000))]
    last: u32,
    /// Begin with this event instead; it may lie in the future.
    #[arg(long, value_name = "SEQ", conflicts_with = "last",
          value_parser = clap::value_parser!(u64).range(1..))]
    from: Option<u64>,
    /// End after so many events.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    wanted: Wanted,
    #[command(flatten)]
    server: open::Server,
}

pub fn run(common: &Common, command: &Tail) -> anyhow::Result<Exit> {
    let start = match command.from {
        Some(seq) => Start::At(Seq(seq)),
        None => Start::Last(command.last as usize),
    };
    let filter = command.wanted.filter();
    let reach = open::reach(common, &command.server)?;
    let mut printer = Printer::new(if common.json { Form::Lines } else { Form::Text });
    let mut each = |tailed: Tailed<'_>| {
        let Tailed::Events(found) = tailed else { return ControlFlow::Continue(()) };
        let left = command.count.map_or(u64::MAX, |count| count - printer.printed());
        let found = found.get(..usize::try_from(left).unwrap_or(usize::MAX)).unwrap_or(found);
        printer.print(found)?;
        match command.count {
            Some(count) if printer.printed() >= count => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    };
    match reach {
        open::Reach::Server(mut client) => client.tail(&filter, start, HEARTBEAT, &mut each)?,
        open::Reach::Here(journal) => {
            // This process holds the lock, so nobody writes: behind the last
            // event nothing comes.
            let head = journal.head().seq;
            let go_on = &mut || ControlFlow::Continue(());
            reading::tail(&journal, &filter, start, Duration::ZERO, go_on, &mut |tailed| {
                match tailed {
                    Tailed::Quiet(next) if next > head => ControlFlow::Break(()),
                    tailed => each(tailed),
                }
            })?;
            output::note("no server writes to this journal, so nothing follows");
        }
    }
    Ok(Exit::Fine)
}
