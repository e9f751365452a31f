//! What a session is made of, on the command line.

use clap::Args;
use orrery_journal::event::Kind;
use orrery_journal::units::TradingDay;
use orrery_replay::artifact::Artifact;
use orrery_replay::session::{Moment, Speed, parse_speed};
use serde_json::{Value, json};

use crate::cli::journal::read::{Wanted, day, kind, nanos};
use crate::cli::{open, output};
use crate::control::events::{Edge, EventFilter};
use crate::control::session::{SessionOrder, Shows};

/// A range, and how to go through it.
#[derive(Clone, Debug, Args)]
pub struct Order {
    /// The trading day, YYYY-MM-DD; --from and --to name any other range.
    #[arg(value_parser = day, required_unless_present_any = ["from", "to"])]
    day: Option<TradingDay>,
    /// From here on: a seq (`seq:1200`, `1200`) or a time (RFC 3339).
    #[arg(long, value_name = "MOMENT", value_parser = open::edge)]
    from: Option<Edge>,
    /// Up to here, included: a seq or a time.
    #[arg(long, value_name = "MOMENT", value_parser = open::edge)]
    to: Option<Edge>,
    #[command(flatten)]
    shows: Told,
    #[command(flatten)]
    changes: Changes,
    /// How fast: 0.1 to 100000 times, or max.
    #[arg(long, default_value = "1", value_name = "TIMES", value_parser = parse_speed)]
    speed: Speed,
    /// Longest silence of the market's time to keep, such as 5s or 500ms.
    #[arg(long, value_name = "DURATION", value_parser = nanos)]
    gap_cap: Option<i64>,
}

/// Which artifacts are told.
#[derive(Clone, Debug, Args)]
pub struct Told {
    /// Only artifacts of these symbols.
    #[arg(long = "symbol", value_name = "SYMBOL", value_delimiter = ',')]
    symbols: Vec<String>,
    /// Only artifacts of these families, such as `gex,context`.
    #[arg(long = "family", value_name = "FAMILY", value_delimiter = ',')]
    families: Vec<String>,
}

impl Told {
    /// The same without words.
    pub fn shows(&self) -> Shows {
        Shows { symbols: self.symbols.clone(), families: self.families.clone() }
    }
}

/// What is to be another way than it was.
#[derive(Clone, Debug, Args)]
pub struct Changes {
    /// Definitions in place of the configured ones, such as gex/inverse-oi@1;
    /// what came before is folded again under them.
    #[arg(long = "profile", value_name = "NAME", value_delimiter = ',')]
    pub profiles: Vec<String>,
    #[command(flatten)]
    only: Wanted,
    /// Leave out events of these kinds (of --without-ticker, if given).
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kind)]
    without_kind: Vec<Kind>,
    /// Leave out events about these tickers (of --without-kind, if given).
    #[arg(long, value_name = "TICKER", value_delimiter = ',')]
    without_ticker: Vec<String>,
}

impl Changes {
    /// What alone is folded.
    pub fn only(&self) -> EventFilter {
        self.only.filter()
    }

    /// What is left out.
    pub fn without(&self) -> EventFilter {
        EventFilter { kinds: self.without_kind.clone(), tickers: self.without_ticker.clone() }
    }
}

impl Order {
    /// The order, paused and unpublished.
    pub fn order(&self) -> SessionOrder {
        SessionOrder {
            day: self.day,
            from: self.from,
            to: self.to,
            shows: self.shows.shows(),
            profiles: self.changes.profiles.clone(),
            only: self.changes.only(),
            without: self.changes.without(),
            speed: self.speed,
            gap_cap: self.gap_cap.filter(|cap| *cap > 0),
            ..SessionOrder::default()
        }
    }
}

/// Prints an artifact that came out: a line, or a JSON object on a line.
///
/// # Errors
/// When its body is no JSON.
pub fn print(artifact: &Artifact, at: Moment, as_json: bool, bodies: bool) -> anyhow::Result<()> {
    let header = &artifact.header;
    if !as_json {
        let content = header.content.to_string();
        output::line(format!(
            "{} seq={} {} {} v{} {} {}",
            at.time,
            at.seq,
            header.symbol,
            header.family,
            header.version,
            header.profile,
            content.get(..12).unwrap_or(&content)
        ));
        if bodies {
            output::line(String::from_utf8_lossy(&artifact.body));
        }
        return Ok(());
    }
    let mut line = json!({
        "time": at.time.to_rfc3339(),
        "seq": at.seq.0,
        "symbol": header.symbol,
        "family": header.family,
        "version": header.version,
        "profile": header.profile,
        "configuration": header.configuration.to_string(),
        "epoch": header.epoch.map(|id| id.to_string()),
        "content": header.content.to_string(),
        "header": header.hash().to_string(),
    });
    if bodies && let Some(fields) = line.as_object_mut() {
        fields.insert("body".into(), serde_json::from_slice::<Value>(&artifact.body)?);
    }
    output::line(line.to_string());
    Ok(())
}
