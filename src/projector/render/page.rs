//! What every family's documents are made with.

use bytes::Bytes;
use orrery_replay::artifact::{Artifact, Header};
use serde::Serialize;

use super::header::{HeaderDoc, Whole};
use super::{Publish, Put, RenderError, Rendering, Write, artifact_version, iso};
use crate::projector::registry::{
    Bus, KeyError, KeySets, Name, Prefix, RegisteredKey, UNSUFFIXED_SYMBOL,
};

/// Where the documents of one artifact come together.
pub(super) struct Page<'a> {
    pub(super) artifact: &'a Artifact,
    pub(super) stamp_us: i64,
    pub(super) rendering: Rendering,
    pub(super) prefix: Option<&'a Prefix>,
    pub(super) sets: KeySets,
}

impl<'a> Page<'a> {
    pub(super) fn key(&self, name: Name) -> Result<RegisteredKey, KeyError> {
        Ok(self.placed(name.key_of(self.symbol(), &self.header().family)?))
    }

    /// The key where these readers have it.
    pub(super) fn placed(&self, key: RegisteredKey) -> RegisteredKey {
        match self.prefix {
            Some(prefix) => key.under(prefix),
            None => key,
        }
    }

    /// Whether names without a symbol are this one's.
    pub(super) fn is_unsuffixed(&self) -> bool {
        self.symbol() == UNSUFFIXED_SYMBOL
    }

    pub(super) fn header(&self) -> &'a Header {
        &self.artifact.header
    }

    pub(super) fn symbol(&self) -> &'a str {
        &self.artifact.header.symbol
    }

    /// Reads the body as what the family promises.
    pub(super) fn body<T: serde::Deserialize<'a>>(&self) -> Result<T, RenderError> {
        serde_json::from_slice(&self.artifact.body).map_err(|e| self.bad_body(e))
    }

    pub(super) fn bad_body(&self, source: serde_json::Error) -> RenderError {
        let Header { symbol, family, version, .. } = self.header();
        RenderError::Body {
            symbol: symbol.clone(),
            family: family.clone(),
            version: *version,
            source,
        }
    }

    /// `ts` as models carry it: float seconds.
    pub(super) fn ts(&self) -> f64 {
        self.stamp_us as f64 / 1e6
    }

    /// The same as ISO 8601 with `+00:00`: whole seconds where it is one, else
    /// microseconds.
    pub(super) fn iso(&self) -> String {
        iso(self.stamp_us)
    }

    /// The epoch's id; the original's literal where there is none.
    pub(super) fn epoch(&self) -> String {
        self.header().epoch.map_or_else(|| "current".to_owned(), |id| id.to_string())
    }

    pub(super) fn artifact_version(&self) -> String {
        artifact_version(self.header().version)
    }

    /// Whether a name is switched on.
    pub(super) fn writes(&self, name: Name) -> bool {
        self.sets.writes(name.entry())
    }

    pub(super) fn put(
        &mut self,
        name: Name,
        write: Write,
        value: &impl Serialize,
    ) -> Result<(), RenderError> {
        if !self.writes(name) {
            return Ok(());
        }
        let bytes = Bytes::from(serde_json::to_vec(value).map_err(|e| self.bad_body(e))?);
        self.put_bytes(name, write, bytes)
    }

    pub(super) fn put_bytes(
        &mut self,
        name: Name,
        write: Write,
        value: Bytes,
    ) -> Result<(), RenderError> {
        if !self.writes(name) {
            return Ok(());
        }
        let key = self.key(name)?;
        self.put_at(key, write, value)
    }

    pub(super) fn put_at(
        &mut self,
        key: RegisteredKey,
        write: Write,
        value: Bytes,
    ) -> Result<(), RenderError> {
        fits(&key, value.len())?;
        self.rendering.puts.push(Put { key, value, write });
        Ok(())
    }

    pub(super) fn publish(
        &mut self,
        name: Name,
        payload: &impl Serialize,
    ) -> Result<(), RenderError> {
        if !self.writes(name) {
            return Ok(());
        }
        let channel = self.key(name)?;
        let payload = Bytes::from(serde_json::to_vec(payload).map_err(|e| self.bad_body(e))?);
        fits(&channel, payload.len())?;
        self.rendering.publishes.push(Publish { channel, payload });
        Ok(())
    }

    /// Our own document: the header and the body as they are kept in `derived/`.
    pub(super) fn whole_artifact(&mut self) -> Result<(), RenderError> {
        if !self.writes(Name::Artifact) {
            return Ok(());
        }
        let whole = Whole { header: HeaderDoc::of(self.header()), body: self.body()? };
        self.put(Name::Artifact, Write::Replace, &whole)
    }

    /// Tells which keys are new, for readers that follow all families.
    pub(super) fn announce_keys(&mut self) -> Result<(), RenderError> {
        if !self.writes(Name::Events) {
            return Ok(());
        }
        #[derive(Serialize)]
        struct Event<'a> {
            symbol: &'a str,
            family: &'a str,
            version: u64,
            seq: u64,
            keys: Vec<(Bus, String)>,
        }
        let keys = self.rendering.puts.iter().filter(|put| put.write == Write::Replace);
        let header = self.header();
        let event = Event {
            symbol: &header.symbol,
            family: &header.family,
            version: header.version,
            seq: header.seq_last.0,
            keys: keys.map(|put| (put.key.entry().bus, put.key.to_string())).collect(),
        };
        let payload = Bytes::from(serde_json::to_vec(&event).map_err(|e| self.bad_body(e))?);
        self.put_bytes(Name::EventLog, Write::Append, payload)?;
        self.publish(Name::Events, &event)
    }
}

fn fits(key: &RegisteredKey, len: usize) -> Result<(), RenderError> {
    let max = key.entry().size_bytes_max;
    if len > max as usize {
        return Err(RenderError::Oversized { key: key.as_str().into(), len, max });
    }
    Ok(())
}
