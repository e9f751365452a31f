//! What Redis holds beside what it should hold: the newest artifacts, rendered
//! with the publisher's own code.

use std::collections::BTreeSet;
use std::sync::Arc;

use orrery_replay::artifact::Artifact;
use serde_json::Value;

use super::InspectError;
use super::bus::Server;
use super::finding::{Finding, Problem};
use super::repair::Orders;
use crate::projector::registry::{Name, RegisteredKey};
use crate::projector::render::{self, Held, Put, Write};
use crate::shelf::{Shelf, ShelfKey};

/// Stamps of delivery, which move on where two versions share a moment.
const STAMPS: [&str; 6] =
    ["ts", "ts_iso", "timestamp", "last_update", "last_updated", "occurred_at"];

/// What is missing, older or other than it should be.
pub(super) async fn compare(
    servers: &mut [Server],
    shelf: &Shelf,
    orders: &Orders,
) -> Result<Vec<Finding>, InspectError> {
    let mut findings = Vec::new();
    let all = shelf.all();
    let current = all.iter().filter(|artifact| is_current(artifact, &all));
    for artifact in current.cloned() {
        let held = Held {
            gravity: shelf.latest(&artifact.header.symbol, "gravity").map(|g| g.header.version),
            sets: orders.ours.sets,
            ..Held::default()
        };
        // What cannot be rendered is never delivered: the publisher says so.
        let Ok(rendering) = render::documents(&artifact, &held) else { continue };
        let puts: Vec<&Put> =
            rendering.puts.iter().filter(|put| put.write == Write::Replace).collect();
        for server in servers.iter_mut() {
            let here = puts
                .iter()
                .copied()
                .filter(|put| server.serves(put.key.entry().bus) && server.holds(put.key.as_str()));
            let here: Vec<&Put> = here.collect();
            if here.is_empty() {
                continue;
            }
            family(server, &artifact, &here, &orders.lineage, &mut findings).await?;
        }
    }
    Ok(findings)
}

/// Whether an artifact is published now: what only an epoch before the active
/// one published is left to expire.
fn is_current(artifact: &Artifact, all: &[Arc<Artifact>]) -> bool {
    let of_symbol = all.iter().map(|a| &a.header).filter(|h| h.symbol == artifact.header.symbol);
    let Some(active) = { of_symbol }.find(|h| &*h.family == "epoch") else { return true };
    let header = &artifact.header;
    header.epoch.is_none() || header.epoch == active.epoch || header.seq_last >= active.seq_last
}

async fn family(
    server: &mut Server,
    artifact: &Arc<Artifact>,
    puts: &[&Put],
    lineage: &str,
    findings: &mut Vec<Finding>,
) -> Result<(), InspectError> {
    let header = &artifact.header;
    let Ok(meta) = Name::ArtifactMeta.key_of(&header.symbol, &header.family) else { return Ok(()) };
    let held = read_meta(server, &meta).await?;
    let bus = server.name();
    let mut found = |key: &RegisteredKey, problem: Problem, detail: String| {
        let family = Some((header.symbol.to_string(), header.family.to_string()));
        findings.push(Finding { bus: bus.clone(), key: key.to_string(), problem, family, detail });
    };
    let newest = header.version;
    match held {
        None => found(&meta, Problem::Missing, format!("version {newest} was not delivered")),
        Some((_, theirs, _)) if theirs != lineage => {
            found(&meta, Problem::Foreign, format!("holds versions of journal {theirs:?}"));
            return Ok(());
        }
        Some((version, _, _)) if version > newest => {
            let detail = format!("holds version {version}; the newest here is {newest}");
            found(&meta, Problem::Ahead, detail);
            return Ok(());
        }
        Some((version, _, _)) if version < newest => {
            let detail = format!("holds version {version}; the newest is {newest}");
            found(&meta, Problem::Stale, detail);
            return Ok(());
        }
        Some((_, _, content)) if content != header.content.to_string() => {
            found(&meta, Problem::Differs, format!("names other content of version {newest}"));
        }
        Some(_) => {}
    }
    for put in puts {
        let mut get = redis::cmd("GET");
        let kind: String = server.ask(redis::cmd("TYPE").arg(put.key.as_str())).await?;
        match kind.as_str() {
            "none" => found(&put.key, Problem::Missing, format!("version {newest} is not there")),
            // The audit has said that it is of another type.
            "string" => {
                let value: Option<Vec<u8>> = server.ask(get.arg(put.key.as_str())).await?;
                if !value.is_some_and(|value| same(&value, &put.value)) {
                    let detail = format!("is not version {newest} as it is rendered");
                    found(&put.key, Problem::Differs, detail);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Version, lineage and content that a bus says it holds of a family.
async fn read_meta(
    server: &mut Server,
    meta: &RegisteredKey,
) -> Result<Option<(u64, String, String)>, InspectError> {
    let kind: String = server.ask(redis::cmd("TYPE").arg(meta.as_str())).await?;
    if kind != "hash" {
        return Ok(None);
    }
    let mut read = redis::cmd("HMGET");
    read.arg(meta.as_str()).arg(&["version", "lineage", "content"]);
    let held: Vec<Option<String>> = server.ask(&read).await?;
    let [Some(version), Some(lineage), Some(content)] = held.as_slice() else { return Ok(None) };
    let Ok(version) = version.parse() else { return Ok(None) };
    Ok(Some((version, lineage.clone(), content.clone())))
}

/// Whether two documents are one, but for the stamps of their delivery.
fn same(held: &[u8], rendered: &[u8]) -> bool {
    if held == rendered {
        return true;
    }
    let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok().map(unstamped);
    match (read(held), read(rendered)) {
        (Some(held), Some(rendered)) => held == rendered,
        _ => false,
    }
}

fn unstamped(mut document: Value) -> Value {
    if let Some(map) = document.as_object_mut() {
        map.retain(|name, _| !STAMPS.contains(&name.as_str()));
        if let Some(meta) = map.get_mut("meta").and_then(Value::as_object_mut) {
            meta.retain(|name, _| !STAMPS.contains(&name.as_str()));
        }
    }
    document
}

/// The families that findings are about, of those on the shelf.
pub(super) fn families(findings: &[&Finding], shelf: &Shelf) -> BTreeSet<ShelfKey> {
    let named = findings.iter().filter_map(|finding| finding.family.as_ref());
    let named = named.filter(|(symbol, family)| shelf.latest(symbol, family).is_some());
    named.map(|(symbol, family)| (symbol.as_str().into(), family.as_str().into())).collect()
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn stamps_of_delivery_tell_no_documents_apart() {
        let one = br#"{"ts":1.5,"a":1,"meta":{"last_update":"x","spot":2}}"#;
        assert!(same(one, br#"{"a":1,"ts":1.6,"meta":{"spot":2,"last_update":"y"}}"#));
        assert!(!same(one, br#"{"a":2,"ts":1.5,"meta":{"last_update":"x","spot":2}}"#));
        assert!(!same(one, br#"{"a":1,"ts":1.5,"meta":{"last_update":"x","spot":3}}"#));
        assert!(!same(b"no json", one));
        assert!(same(b"c0ffee", b"c0ffee"));
    }
}
