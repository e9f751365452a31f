//! The scripts and how they are called.

use std::collections::BTreeMap;

use orrery_replay::artifact::Header;
use redis::Script;
use redis::aio::ConnectionLike;

use crate::projector::registry::{Kind, RegisteredKey};
use crate::projector::render::{Publish, Put, RETIRED_SECONDS, Write};

/// What one bus stores and tells of one version, in one step.
pub(super) struct Section<'a> {
    pub meta: RegisteredKey,
    pub header: &'a Header,
    /// Second number to compare: what else the documents depend on.
    pub paired: u64,
    /// Write and tell although the bus holds this very version.
    pub force: bool,
    pub puts: Vec<&'a Put>,
    pub publishes: Vec<&'a Publish>,
}

/// What became of a section.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// The bus holds this version already.
    Same,
    /// Stored and told.
    Stored,
    /// It was this version, but incomplete; stored and told again.
    Repaired,
    /// The bus holds a newer version.
    Newer,
    /// The bus holds versions of another journal.
    Foreign,
    /// The bus holds other content under this version.
    Conflict,
}

/// What a bus says that it holds of a family.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct HeldVersion {
    pub version: u64,
    pub paired: u64,
    pub lineage: Box<str>,
    pub content: Box<str>,
}

/// Loaded once per server by the client, and again when it has forgotten them.
pub(super) struct Scripts {
    publish: Script,
    inspect: Script,
    retire: Script,
}

impl Default for Scripts {
    fn default() -> Self {
        Scripts {
            publish: Script::new(include_str!("publish.lua")),
            inspect: Script::new(include_str!("inspect.lua")),
            retire: Script::new(include_str!("retire.lua")),
        }
    }
}

impl Scripts {
    /// Stores and tells; one verdict for each section.
    pub(super) async fn publish(
        &self,
        connection: &mut impl ConnectionLike,
        lineage: &str,
        takeover: bool,
        sections: &[Section<'_>],
    ) -> redis::RedisResult<Vec<Verdict>> {
        let mut call = self.publish.prepare_invoke();
        let mut keys = BTreeMap::new();
        call.arg(lineage).arg(u8::from(takeover)).arg(RETIRED_SECONDS).arg(sections.len());
        for section in sections {
            let mut index = |key: &RegisteredKey| {
                let next = keys.len() + 1;
                *keys.entry(key.to_string()).or_insert(next)
            };
            let header = section.header;
            call.arg(index(&section.meta)).arg(header.version).arg(section.paired);
            call.arg(header.content.to_string()).arg(u8::from(section.force));
            let fields = [
                ("seq", header.seq_last.to_string()),
                ("created_at", header.created_at.to_rfc3339()),
                ("profile", header.profile.to_string()),
                ("epoch", header.epoch.map_or_else(String::new, |id| id.to_string())),
            ];
            call.arg(fields.len());
            for (name, value) in fields {
                call.arg(name).arg(value);
            }
            // What tells versions apart lives as long as what it tells of.
            call.arg(section.meta.ttl_seconds());
            call.arg(section.puts.len());
            for put in &section.puts {
                let entry = put.key.entry();
                call.arg(kind(entry.kind)).arg(index(&put.key)).arg(&*put.value);
                call.arg(put.key.ttl_seconds());
                match &put.write {
                    Write::Replace | Write::Fields => call.arg("").arg(""),
                    Write::Trail { score, trim_below } => call.arg(score).arg(trim_below),
                    Write::Append | Write::Push => call.arg(entry.entries_max.unwrap_or(1)).arg(""),
                    Write::Newest { field, keys } => call.arg(&**field).arg(&**keys),
                };
            }
            call.arg(section.publishes.len());
            for publish in &section.publishes {
                call.arg(publish.channel.as_str()).arg(&*publish.payload);
            }
        }
        let mut in_order: Vec<_> = keys.iter().collect();
        in_order.sort_by_key(|(_, index)| **index);
        for (key, _) in in_order {
            call.key(key);
        }
        let verdicts: Vec<i64> = call.invoke_async(connection).await?;
        verdicts.into_iter().map(verdict).collect()
    }

    /// Leaves these documents a while to live, unless a newer version or another
    /// journal's is held.
    pub(super) async fn retire(
        &self,
        connection: &mut impl ConnectionLike,
        lineage: &str,
        version: u64,
        meta: &RegisteredKey,
        documents: &[RegisteredKey],
    ) -> redis::RedisResult<()> {
        let mut call = self.retire.prepare_invoke();
        call.arg(lineage).arg(version).arg(RETIRED_SECONDS);
        for key in [meta].into_iter().chain(documents) {
            call.key(key.as_str());
        }
        call.invoke_async::<i64>(connection).await.map(drop)
    }

    /// What is held under these meta keys, and how long these documents are.
    pub(super) async fn inspect(
        &self,
        connection: &mut impl ConnectionLike,
        metas: &[RegisteredKey],
        documents: &[&RegisteredKey],
    ) -> redis::RedisResult<(Vec<Option<HeldVersion>>, Vec<i64>)> {
        let mut call = self.inspect.prepare_invoke();
        call.arg(metas.len());
        for document in documents {
            call.arg(document.ttl_seconds());
        }
        for key in metas.iter().chain(documents.iter().copied()) {
            call.key(key.as_str());
        }
        let mut held: Vec<String> = call.invoke_async(connection).await?;
        let lengths = held.split_off(metas.len().min(held.len()));
        let lengths = lengths.iter().map(|text| text.parse().unwrap_or(-1));
        Ok((held.iter().map(|text| HeldVersion::parse(text)).collect(), lengths.collect()))
    }
}

impl HeldVersion {
    fn parse(text: &str) -> Option<HeldVersion> {
        let (version, rest) = text.split_once('|')?;
        let (paired, rest) = rest.split_once('|')?;
        let (lineage, content) = rest.rsplit_once('|')?;
        Some(HeldVersion {
            version: version.parse().ok()?,
            paired: paired.parse().ok()?,
            lineage: lineage.into(),
            content: content.into(),
        })
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::String => "string",
        Kind::Hash => "hash",
        Kind::Zset => "zset",
        Kind::List => "list",
        Kind::Stream => "stream",
        Kind::Channel => "channel",
    }
}

fn verdict(code: i64) -> redis::RedisResult<Verdict> {
    Ok(match code {
        0 => Verdict::Same,
        1 => Verdict::Stored,
        2 => Verdict::Repaired,
        3 => Verdict::Newer,
        4 => Verdict::Foreign,
        5 => Verdict::Conflict,
        _ => {
            let kind = redis::ErrorKind::UnexpectedReturnType;
            return Err(redis::RedisError::from((kind, "unknown verdict of the publish script")));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_reads_back_whatever_the_lineage() {
        let held = HeldVersion::parse("12|3|a|b|c0ffee").expect("four fields");
        assert_eq!((held.version, held.paired), (12, 3));
        assert_eq!((&*held.lineage, &*held.content), ("a|b", "c0ffee"));
        assert_eq!(HeldVersion::parse(""), None);
        assert_eq!(HeldVersion::parse("||x|"), None);
    }
}
