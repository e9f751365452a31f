//! The vendor's messages, equal in value to what came in, and the raw pages of
//! chains as they came. What the vendor's protocol has no message for is left out
//! and counted.

use std::io::Write;
use std::path::Path;

use bytes::Bytes;
use orrery_journal::Journal;
use orrery_journal::event::{Body, Event, Kind};
use orrery_journal::units::Seq;

use super::{ExportError, Exported, Folder, Progress};
use crate::feeds::massive::encode;

/// Messages of quotes, trades, bars, index values and the connection's state.
pub const TICKS: &str = "ticks.ndjson";
/// Folder of the raw pages of chains.
pub const CHAINS: &str = "chains";

/// Writes the vendor's messages of `from..=to` into `to_folder`.
///
/// # Errors
/// When the folder is not empty, a file cannot be written, or the journal is damaged.
pub fn wire(
    journal: &Journal,
    (from, to): (Seq, Seq),
    to_folder: &Path,
    progress: Progress<'_>,
) -> Result<Exported, ExportError> {
    let folder = Folder(to_folder);
    folder.begin()?;
    let mut ticks = folder.create(TICKS)?;
    let mut exported = Exported::default();
    let mut extension: Option<Bytes> = None;
    for stretch in journal.read(from, to) {
        let stretch = stretch?;
        let mut seq = stretch.first;
        for event in stretch.events.iter() {
            if let Body::Extension(address) = event.body {
                extension = Some(journal.blob(address)?);
            } else {
                // An extension belongs to the event right behind it.
                let original = extension.take().filter(|_| event.extended);
                one(journal, seq, event, original, &folder, &mut ticks, &mut exported)?;
            }
            seq = seq.next();
        }
        if progress(Seq(seq.0.saturating_sub(1))).is_break() {
            return Err(ExportError::Stopped(Seq(seq.0.saturating_sub(1))));
        }
    }
    ticks.flush().map_err(folder.failed(TICKS))?;
    folder.end()?;
    Ok(exported)
}

fn one(
    journal: &Journal,
    seq: Seq,
    event: &Event,
    extension: Option<Bytes>,
    folder: &Folder<'_>,
    ticks: &mut impl Write,
    exported: &mut Exported,
) -> Result<(), ExportError> {
    let conditions = match &event.body {
        Body::Quote(quote) => journal.conditions(quote.conditions),
        Body::Trade(trade) => journal.conditions(trade.conditions),
        Body::ChainSnapshot(chain) => {
            if exported.chains == 0 {
                folder.make(CHAINS)?;
            }
            let raw = journal.blob(chain.raw)?;
            let name = match raw.first() {
                Some(b'{' | b'[') => "json",
                _ => "csv",
            };
            folder.put(&format!("{CHAINS}/{:012}.{name}", seq.0), &raw)?;
            exported.chains += 1;
            exported.bytes += raw.len() as u64;
            return Ok(());
        }
        _ => None,
    };
    let ticker = journal.ticker(event.instrument).unwrap_or_default();
    let conditions = conditions.unwrap_or_default();
    let message = match &event.body {
        Body::Control(fact) => encode::status(&journal.blob(*fact)?).map(str::to_owned),
        _ => encode::message(event, extension.as_deref(), &ticker, &conditions),
    };
    match message {
        Some(message) => {
            // A message that is kept as it came may have line breaks; inside of
            // text JSON has none, so that its value stays the same.
            let line = message.replace(['\n', '\r'], " ");
            writeln!(ticks, "{line}").map_err(folder.failed(TICKS))?;
            exported.written += 1;
            exported.bytes += line.len() as u64 + 1;
        }
        None => {
            let kind: Kind = event.body.kind();
            *exported.left_out.entry(kind.name()).or_default() += 1;
        }
    }
    Ok(())
}
