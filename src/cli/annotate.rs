//! `orrery annotate` and `orrery correct`: what a person says, journaled.

use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use orrery_journal::Journal;
use orrery_journal::event::{DraftBody, InstrumentRef};
use orrery_journal::units::{RecvTime, Seq};

use super::exit::Exit;
use super::{Common, open, output};
use crate::backend::Archive;

/// Descriptor of the source that people at this machine are.
const SOURCE: &str = r#"{"feed":"command-line"}"#;

/// Journal structural lines that a person or an AI drew.
///
/// The file is JSON `{author, model?, lines?, volume_nodes?, volume_wells?,
/// crevasses?}`; items are a price, `[from, to]`, or `{price | from, to, color?,
/// weight?}`. The newest annotation of an author replaces the former one.
/// Works beside a server, too: it journals them.
///
/// Example: orrery annotate SPX lines.json
#[derive(Debug, Args)]
pub struct Annotate {
    /// What the lines are about, such as SPX.
    symbol: String,
    /// The file; `-` reads standard input.
    file: PathBuf,
    /// When it was known, RFC 3339. Default: now, after which nothing older can
    /// be imported.
    #[arg(long, value_name = "TIME", conflicts_with = "connect")]
    at: Option<String>,
    #[command(flatten)]
    server: open::Server,
}

/// Journal that an earlier event said something wrong.
///
/// The event stays; what was known before the correction stays answerable with
/// `--at`. Trades, bars and annotations can be corrected. Works beside a
/// server, too: it journals the correction.
///
/// Example: orrery correct 4711 --right '{"price":650.2,"size":100}'
#[derive(Debug, Args)]
pub struct Correct {
    /// The event that was wrong.
    seq: u64,
    /// What is right, JSON in the instrument's own prices: `{price, size}` of a
    /// trade, `{high, low, close, volume, vwap?}` of a bar, or the annotation.
    #[arg(long, value_name = "JSON", required_unless_present = "cancel")]
    right: Option<String>,
    /// It never happened.
    #[arg(long, conflicts_with = "right")]
    cancel: bool,
    /// When that was known, RFC 3339. Default: now, after which nothing older
    /// can be imported.
    #[arg(long, value_name = "TIME", conflicts_with = "connect")]
    at: Option<String>,
    #[command(flatten)]
    server: open::Server,
}

/// Journals an annotation.
///
/// # Errors
/// When it cannot be read or is none, or the data does not open.
pub fn annotate(common: &Common, command: &Annotate) -> anyhow::Result<Exit> {
    let mut text = Vec::new();
    if command.file.as_os_str() == "-" {
        std::io::stdin().read_to_end(&mut text).context("standard input cannot be read")?;
    } else {
        text = std::fs::read(&command.file)
            .with_context(|| format!("cannot read {}", command.file.display()))?;
    }
    let symbol = command.symbol.as_str();
    let journal = match open::reach(common, &command.server)? {
        open::Reach::Here(journal) => journal,
        open::Reach::Server(client) => {
            own_time(command.at.as_deref())?;
            let text = String::from_utf8(text).with_context(|| {
                format!("{} is no annotation: no UTF-8 text", command.file.display())
            })?;
            let seq = client.annotate(symbol, text);
            let seq =
                seq.with_context(|| format!("{} is not journaled", command.file.display()))?;
            return told(common, seq);
        }
    };
    tell(common, journal, command.at.as_deref(), |archive, at| {
        archive
            .annotate(symbol, Bytes::from(text), at, SOURCE)
            .with_context(|| format!("{} is not journaled", command.file.display()))
    })
}

/// Journals a correction.
///
/// # Errors
/// When there is no such event, or the data does not open.
pub fn correct(common: &Common, command: &Correct) -> anyhow::Result<Exit> {
    let right = command.right.clone().unwrap_or_default();
    if !command.cancel {
        serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&right)
            .context("what is right must be a JSON object; --cancel says that it never happened")?;
    }
    let corrects = Seq(command.seq);
    let journal = match open::reach(common, &command.server)? {
        open::Reach::Here(journal) => journal,
        open::Reach::Server(mut client) => {
            own_time(command.at.as_deref())?;
            let right = (!command.cancel).then_some(right);
            return told(common, client.correct(corrects, right)?);
        }
    };
    let body = DraftBody::Correction { corrects, blob: Bytes::from(right) };
    tell(common, journal, command.at.as_deref(), |archive, at| {
        let last = archive.journal().head().seq;
        if corrects == Seq::BEFORE_FIRST || corrects > last {
            bail!("there is no event {corrects}; the last one is {last}");
        }
        Ok(archive.remark(InstrumentRef::None, body, at, SOURCE)?)
    })
}

/// A server journals when it is told.
fn own_time(at: Option<&str>) -> anyhow::Result<()> {
    match at {
        None => Ok(()),
        Some(_) => bail!("a server journals at its own time; leave --at out"),
    }
}

fn told(common: &Common, seq: Seq) -> anyhow::Result<Exit> {
    if common.json {
        output::json(&serde_json::json!({ "seq": seq.0 }))?;
    } else {
        output::line(format!("journaled as event {seq}"));
    }
    Ok(Exit::Fine)
}

/// Journals on the data directory, and folds what was said.
fn tell(
    common: &Common,
    journal: Journal,
    at: Option<&str>,
    say: impl FnOnce(&Archive, Option<RecvTime>) -> anyhow::Result<Seq>,
) -> anyhow::Result<Exit> {
    let at = match at {
        None => None,
        Some(text) => Some(RecvTime::parse_rfc3339(text).with_context(|| {
            format!("`{text}` is no time; write it as in 2015-12-24T15:30:00Z")
        })?),
    };
    let archive = open::with(common, journal)?.into_archive(common.threads);
    let seq = say(&archive, at)?;
    archive.put_pen_down()?;
    open::catch_up(&archive)?;
    told(common, seq)
}
