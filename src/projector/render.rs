//! From an artifact to the documents that clients read, without any I/O.
//!
//! Bodies come from the models and are carried through as they are; what is
//! added here is what delivery knows: `ts`, `version`, `epoch`,
//! `artifact_version`. Moments come from the header, never from a clock, so the
//! same artifact gives the same documents, live or replayed.
//!
//! What clients compare is `ts`, so it must change whenever content does: a
//! stamp that would not lie after the one before it is moved one microsecond on.

mod candles;
mod epoch;
mod gravity;
mod header;
pub(super) mod heatmap;
mod model;
mod page;
mod view;

use std::collections::BTreeSet;

use bytes::Bytes;
use orrery_journal::units::RecvTime;
use orrery_replay::artifact::{Artifact, Header};

pub use self::header::whole;
use self::page::Page;
use super::registry::{KeyError, KeySets, Name, Prefix, RegisteredKey};

/// Everything that one version puts into Redis.
#[derive(Clone, Debug, Default)]
pub struct Rendering {
    /// What is stored, in this order.
    pub puts: Vec<Put>,
    /// What is told once everything is stored, in this order.
    pub publishes: Vec<Publish>,
    /// Microseconds since the epoch that stand in the documents as `ts`.
    pub stamp_us: i64,
}

/// One write.
#[derive(Clone, Debug)]
pub struct Put {
    /// Where; its entry says kind, bus and lifetime.
    pub key: RegisteredKey,
    /// What.
    pub value: Bytes,
    /// How.
    pub write: Write,
}

impl Put {
    /// Whether the key is the family's alone and goes with it: not a log or a
    /// record that others write, too.
    pub(super) fn is_the_familys_own(&self) -> bool {
        let shared = [Name::EventLog, Name::EpochOfSymbols, Name::EpochTimeline];
        !shared.contains(&self.key.entry().name)
    }
}

/// How a value is written.
#[derive(Clone, PartialEq, Debug)]
pub enum Write {
    /// In place of what is there.
    Replace,
    /// As a member of a trail; members below `trim_below` go.
    Trail {
        /// Epoch seconds.
        score: f64,
        /// Epoch seconds; exclusive.
        trim_below: f64,
    },
    /// As the newest entry of a capped log, in its field `payload`.
    Append,
    /// As the newest text of a capped list, unless it is that already.
    Push,
    /// A JSON object of texts, each in its field of a record.
    Fields,
    /// As one field of a record that names the newest of each; the key of the
    /// one that the field named before is left [`RETIRED_SECONDS`] to live.
    Newest {
        /// The field.
        field: Box<str>,
        /// What stands before a name in its key.
        keys: Box<str>,
    },
}

/// How long the keys of a retired epoch live.
pub const RETIRED_SECONDS: u32 = 300;

/// One announcement.
#[derive(Clone, Debug)]
pub struct Publish {
    /// Where.
    pub channel: RegisteredKey,
    /// What.
    pub payload: Bytes,
}

/// What readers already have of the same family, as far as it is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Held<'a> {
    /// Version and stamp of the last delivery.
    pub last: Option<(u64, i64)>,
    /// Heatmap: the body that readers hold for certain. Without it every tile
    /// counts as changed.
    pub tiles: Option<&'a [u8]>,
    /// Heatmap: keys of tiles that some reader may hold besides.
    pub ghosts: Option<&'a BTreeSet<String>>,
    /// Context: version of the gravity artifact that stands beside it.
    pub gravity: Option<u64>,
    /// What stands before every key, where the readers are those of a replay.
    pub prefix: Option<&'a Prefix>,
    /// Whose names are written.
    pub sets: KeySets,
}

/// An artifact that cannot be delivered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The body is not what the family promises.
    #[error("body of {symbol}/{family} v{version} is not as agreed")]
    Body {
        /// Partition.
        symbol: Box<str>,
        /// Family.
        family: Box<str>,
        /// Version.
        version: u64,
        /// What was found.
        source: serde_json::Error,
    },
    /// A key cannot be formed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A value is larger than its entry allows; nothing of the version is sent.
    #[error("{key} would hold {len} bytes; its limit is {max}")]
    Oversized {
        /// Key or channel.
        key: Box<str>,
        /// Bytes.
        len: usize,
        /// Limit of its entry.
        max: u32,
    },
}

/// The documents and announcements of an artifact.
///
/// # Errors
/// See [`RenderError`].
pub fn documents(artifact: &Artifact, held: &Held<'_>) -> Result<Rendering, RenderError> {
    let header = &artifact.header;
    let stamp_us = stamp(header, held.last);
    let rendering = Rendering::default();
    let (prefix, sets) = (held.prefix, held.sets);
    let mut page = Page { artifact, stamp_us, rendering, prefix, sets };
    match &*header.family {
        "gravity" => gravity::artifact(&mut page)?,
        "context" => gravity::context(&mut page, held.gravity)?,
        "spot" => model::spot(&mut page)?,
        "gex" => model::gex(&mut page)?,
        "heatmap" => heatmap::render(&mut page, held)?,
        "bias_lfi" => view::bias_lfi(&mut page)?,
        "market_mode" => view::market_mode(&mut page)?,
        "vix_regime" => view::vix_regime(&mut page)?,
        "selector" => view::selector(&mut page)?,
        "candles" => candles::render(&mut page)?,
        "epoch" => epoch::render(&mut page)?,
        // A family without names of its own still has its whole artifact.
        _ => {}
    }
    page.whole_artifact()?;
    page.announce_keys()?;
    page.rendering.stamp_us = page.stamp_us;
    Ok(page.rendering)
}

/// Microseconds of `created_at`, moved on where the last delivery stands at or
/// behind the same second with the same or a later stamp.
fn stamp(header: &Header, last: Option<(u64, i64)>) -> i64 {
    let made = header.created_at.0.div_euclid(1000);
    match last {
        Some((version, stamp)) if version == header.version => stamp,
        // A stamp far ahead is another journal's; it is not followed.
        Some((_, stamp)) if stamp >= made && stamp - made < 1_000_000 => stamp + 1,
        _ => made,
    }
}

/// `v<N>`, as documents and events carry a version of gravity.
#[must_use]
pub fn artifact_version(version: u64) -> String {
    format!("v{version}")
}

fn iso(stamp_us: i64) -> String {
    let text = RecvTime(stamp_us.saturating_mul(1000)).to_rfc3339();
    // `YYYY-MM-DDTHH:MM:SS.nnnnnnnnnZ`: cut to seconds or microseconds.
    let len = if stamp_us.rem_euclid(1_000_000) == 0 { 19 } else { 26 };
    format!("{}+00:00", text.get(..len).unwrap_or(&text))
}

#[cfg(test)]
mod tests;
