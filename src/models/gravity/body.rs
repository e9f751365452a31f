//! The body of a gravity artifact.

use orrery_journal::units::{NANOS_PER_SECOND, TradingDay};
use serde::Serialize;

use super::counts::Counts;
use super::held::{Kind, Shown, ShownDay};
use super::histogram::{Extent, SCALE};
use super::lines::Line;
use super::profile::Definitions;
use super::structures::{Detection, Structures};
use super::{Gravity, Proxy, memory};
use crate::market::book::Market;

#[derive(Serialize)]
struct Body<'a> {
    symbol: &'a str,
    profile: Profile<'a>,
    raw_bins: Vec<u32>,
    structures: Found,
    structural_lines: Vec<&'a Line>,
    meta: Meta<'a>,
    quality: Quality<'a>,
}

#[derive(Serialize)]
struct Profile<'a> {
    min: f64,
    step: f64,
    bins: &'a [u32],
}

#[derive(Serialize)]
struct Found {
    volume_nodes: Vec<f64>,
    volume_wells: Vec<(f64, f64)>,
    crevasses: Vec<(f64, f64)>,
    market_memory_strength: f64,
}

#[derive(Serialize)]
struct Meta<'a> {
    spot: Option<f64>,
    algorithm: &'static str,
    profile: &'static str,
    detection: Detection,
    memory: &'static str,
    normalized_scale: u32,
    volume_source: &'static str,
    proxy: Option<&'a Proxy>,
    days: Option<Days>,
    definitions: &'a Definitions,
}

/// Which trading days make the profile, where not simply all do.
#[derive(Serialize)]
struct Days {
    max: u32,
    half_life: Option<f64>,
    held: Vec<Day>,
}

#[derive(Serialize)]
struct Day {
    day: String,
    weight: f64,
    volume: f64,
    source: &'static str,
}

#[derive(Serialize)]
struct Quality<'a> {
    /// Share of the shares of bars and trades that stand in the bins which are
    /// shown: not lost by the definitions, no outlier.
    coverage: Option<f64>,
    /// 1 when the newest volume is older than `stale_after_s`, else 0.
    stale_share: Option<f64>,
    stale_after_s: i64,
    volume: f64,
    bins: u64,
    outlier_bins: u64,
    outlier_volume: f64,
    outlier_factor: f64,
    bins_max: i64,
    /// Shares that the definitions lose.
    lost_volume: f64,
    /// Length of the bars that are shown, seconds.
    bar_s: Option<f64>,
    counts: &'a Counts,
    volume_age_ms: Option<i64>,
    /// What is null, and why.
    absent: Vec<&'static str>,
}

/// The canonical body, or `None` where no volume is to be shown.
pub(super) fn body(model: &Gravity, market: &Market<'_>) -> Option<Vec<u8>> {
    let shown = model.held.shown(&model.rules)?;
    let bounds = model.bounds();
    let extent = shown.spread.extent(&bounds)?;
    let bins = shown.spread.compact(extent.first, extent.last);
    let definitions = &model.rules.definitions;
    let found = definitions.detection.detect(&bins);
    let newest = shown.days.last();
    let (volume, lost) = (shown.spread.volume(), shown.lost);
    let coverage = (volume + lost > 0.0)
        .then(|| ((volume - extent.outlier_volume) / (volume + lost)).clamp(0.0, 1.0));
    let age_ms = model.last_volume_at.map(|at| market.now.0.saturating_sub(at.0) / 1_000_000);
    let stale_after_ms = model.stale_after_s.saturating_mul(1_000);
    let body = Body {
        symbol: market.symbol,
        profile: Profile { min: extent.first as f64 * bounds.step, step: bounds.step, bins: &bins },
        // A close may lie one bin above the last micro-bin of its bar.
        raw_bins: shown.raw.compact(extent.first, extent.last + 1),
        structures: structures(&found, &bins, &extent, bounds.step),
        structural_lines: model.annotations.values().flat_map(|a| &a.lines).collect(),
        meta: Meta {
            spot: market.spot.map(|s| s.value),
            algorithm: model.profile.get().algorithm,
            profile: model.profile.get().name,
            detection: definitions.detection,
            memory: "m1",
            normalized_scale: SCALE as u32,
            volume_source: newest.map_or("none", |d| d.kind.name()),
            proxy: shown.source.checked_sub(1).and_then(|at| model.proxies.get(usize::from(at))),
            days: days(model, &shown),
            definitions,
        },
        quality: Quality {
            coverage,
            stale_share: age_ms.map(|age| f64::from(u8::from(age > stale_after_ms))),
            stale_after_s: model.stale_after_s,
            volume,
            bins: shown.spread.bins(),
            outlier_bins: extent.outlier_bins,
            outlier_volume: extent.outlier_volume,
            outlier_factor: bounds.outlier_factor,
            bins_max: bounds.bins_max,
            lost_volume: lost,
            bar_s: newest.and_then(|d| match d.kind {
                Kind::Bars(length) if length > 0 => Some(length as f64 / NANOS_PER_SECOND as f64),
                Kind::Bars(_) | Kind::Trades => None,
            }),
            counts: &model.counts,
            volume_age_ms: age_ms,
            absent: [
                market.spot.is_none().then_some("no_spot"),
                coverage.is_none().then_some("coverage: no_volume"),
                age_ms.is_none().then_some("stale_share: no_volume_yet"),
            ]
            .into_iter()
            .flatten()
            .collect(),
        },
    };
    serde_json::to_vec(&body).ok()
}

fn structures(found: &Structures, bins: &[u32], extent: &Extent, step: f64) -> Found {
    let price = |index: usize| (extent.first as f64 + index as f64) * step;
    let pairs = |pairs: &[(usize, usize)]| pairs.iter().map(|p| (price(p.0), price(p.1))).collect();
    Found {
        volume_nodes: found.nodes.iter().map(|i| price(*i)).collect(),
        volume_wells: pairs(&found.wells),
        crevasses: pairs(&found.crevasses),
        market_memory_strength: memory::strength(bins, found),
    }
}

fn days(model: &Gravity, shown: &Shown) -> Option<Days> {
    let max = model.rules.days?;
    let day = |d: &ShownDay| Day {
        day: TradingDay::to_string(&d.day),
        weight: d.weight,
        volume: d.volume,
        source: d.kind.name(),
    };
    Some(Days {
        max,
        half_life: model.rules.half_life_days,
        held: shown.days.iter().map(day).collect(),
    })
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Kind::Bars(_) => "bars",
            Kind::Trades => "trades",
        }
    }
}
