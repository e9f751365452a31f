//! Reads what a key holds, as far as it takes to judge it.

use redis::streams::StreamRangeReply;

use super::InspectError;
use super::bus::Server;
use super::finding::Problem;
use super::schema::{self, Wrong};
use super::survey::Seen;
use crate::projector::registry::{Entry, Kind, Name, RegisteredKey};

/// Members of a trail and entries of a log that are read from either end.
const SAMPLE: isize = 8;
/// Fields of a record, at most.
const FIELDS_MAX: u64 = 64;
/// Largest value of a stranger that is read.
const STRANGER_BYTES_MAX: u64 = 1 << 20;
/// A log is trimmed about: this much more than its cap is no finding.
const TRIM_SLACK: u64 = 1_000;

/// Judges the value of a registered key, whose type is as registered.
pub(super) async fn check(
    server: &mut Server,
    key: &RegisteredKey,
) -> Result<Option<Wrong>, InspectError> {
    let entry = key.entry();
    Ok(match entry.kind {
        Kind::String => string(server, key).await?,
        Kind::Zset => {
            let mut pipeline = redis::pipe();
            pipeline.cmd("ZRANGE").arg(key.as_str()).arg(0).arg(SAMPLE - 1);
            pipeline.cmd("ZRANGE").arg(key.as_str()).arg(-SAMPLE).arg(-1);
            let (old, new): (Vec<Vec<u8>>, Vec<Vec<u8>>) = server.all(&pipeline).await?;
            old.iter().chain(&new).find_map(|member| judge(key, member))
        }
        Kind::Stream => {
            let mut pipeline = redis::pipe();
            pipeline.cmd("XLEN").arg(key.as_str());
            pipeline.cmd("XREVRANGE").arg(key.as_str()).arg("+").arg("-").arg("COUNT").arg(SAMPLE);
            let (len, newest): (u64, StreamRangeReply) = server.all(&pipeline).await?;
            overlong(entry, len).or_else(|| {
                newest.ids.iter().find_map(|entry| match entry.get::<Vec<u8>>("payload") {
                    Some(payload) => judge(key, &payload),
                    None => Some((Problem::Schema, "an entry without the field payload".into())),
                })
            })
        }
        Kind::List => {
            let mut pipeline = redis::pipe();
            pipeline.cmd("LLEN").arg(key.as_str());
            pipeline.cmd("LRANGE").arg(key.as_str()).arg(0).arg(SAMPLE - 1);
            let (len, newest): (u64, Vec<Vec<u8>>) = server.all(&pipeline).await?;
            overlong(entry, len).or_else(|| newest.iter().find_map(|text| judge(key, text)))
        }
        Kind::Hash => {
            let len: u64 = server.ask(redis::cmd("HLEN").arg(key.as_str())).await?;
            if len > FIELDS_MAX {
                return Ok(Some((Problem::Oversized, format!("{len} fields"))));
            }
            if entry.name != Name::ArtifactMeta {
                return Ok((len == 0).then(|| (Problem::Schema, "no fields".into())));
            }
            let wanted = ["version", "lineage", "content"];
            let mut read = redis::cmd("HMGET");
            let held: Vec<Option<String>> = server.ask(read.arg(key.as_str()).arg(&wanted)).await?;
            let number = held.first().and_then(|v| v.as_ref()?.parse::<u64>().ok());
            let missing = wanted.iter().zip(&held).find(|(_, value)| value.is_none());
            match (missing, number) {
                (Some((field, _)), _) => {
                    Some((Problem::Schema, format!("the field {field} is missing")))
                }
                (None, None) => Some((Problem::Schema, "version is no number".into())),
                (None, Some(_)) => None,
            }
        }
        Kind::Channel => None,
    })
}

fn overlong(entry: &Entry, len: u64) -> Option<Wrong> {
    let cap = u64::from(entry.entries_max?);
    (len > cap + TRIM_SLACK)
        .then(|| (Problem::Overlong, format!("{len} entries; its cap is {cap}")))
}

async fn string(server: &mut Server, key: &RegisteredKey) -> Result<Option<Wrong>, InspectError> {
    let max = u64::from(key.entry().size_bytes_max);
    let len: u64 = server.ask(redis::cmd("STRLEN").arg(key.as_str())).await?;
    if len > max {
        return Ok(Some((Problem::Oversized, format!("{len} bytes; its limit is {max}"))));
    }
    let value: Option<Vec<u8>> = server.ask(redis::cmd("GET").arg(key.as_str())).await?;
    Ok(value.and_then(|value| judge(key, &value)))
}

fn judge(key: &RegisteredKey, value: &[u8]) -> Option<Wrong> {
    if value.len() > key.entry().size_bytes_max as usize {
        let max = key.entry().size_bytes_max;
        return Some((Problem::Oversized, format!("{} bytes; its limit is {max}", value.len())));
    }
    schema::check(key, value).err()
}

/// What is raw in a key that the registry does not know.
pub(super) async fn raw(server: &mut Server, seen: &Seen) -> Result<Option<String>, InspectError> {
    let name = seen.name.as_str();
    let value: Option<Vec<u8>> = match seen.kind.as_str() {
        "string" if seen.memory <= STRANGER_BYTES_MAX => {
            server.ask(redis::cmd("GET").arg(name)).await?
        }
        "list" => server.ask(redis::cmd("LINDEX").arg(name).arg(0)).await?,
        "zset" => {
            let newest: Vec<Vec<u8>> =
                server.ask(redis::cmd("ZRANGE").arg(name).arg(-1).arg(-1)).await?;
            newest.into_iter().next()
        }
        _ => None,
    };
    Ok(value.and_then(|value| schema::is_raw(&value)))
}
