//! All keys of a server that concern us, with kind, lifetime and size.

use std::collections::BTreeSet;

use super::InspectError;
use super::bus::Server;
use super::namespace::{Namespaces, Standing};
use crate::projector::registry::RegisteredKey;

/// Keys of one `SCAN` step, and of one question about them.
const SCAN_COUNT: usize = 500;
/// Keys in our namespaces that are looked at, at most.
const KEYS_MAX: usize = 100_000;

/// One key in our namespaces.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub name: String,
    pub standing: Standing,
    /// Redis' name of its type: `string`, `hash`, `zset`, `stream`, `list`, `set`.
    pub kind: String,
    /// Milliseconds left; `None` lives for ever.
    pub ttl_ms: Option<u64>,
    /// Memory that it takes.
    pub memory: u64,
}

impl Seen {
    pub(super) fn registered(&self) -> Option<&RegisteredKey> {
        match &self.standing {
            Standing::Ours(key) => Some(key),
            _ => None,
        }
    }
}

/// What a server holds.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// In our namespaces, by name.
    pub seen: Vec<Seen>,
    /// Keys of others.
    pub others: u64,
    /// More keys were in our namespaces than are looked at.
    pub cut: bool,
}

/// Looks at every key once.
pub(super) async fn survey(
    server: &mut Server,
    namespaces: &Namespaces,
) -> Result<Survey, InspectError> {
    let mut survey = Survey::default();
    let (mut cursor, mut known) = (0_u64, BTreeSet::new());
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("COUNT").arg(SCAN_COUNT);
        let (next, found): (u64, Vec<Vec<u8>>) = server.ask(&scan).await?;
        let mut batch = Vec::new();
        for name in found {
            // A key that is no text is nobody's of ours.
            let Ok(name) = String::from_utf8(name) else {
                survey.others += 1;
                continue;
            };
            match namespaces.standing(&name) {
                Standing::Elsewhere => survey.others += 1,
                // SCAN may give a key twice.
                standing if known.insert(name.clone()) => batch.push((name, standing)),
                _ => {}
            }
        }
        survey.cut = survey.seen.len() + batch.len() > KEYS_MAX;
        batch.truncate(KEYS_MAX.saturating_sub(survey.seen.len()));
        survey.seen.extend(look(server, batch).await?);
        if next == 0 || survey.cut {
            survey.seen.sort_by(|a, b| a.name.cmp(&b.name));
            return Ok(survey);
        }
        cursor = next;
    }
}

async fn look(
    server: &mut Server,
    batch: Vec<(String, Standing)>,
) -> Result<Vec<Seen>, InspectError> {
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    let mut pipeline = redis::pipe();
    for (name, _) in &batch {
        pipeline.cmd("TYPE").arg(name).cmd("PTTL").arg(name);
        pipeline.cmd("MEMORY").arg("USAGE").arg(name);
    }
    let answers: Vec<redis::Value> = server.all(&pipeline).await?;
    let mut seen = Vec::with_capacity(batch.len());
    for ((name, standing), answer) in batch.into_iter().zip(answers.chunks(3)) {
        let [kind, ttl, memory] = answer else { continue };
        let kind: String = redis::from_redis_value_ref(kind).unwrap_or_default();
        let ttl: i64 = redis::from_redis_value_ref(ttl).unwrap_or(-2);
        let memory: Option<u64> = redis::from_redis_value_ref(memory).unwrap_or_default();
        // It expired between two questions.
        if kind == "none" || ttl == -2 {
            continue;
        }
        let (ttl_ms, memory) = (u64::try_from(ttl).ok(), memory.unwrap_or(0));
        seen.push(Seen { name, standing, kind, ttl_ms, memory });
    }
    Ok(seen)
}
