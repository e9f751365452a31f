//! `orrery annotate` and `orrery correct`: what a person says, journaled.

use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use orrery_journal::event::{Draft, DraftBody, InstrumentRef};
use orrery_journal::units::{NANOS_PER_SECOND, RecvTime, Seq};

use super::exit::Exit;
use super::{Common, open, output};
use crate::clock;
use crate::models::gravity::lines;

/// Journal structural lines that a person or an AI drew.
///
/// The file is JSON `{author, model?, lines?, volume_nodes?, volume_wells?,
/// crevasses?}`; items are a price, `[from, to]`, or `{price | from, to, color?,
/// weight?}`. The newest annotation of an author replaces the former one.
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
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

/// Journal that an earlier event said something wrong.
///
/// The event stays; what was known before the correction stays answerable with
/// `--at`. Trades, bars and annotations can be corrected.
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
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
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
    if lines::parse(&text, RecvTime(0), Seq::BEFORE_FIRST).is_none() {
        bail!(
            "{} is no annotation: it must be JSON with an author and at most {} lines at prices \
             above 0, as in {{\"author\":\"ann\",\"lines\":[6510]}}",
            command.file.display(),
            lines::LINES_MAX
        );
    }
    let instrument = InstrumentRef::Ticker(command.symbol.as_str().into());
    let body = DraftBody::Annotation(Bytes::from(text));
    tell(common, instrument, body, command.at.as_deref())
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
    let body = DraftBody::Correction { corrects: Seq(command.seq), blob: Bytes::from(right) };
    tell(common, InstrumentRef::None, body, command.at.as_deref())
}

fn tell(
    common: &Common,
    instrument: InstrumentRef,
    body: DraftBody,
    at: Option<&str>,
) -> anyhow::Result<Exit> {
    let recv = match at {
        None => clock::now(),
        Some(text) => RecvTime::parse_rfc3339(text)
            .with_context(|| format!("`{text}` is no time; write it as in 2015-12-24T15:30:00Z"))?,
    };
    let data = open::existing(common)?;
    let head = data.journal.head();
    if let DraftBody::Correction { corrects, .. } = body
        && (corrects == Seq::BEFORE_FIRST || corrects > head.seq)
    {
        bail!("there is no event {corrects}; the last one is {}", head.seq);
    }
    let writer = data.journal.writer(clock::now)?;
    let source = writer.define_source(r#"{"feed":"command-line"}"#)?;
    let draft = |body, instrument, recv| Draft {
        recv: Some(recv),
        vendor_time: None,
        instrument,
        source,
        extension: None,
        body,
    };
    let seq = writer.append(vec![draft(body, instrument, recv)])?.wait()?.last;
    // A beat, so that the profile with it comes out.
    let due = data.journal.head().recv.plus_nanos(NANOS_PER_SECOND);
    writer.append(vec![draft(DraftBody::ClockBeat, InstrumentRef::None, due)])?.wait()?;
    writer.close()?;
    open::catch_up(&data.into_archive(common.threads))?;
    if common.json {
        output::json(&serde_json::json!({ "seq": seq.0 }))?;
    } else {
        output::line(format!("journaled as event {seq}"));
    }
    Ok(Exit::Fine)
}
