//! Everything that may not stand in Redis, by the registry alone.
//!
//! Whether documents are current is another question, which needs artifacts to
//! compare with: see [`super::repair`].

use std::collections::BTreeMap;

use orrery_journal::units::Address;
use serde::Serialize;
use serde_json::value::RawValue;

use super::bus::Server;
use super::finding::{Finding, Problem};
use super::namespace::{Namespaces, Standing};
use super::survey::{Seen, survey};
use super::values;
use super::{Buses, InspectError, Ours};
use crate::projector::registry::{Kind, Name, RegisteredKey};

/// Seconds that a lifetime may exceed its entry's: clocks and rounding.
const TTL_SLACK_MS: u64 = 2_000;
/// What a retired epoch's keys have left; a key that otherwise stays for ever
/// may be on its way out like this.
const RETIRED_TTL_MS: u64 = 300_000;

/// What stands on the servers.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Audit {
    /// One for each server.
    pub servers: Vec<ServerAudit>,
    /// What is wrong, by bus and key.
    pub findings: Vec<Finding>,
}

/// What one server holds.
#[derive(Clone, Debug, Serialize)]
pub struct ServerAudit {
    /// `system`, `market`, or `system+market`.
    pub bus: String,
    /// Registered keys.
    pub registered: u64,
    /// Keys in our namespaces that the registry does not know.
    pub unknown: u64,
    /// Keys of others.
    pub others: u64,
    /// There were more keys in our namespaces than are looked at.
    pub cut: bool,
    /// Registered keys by family.
    pub families: Vec<FamilyCount>,
}

/// Registered keys of one family on one server.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct FamilyCount {
    /// Family.
    pub family: String,
    /// Keys.
    pub keys: u64,
    /// Keys whose lifetime is as registered.
    pub ttl_as_registered: u64,
    /// Memory that they take, bytes.
    pub memory_bytes: u64,
}

/// Looks at everything.
///
/// # Errors
/// When a server cannot be asked.
pub async fn audit(buses: &Buses, ours: &Ours) -> Result<Audit, InspectError> {
    let namespaces = Namespaces::new(ours);
    let mut audit = Audit::default();
    for mut server in buses.reach().await? {
        audit_server(&mut server, &namespaces, &mut audit).await?;
    }
    audit.findings.sort();
    Ok(audit)
}

async fn audit_server(
    server: &mut Server,
    namespaces: &Namespaces,
    audit: &mut Audit,
) -> Result<(), InspectError> {
    let survey = survey(server, namespaces).await?;
    for seen in &survey.seen {
        let judged = judge(server, seen).await?;
        let family = seen.registered().map(|k| (k.symbol().to_owned(), k.family().to_owned()));
        audit.findings.extend(judged.into_iter().map(|(problem, detail)| Finding {
            bus: server.name(),
            key: seen.name.clone(),
            problem,
            family: family.clone(),
            detail,
        }));
    }
    let registered: Vec<&Seen> = survey.seen.iter().filter(|s| s.registered().is_some()).collect();
    audit.servers.push(ServerAudit {
        bus: server.name(),
        registered: registered.len() as u64,
        unknown: (survey.seen.len() - registered.len()) as u64,
        others: survey.others,
        cut: survey.cut,
        families: by_family(&survey.seen),
    });
    Ok(())
}

/// Registered keys by family.
pub(super) fn by_family(seen: &[Seen]) -> Vec<FamilyCount> {
    let mut families: BTreeMap<&str, FamilyCount> = BTreeMap::new();
    for (seen, key) in seen.iter().filter_map(|s| Some((s, s.registered()?))) {
        let count = families.entry(key.family()).or_default();
        count.family = key.family().to_owned();
        count.keys += 1;
        count.ttl_as_registered += u64::from(lifetime(seen, key).is_none());
        count.memory_bytes += seen.memory;
    }
    families.into_values().collect()
}

type Judged = Vec<(Problem, String)>;

async fn judge(server: &mut Server, seen: &Seen) -> Result<Judged, InspectError> {
    let key = match &seen.standing {
        Standing::Ours(key) => key,
        Standing::Elsewhere => return Ok(Vec::new()),
        Standing::Intermediate(what) => return Ok(vec![(Problem::Raw, (*what).to_owned())]),
        Standing::Stranger => {
            return Ok(vec![match values::raw(server, seen).await? {
                Some(what) => (Problem::Raw, what),
                None => (Problem::Stranger, "the registry does not know it".to_owned()),
            }]);
        }
    };
    let entry = key.entry();
    let kind = kind(entry.kind);
    if seen.kind != kind {
        return Ok(vec![(Problem::WrongType, format!("a {}, not a {kind}", seen.kind))]);
    }
    let mut judged: Judged = lifetime(seen, key).into_iter().collect();
    // What is held of a version stands on each bus that the family uses.
    if entry.kind != Kind::Hash && !server.serves(entry.bus) {
        let belongs = format!("belongs to the {} bus", entry.bus.as_str());
        judged.push((Problem::WrongBus, belongs));
    }
    judged.extend(values::check(server, key).await?);
    if entry.name == Name::Artifact && judged.is_empty() {
        judged.extend(torn(server, key).await?);
    }
    Ok(judged)
}

/// What is wrong with a lifetime.
pub(super) fn lifetime(seen: &Seen, key: &RegisteredKey) -> Option<(Problem, String)> {
    let wanted_ms = u64::from(key.ttl_seconds()) * 1000;
    match (wanted_ms, seen.ttl_ms) {
        (0, None) => None,
        (0, Some(left)) if left <= RETIRED_TTL_MS => None,
        (0, Some(left)) => Some((
            Problem::UnexpectedTtl,
            format!("expires in {} s; its entry says never", left / 1000),
        )),
        (wanted, None) => {
            Some((Problem::NoTtl, format!("never expires; its entry says {} s", wanted / 1000)))
        }
        (wanted, Some(left)) if left > wanted + TTL_SLACK_MS => Some((
            Problem::LongTtl,
            format!("expires in {} s; its entry says {} s", left / 1000, wanted / 1000),
        )),
        _ => None,
    }
}

/// Whether a whole artifact is what the record beside it says; both are read in
/// one step, so that no publisher comes between.
async fn torn(
    server: &mut Server,
    key: &RegisteredKey,
) -> Result<Option<(Problem, String)>, InspectError> {
    #[derive(serde::Deserialize)]
    struct Whole<'a> {
        header: Header,
        #[serde(borrow)]
        body: &'a RawValue,
    }
    #[derive(serde::Deserialize)]
    struct Header {
        version: u64,
        content: String,
    }
    let mut pipeline = redis::pipe();
    pipeline.atomic();
    pipeline.cmd("GET").arg(key.as_str());
    // The record's name is the document's and a word.
    let meta = format!("{}:meta", key.as_str());
    pipeline.cmd("HMGET").arg(&meta).arg(&["version", "content"]);
    let (value, held): (Option<Vec<u8>>, Vec<Option<String>>) = server.all(&pipeline).await?;
    let Some(value) = value else { return Ok(None) };
    let Ok(whole) = serde_json::from_slice::<Whole<'_>>(&value) else { return Ok(None) };
    let content = Address::of(whole.body.get().as_bytes()).to_string();
    if content != whole.header.content {
        let why = "the body is not the one that its header names";
        return Ok(Some((Problem::Schema, why.to_owned())));
    }
    let ours = [Some(whole.header.version.to_string()), Some(whole.header.content)];
    if held != ours {
        let told = held.first().cloned().flatten().unwrap_or_else(|| "nothing".to_owned());
        return Ok(Some((
            Problem::Torn,
            format!("version {}; the record beside it says {told}", whole.header.version),
        )));
    }
    Ok(None)
}

/// Redis' name of a kind.
pub(super) fn kind(kind: Kind) -> String {
    format!("{kind:?}").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_judged_by_their_entry() {
        let judged = |name: Name, ttl_ms: Option<u64>| {
            let key = name.key("SPX").expect("a key");
            let standing = Standing::Ours(key.clone());
            let name = key.to_string();
            let seen = Seen { name, standing, kind: "string".into(), ttl_ms, memory: 1 };
            lifetime(&seen, &key).map(|(problem, _)| problem)
        };
        let day = Some(86_400_000);
        assert_eq!(judged(Name::GexCalls, day), None);
        assert_eq!(judged(Name::GexCalls, Some(5)), None);
        assert_eq!(judged(Name::GexCalls, Some(90_000_000)), Some(Problem::LongTtl));
        assert_eq!(judged(Name::GexCalls, None), Some(Problem::NoTtl));
        assert_eq!(judged(Name::GravityArtifact, None), None);
        assert_eq!(judged(Name::GravityArtifact, Some(299_000)), None, "of a retired epoch");
        assert_eq!(judged(Name::GravityArtifact, day), Some(Problem::UnexpectedTtl));
    }
}
