//! `orrery epochs`: stretches of fixed topology.

use clap::Args;
use serde::Serialize;

use super::exit::Exit;
use super::{Common, open, output};
use crate::backend::Archive;
use crate::market::epoch::EpochRecord;

/// List epochs: which contracts existed, from when to when.
///
/// Example: orrery epochs --symbol TSLA
#[derive(Debug, Args)]
pub struct Epochs {
    /// Only this symbol.
    #[arg(long)]
    symbol: Option<String>,
    /// As known at a seq (`seq:1200`) or a time (RFC 3339).
    #[arg(long)]
    at: Option<String>,
}

/// An epoch in JSON.
#[derive(Debug, Serialize)]
pub struct EpochView {
    symbol: String,
    id: String,
    state: &'static str,
    born_seq: u64,
    born_at: String,
    promoted_seq: Option<u64>,
    promoted_at: Option<String>,
    retired_seq: Option<u64>,
    retired_at: Option<String>,
    contracts: u32,
    strikes: u32,
    expirations: Vec<String>,
    roots: Vec<String>,
    chains: u64,
    dormant: bool,
}

impl EpochView {
    fn new(symbol: &str, e: &EpochRecord) -> EpochView {
        EpochView {
            symbol: symbol.to_owned(),
            id: e.id.to_string(),
            state: e.state().name(),
            born_seq: e.born.seq.0,
            born_at: e.born.at.to_rfc3339(),
            promoted_seq: e.promoted.map(|m| m.seq.0),
            promoted_at: e.promoted.map(|m| m.at.to_rfc3339()),
            retired_seq: e.retired.map(|m| m.seq.0),
            retired_at: e.retired.map(|m| m.at.to_rfc3339()),
            contracts: e.contracts,
            strikes: e.strikes,
            expirations: e.expiries.iter().map(ToString::to_string).collect(),
            roots: e.roots.iter().map(ToString::to_string).collect(),
            chains: e.chains,
            dormant: e.dormant,
        }
    }
}

pub fn run(common: &Common, command: &Epochs) -> anyhow::Result<Exit> {
    let archive = open::archive(common)?;
    let seq = open::moment(archive.journal(), command.at.as_deref())?;
    let views = views(&archive, command.symbol.as_deref(), seq)?;
    if common.json {
        output::json(&views)?;
        return Ok(Exit::Fine);
    }
    print(&views);
    Ok(Exit::Fine)
}

/// The epochs of one or all symbols at a seq.
///
/// # Errors
/// When the state of that moment cannot be folded.
pub fn views(
    archive: &Archive,
    symbol: Option<&str>,
    seq: orrery_journal::units::Seq,
) -> anyhow::Result<Vec<EpochView>> {
    let all = archive.epochs(seq)?;
    Ok(all
        .iter()
        .filter(|(s, _)| symbol.is_none_or(|wanted| wanted == &**s))
        .map(|(s, record)| EpochView::new(s, record))
        .collect())
}

/// A table of epochs.
pub fn print(views: &[EpochView]) {
    let rows: Vec<Vec<String>> = views
        .iter()
        .map(|e| {
            let seq = |s: Option<u64>| s.map_or_else(|| "-".to_owned(), |s| s.to_string());
            vec![
                e.symbol.clone(),
                e.id[..12].to_owned(),
                e.state.to_owned(),
                output::grouped(u64::from(e.contracts)),
                e.expirations.len().to_string(),
                e.strikes.to_string(),
                e.born_at.clone(),
                e.born_seq.to_string(),
                seq(e.promoted_seq),
                seq(e.retired_seq),
            ]
        })
        .collect();
    output::table(
        &[
            "symbol",
            "epoch",
            "state",
            "contracts",
            "expirations",
            "strikes",
            "born",
            "born seq",
            "promoted",
            "retired",
        ],
        &rows,
    );
}
