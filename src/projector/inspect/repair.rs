//! Mends what an audit and a comparison find.
//!
//! What we own is sent again, by the publisher and with its rules, or loses
//! what may not stand; strangers stay unless their removal was ordered.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::sleep;

use super::audit::audit;
use super::bus::Server;
use super::compare::{compare, families};
use super::finding::{Finding, Problem};
use super::{Buses, InspectError, Ours};
use crate::projector::publisher::{Publisher, PublisherConfig};
use crate::projector::registry::slots::Scattered;
use crate::projector::registry::{Kind, RegisteredKey};
use crate::shelf::{Shelf, ShelfKey};

/// A finding counts when it is still there after this long: a publisher that is
/// at work mends most things by itself, and is a version ahead now and then.
const LASTING: Duration = Duration::from_millis(400);

/// What to mend, and how far to go.
#[derive(Clone, Debug, Default)]
pub struct Orders {
    /// Say what would be done and do nothing.
    pub dry_run: bool,
    /// Remove strangers and raw data, too.
    pub strangers: bool,
    /// Overwrite what another journal left.
    pub takeover: bool,
    /// Which keys are ours to judge, and which are written.
    pub ours: Ours,
    /// Names the journal that versions are counted in.
    pub lineage: Box<str>,
}

/// What is done about a finding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    /// The newest version of the family is stored and announced again.
    Republish,
    /// The lifetime of its entry is set.
    Expire,
    /// Its lifetime is taken away.
    Persist,
    /// A log is cut to its cap.
    Trim,
    /// The key is removed.
    Remove,
    /// Nothing: it is not ours to touch.
    Leave,
}

impl Remedy {
    /// All of them.
    pub const ALL: [Remedy; 6] = [
        Remedy::Republish,
        Remedy::Expire,
        Remedy::Persist,
        Remedy::Trim,
        Remedy::Remove,
        Remedy::Leave,
    ];

    /// Its name in JSON and gRPC.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Remedy::Republish => "republish",
            Remedy::Expire => "expire",
            Remedy::Persist => "persist",
            Remedy::Trim => "trim",
            Remedy::Remove => "remove",
            Remedy::Leave => "leave",
        }
    }
}

/// A finding and what is done about it.
#[derive(Clone, Debug, Serialize)]
pub struct Action {
    /// What is wrong.
    #[serde(flatten)]
    pub finding: Finding,
    /// What is done.
    pub remedy: Remedy,
}

/// What was found, done, and is left.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Repaired {
    /// Nothing was written.
    pub dry_run: bool,
    /// What was found, each with its remedy.
    pub actions: Vec<Action>,
    /// Versions stored and announced again.
    pub republished: u64,
    /// What is still wrong afterwards; of a dry run all of it.
    pub left: Vec<Finding>,
}

/// A repair could not be done.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// A server could not be asked.
    #[error(transparent)]
    Inspect(#[from] InspectError),
    /// The names that are switched on do not fit into a cluster.
    #[error(transparent)]
    Scattered(#[from] Scattered),
}

/// Everything that is wrong: with keys, and with documents beside what they
/// should be. Only what lasts.
///
/// # Errors
/// When a server cannot be asked.
pub async fn findings(
    buses: &Buses,
    shelf: &Shelf,
    orders: &Orders,
) -> Result<Vec<Finding>, InspectError> {
    let first = look(buses, shelf, orders).await?;
    if first.is_empty() {
        return Ok(first);
    }
    sleep(LASTING).await;
    let again = look(buses, shelf, orders).await?;
    // Versions go on; what is held and not the newest is the same finding.
    let what = |f: &Finding| {
        let held = f.detail.split(';').next().unwrap_or_default().to_owned();
        (f.bus.clone(), f.key.clone(), f.problem, held)
    };
    let before: BTreeSet<_> = first.iter().map(what).collect();
    Ok(again.into_iter().filter(|f| before.contains(&what(f))).collect())
}

async fn look(buses: &Buses, shelf: &Shelf, orders: &Orders) -> Result<Vec<Finding>, InspectError> {
    let mut findings = audit(buses, &orders.ours).await?.findings;
    let mut servers = buses.reach().await?;
    findings.extend(compare(&mut servers, shelf, orders).await?);
    findings.sort();
    Ok(findings)
}

/// Finds, mends, and looks again.
///
/// # Errors
/// When a server cannot be asked; what was done until then stays done.
pub async fn repair(
    buses: &Buses,
    shelf: &Arc<Shelf>,
    orders: &Orders,
) -> Result<Repaired, RepairError> {
    let found = findings(buses, shelf, orders).await?;
    let actions: Vec<Action> = found
        .iter()
        .map(|finding| Action { finding: finding.clone(), remedy: remedy(finding, shelf, orders) })
        .collect();
    let mut repaired = Repaired { dry_run: orders.dry_run, actions, republished: 0, left: found };
    if orders.dry_run || repaired.left.is_empty() {
        return Ok(repaired);
    }
    for server in &mut buses.reach().await? {
        let name = server.name();
        for action in repaired.actions.iter().filter(|a| a.finding.bus == name) {
            mend(server, action).await?;
        }
    }
    let to_send: Vec<&Finding> = repaired
        .actions
        .iter()
        .filter(|a| a.remedy == Remedy::Republish)
        .map(|a| &a.finding)
        .collect();
    if !to_send.is_empty() {
        let again = families(&to_send, shelf);
        repaired.republished = republish(buses, shelf, orders, again).await?;
    }
    repaired.left = findings(buses, shelf, orders).await?;
    Ok(repaired)
}

/// What is to be done about a finding.
fn remedy(finding: &Finding, shelf: &Shelf, orders: &Orders) -> Remedy {
    match finding.problem {
        Problem::Stranger | Problem::WrongBus => match orders.strangers {
            true => Remedy::Remove,
            false => Remedy::Leave,
        },
        // Raw data under a name of ours is ours to mend.
        Problem::Raw if finding.family.is_none() => match orders.strangers {
            true => Remedy::Remove,
            false => Remedy::Leave,
        },
        Problem::NoTtl | Problem::LongTtl => Remedy::Expire,
        Problem::UnexpectedTtl => Remedy::Persist,
        Problem::Overlong => Remedy::Trim,
        Problem::Ahead => Remedy::Leave,
        Problem::Foreign if !orders.takeover => Remedy::Leave,
        Problem::Raw
        | Problem::WrongType
        | Problem::Oversized
        | Problem::Schema
        | Problem::Torn
        | Problem::Missing
        | Problem::Stale
        | Problem::Differs
        | Problem::Foreign => match families(&[finding], shelf).is_empty() {
            false => Remedy::Republish,
            // No artifact stands behind it.
            true => Remedy::Remove,
        },
    }
}

async fn mend(server: &mut Server, action: &Action) -> Result<(), InspectError> {
    let name = action.finding.key.as_str();
    let key = RegisteredKey::parse(name);
    let is_list = key.as_ref().is_some_and(|key| key.entry().kind == Kind::List);
    let cap = key.as_ref().and_then(|key| key.entry().entries_max).unwrap_or(1);
    let cmd = match action.remedy {
        Remedy::Expire => {
            let ttl = key.map_or(1, |key| key.ttl_seconds().max(1));
            redis::cmd("EXPIRE").arg(name).arg(ttl).take()
        }
        Remedy::Persist => redis::cmd("PERSIST").arg(name).take(),
        Remedy::Trim if is_list => {
            redis::cmd("LTRIM").arg(name).arg(0).arg(cap.saturating_sub(1)).take()
        }
        Remedy::Trim => redis::cmd("XTRIM").arg(name).arg("MAXLEN").arg("~").arg(cap).take(),
        Remedy::Remove => redis::cmd("UNLINK").arg(name).take(),
        // A log or trail is not stored anew as a whole: what is wrong in it goes
        // with it, and begins again.
        Remedy::Republish if is_kept(key.as_ref()) => redis::cmd("UNLINK").arg(name).take(),
        Remedy::Republish | Remedy::Leave => return Ok(()),
    };
    server.ask::<redis::Value>(&cmd).await?;
    Ok(())
}

/// Whether a key grows instead of being replaced.
fn is_kept(key: Option<&RegisteredKey>) -> bool {
    key.is_some_and(|key| matches!(key.entry().kind, Kind::Zset | Kind::Stream | Kind::List))
}

/// What the publisher of a repair is told.
#[must_use]
pub fn publishing(buses: &Buses, orders: &Orders) -> PublisherConfig {
    PublisherConfig {
        system: buses.system.clone(),
        market: buses.market.clone(),
        lineage: orders.lineage.clone(),
        takeover: orders.takeover,
        prefix: None,
        sets: orders.ours.sets,
    }
}

/// Stores and announces the newest versions again; how many.
async fn republish(
    buses: &Buses,
    shelf: &Arc<Shelf>,
    orders: &Orders,
    again: BTreeSet<ShelfKey>,
) -> Result<u64, Scattered> {
    let publisher = Publisher::new(Arc::clone(shelf), publishing(buses, orders))?;
    let stats = publisher.once(again).await;
    Ok(stats.published.get() + stats.repaired.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_stay_unless_ordered_and_what_is_ours_is_mended() {
        let shelf = Shelf::default();
        let finding = |problem, family: Option<&str>| Finding {
            bus: "market".into(),
            key: "k".into(),
            problem,
            family: family.map(|f| ("SPX".to_owned(), f.to_owned())),
            detail: String::new(),
        };
        let usual = Orders::default();
        let far = Orders { strangers: true, ..Orders::default() };
        for (problem, family, by_itself, ordered) in [
            (Problem::Stranger, None, Remedy::Leave, Remedy::Remove),
            (Problem::Raw, None, Remedy::Leave, Remedy::Remove),
            (Problem::WrongBus, Some("gex"), Remedy::Leave, Remedy::Remove),
            (Problem::Raw, Some("gex"), Remedy::Remove, Remedy::Remove),
            (Problem::NoTtl, Some("gex"), Remedy::Expire, Remedy::Expire),
            (Problem::UnexpectedTtl, Some("gravity"), Remedy::Persist, Remedy::Persist),
            (Problem::Overlong, Some("heatmap"), Remedy::Trim, Remedy::Trim),
            (Problem::Ahead, Some("gex"), Remedy::Leave, Remedy::Leave),
            (Problem::Foreign, Some("gex"), Remedy::Leave, Remedy::Leave),
        ] {
            let finding = finding(problem, family);
            assert_eq!(remedy(&finding, &shelf, &usual), by_itself, "{problem:?}");
            assert_eq!(remedy(&finding, &shelf, &far), ordered, "{problem:?}");
        }
    }
}
