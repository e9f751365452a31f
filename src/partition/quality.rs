//! How good the input of the active epoch is: the quality block of `epoch`.

use std::collections::BTreeMap;

use orrery_journal::units::RecvTime;
use serde::Serialize;

use super::chain::LastChain;
use super::living::Living;
use super::{Counters, Partition};
use crate::market::book::QuoteProblem;
use crate::market::epoch::Active;

#[derive(Serialize)]
pub(super) struct Quality<'a> {
    dormant: bool,
    dormancies: u32,
    chains: u64,
    contracts: u64,
    two_sided: u64,
    /// Share of the living contracts with a two-sided quote.
    coverage: Option<f64>,
    /// Share of the quoted ones whose quote is older than `stale_after_s`.
    stale_share: Option<f64>,
    stale_after_s: i64,
    age_ms: Ages,
    /// Contracts without a two-sided quote, each under the first reason.
    excluded: BTreeMap<&'static str, u64>,
    last_chain: Option<Rows>,
    damaged: Option<Damaged>,
    absent: Vec<&'static str>,
    #[serde(flatten)]
    counters: &'a Counters,
}

#[derive(Serialize, Default)]
struct Ages {
    chain: Option<i64>,
    spot: Option<i64>,
    newest_quote: Option<i64>,
    oldest_quote: Option<i64>,
}

/// Rows and figures of the last chain that were left out.
#[derive(Serialize)]
struct Rows {
    refused: u32,
    unknown: u32,
    duplicate: u32,
    volatilities_in_percent: u32,
}

#[derive(Serialize)]
struct Damaged {
    reason: &'static str,
    seq: u64,
    at: String,
    in_a_row: u32,
    believed_at: u32,
}

pub(super) fn quality<'a>(partition: &'a Partition, active: &Living<Active>) -> Quality<'a> {
    let now = partition.here.now;
    let parameters = &partition.parameters.epochs;
    let age = |at: RecvTime| now.0.saturating_sub(at.0) / 1_000_000;
    let mut ages = Ages {
        chain: active.chain.map(|chain| age(chain.at)),
        spot: partition.here.spot.map(|spot| age(spot.at)),
        ..Ages::default()
    };
    let book = active.epoch.live.book();
    let mut excluded = BTreeMap::new();
    let mut leave_out = |why| *excluded.entry(why).or_insert(0) += 1;
    let (mut living, mut two_sided, mut quoted, mut stale) = (0_u64, 0_u64, 0_u64, 0_u64);
    for (contract, state) in book.topology.contracts.iter().zip(&book.states) {
        if contract.settles_at < now {
            leave_out("expired");
            continue;
        }
        living += 1;
        match state.quote() {
            Ok(_) => two_sided += 1,
            Err(QuoteProblem::Missing) => leave_out("unquoted"),
            Err(QuoteProblem::OneSided) => leave_out("one_sided"),
            Err(QuoteProblem::Crossed) => leave_out("crossed"),
        }
        if let Some(age) = state.quoted_at.map(age) {
            quoted += 1;
            stale += u64::from(age > parameters.stale_after_s.saturating_mul(1_000));
            ages.newest_quote = Some(ages.newest_quote.map_or(age, |a| a.min(age)));
            ages.oldest_quote = Some(ages.oldest_quote.map_or(age, |a| a.max(age)));
        }
    }
    let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
    let mut absent = Vec::new();
    if partition.here.spot.is_none() {
        absent.push("no_spot");
    }
    if living == 0 {
        absent.push("no_living_contract");
    } else if quoted == 0 {
        absent.push("no_quotes");
    }
    Quality {
        dormant: active.epoch.record.dormant,
        dormancies: active.epoch.record.dormancies,
        chains: active.epoch.record.chains,
        contracts: book.topology.contracts.len() as u64,
        two_sided,
        coverage: share(two_sided, living),
        stale_share: share(stale, quoted),
        stale_after_s: parameters.stale_after_s,
        age_ms: ages,
        excluded,
        last_chain: active.chain.map(Rows::from),
        damaged: partition.doubt.map(|doubt| Damaged {
            reason: doubt.damage.name(),
            seq: doubt.at.seq.0,
            at: doubt.at.at.to_rfc3339(),
            in_a_row: doubt.in_a_row,
            believed_at: parameters.damage_patience,
        }),
        absent,
        counters: &partition.counters,
    }
}

impl From<LastChain> for Rows {
    fn from(chain: LastChain) -> Rows {
        Rows {
            refused: chain.refused_rows,
            unknown: chain.unknown_rows,
            duplicate: chain.duplicate_rows,
            volatilities_in_percent: chain.volatilities_in_percent,
        }
    }
}
