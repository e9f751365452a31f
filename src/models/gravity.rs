//! `gravity`: how much was traded at which price, and what stands out in it.
//!
//! Profile `gravity/tv-microbins-30@1`: bars of the underlying (or of a proxy,
//! scaled to its points) are spread over 30 micro-bins each, trades lie at their
//! price; bins are one point wide and there is no price ceiling. Bars and trades
//! describe the same volume, so they are kept apart and never added: bars are
//! shown as soon as there is one, else trades; the body says which. Structures
//! by percentile (D1), market memory M1. `raw_bins` holds the volume at closes
//! and trade prices only. The profile grows as long as the journal does.

pub mod lines;
pub mod memory;
pub mod microbins;
pub mod structures;

use std::collections::BTreeMap;

use orrery_journal::units::{NANOS_PER_SECOND, RecvTime};
use orrery_replay::canonical::{Decoder, Encoder};
use orrery_replay::fold::RestoreError;
use serde::Serialize;

use self::lines::{AUTHORS_MAX, Line};
use self::microbins::{Histogram, Parameters, SCALE};
use super::{Change, Model, Scope};
use crate::market::book::Market;

const STATE_VERSION: u8 = 1;

/// The instrument whose volume stands for the underlying's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Proxy {
    /// Its symbol: `SPY`.
    pub symbol: String,
    /// Points of the underlying per point of it: 10.
    pub multiplier: f64,
}

/// The model.
#[derive(Clone, Debug, PartialEq)]
pub struct Gravity {
    parameters: Parameters,
    proxy: Option<Proxy>,
    /// Bars over their range.
    bars: Histogram,
    /// Bars at their close.
    closes: Histogram,
    /// Trades at their price.
    trades: Histogram,
    counts: Counts,
    last_volume_at: Option<RecvTime>,
    annotations: BTreeMap<String, (RecvTime, Vec<Line>)>,
}

/// What the model was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Counts {
    bars: u64,
    bars_refused: u64,
    bars_without_volume: u64,
    trades: u64,
    trades_refused: u64,
    annotations: u64,
    annotations_refused: u64,
}

impl Counts {
    fn fields(&mut self) -> [&mut u64; 7] {
        [
            &mut self.bars,
            &mut self.bars_refused,
            &mut self.bars_without_volume,
            &mut self.trades,
            &mut self.trades_refused,
            &mut self.annotations,
            &mut self.annotations_refused,
        ]
    }
}

impl Gravity {
    /// A model that has seen nothing. `proxy` is only named in the bodies: what
    /// the model takes is in points of the underlying already.
    #[must_use]
    pub fn new(parameters: Parameters, proxy: Option<Proxy>) -> Gravity {
        let empty = Histogram::new(parameters.step);
        Gravity {
            parameters,
            proxy,
            bars: empty.clone(),
            closes: empty.clone(),
            trades: empty,
            counts: Counts::default(),
            last_volume_at: None,
            annotations: BTreeMap::new(),
        }
    }

    fn bar(&mut self, high: f64, low: f64, close: f64, volume: Option<f64>) -> bool {
        match volume {
            // An index has no volume, and a minute may pass without a trade.
            None | Some(0.0) => {
                self.counts.bars_without_volume += 1;
                false
            }
            Some(volume) if self.bars.add_bar(high, low, volume) => {
                self.closes.add_at(close, volume);
                self.counts.bars += 1;
                true
            }
            Some(_) => {
                self.counts.bars_refused += 1;
                false
            }
        }
    }

    fn annotate(&mut self, json: &[u8], at: RecvTime) -> bool {
        let Some((author, lines)) = lines::parse(json, at) else {
            self.counts.annotations_refused += 1;
            // Its count stands in the body.
            return self.has_volume();
        };
        self.counts.annotations += 1;
        self.annotations.insert(author, (at, lines));
        if self.annotations.len() > AUTHORS_MAX {
            let oldest = self.annotations.iter().min_by_key(|(_, (at, _))| *at);
            if let Some(author) = oldest.map(|(author, _)| author.clone()) {
                self.annotations.remove(&author);
            }
        }
        true
    }

    fn has_volume(&self) -> bool {
        !self.bars.is_empty() || !self.trades.is_empty()
    }
}

impl Model for Gravity {
    fn family(&self) -> &'static str {
        "gravity"
    }

    fn profile(&self) -> &'static str {
        "gravity/tv-microbins-30@1"
    }

    fn scope(&self) -> Scope {
        Scope::Partition
    }

    fn cadence_ns(&self) -> i64 {
        NANOS_PER_SECOND
    }

    fn apply(&mut self, change: &Change<'_>, market: &Market<'_>) -> bool {
        let due = match *change {
            Change::UnderlyingBar { high, low, close, volume, .. } => {
                self.bar(high, low, close, volume)
            }
            Change::UnderlyingTrade { price, size } => {
                let taken = self.trades.add_at(price, size);
                self.counts.trades += u64::from(taken);
                self.counts.trades_refused += u64::from(!taken);
                // Bars are shown instead as soon as there is one.
                taken && self.bars.is_empty()
            }
            Change::Annotation(json) => return self.annotate(json, market.now),
            Change::All => return self.has_volume(),
            _ => return false,
        };
        if due {
            self.last_volume_at = Some(market.now);
        }
        due
    }

    fn emit(&mut self, market: &Market<'_>) -> Option<Vec<u8>> {
        let (source, profile, raw) = if self.bars.is_empty() {
            ("trades", &self.trades, &self.trades)
        } else {
            ("bars", &self.bars, &self.closes)
        };
        let extent = profile.extent(&self.parameters)?;
        let bins = profile.compact(extent.first, extent.last);
        let found = structures::detect(&bins);
        let step = self.parameters.step;
        let price = |index: usize| (extent.first as f64 + index as f64) * step;
        let pairs =
            |pairs: &[(usize, usize)]| pairs.iter().map(|p| (price(p.0), price(p.1))).collect();
        let body = Body {
            symbol: market.symbol,
            profile: Profile { min: extent.first as f64 * step, step, bins: &bins },
            // A close may lie one bin above the last micro-bin of its bar.
            raw_bins: raw.compact(extent.first, extent.last + 1),
            structures: Found {
                volume_nodes: found.nodes.iter().map(|i| price(*i)).collect(),
                volume_wells: pairs(&found.wells),
                crevasses: pairs(&found.crevasses),
                market_memory_strength: memory::strength(&bins, &found),
            },
            structural_lines: self.annotations.values().flat_map(|(_, lines)| lines).collect(),
            meta: Meta {
                spot: market.spot.map(|s| s.value),
                algorithm: "tv_microbins_30",
                detection: "percentile_d1",
                memory: "m1",
                normalized_scale: SCALE as u32,
                volume_source: source,
                proxy: self.proxy.as_ref(),
            },
            quality: Quality {
                volume: profile.volume(),
                bins: profile.bins.len() as u64,
                outlier_bins: extent.outlier_bins,
                outlier_volume: extent.outlier_volume,
                outlier_factor: self.parameters.outlier_factor,
                bins_max: self.parameters.bins_max,
                counts: self.counts,
                volume_age_ms: self
                    .last_volume_at
                    .map(|at| market.now.0.saturating_sub(at.0) / 1_000_000),
            },
        };
        serde_json::to_vec(&body).ok()
    }

    fn save(&self, out: &mut Vec<u8>) {
        let mut e = Encoder::new(out);
        e.u8(STATE_VERSION);
        for histogram in [&self.bars, &self.closes, &self.trades] {
            e.count(histogram.bins.len());
            for (bin, volume) in &histogram.bins {
                e.i64(*bin);
                e.f64(*volume);
            }
        }
        let mut counts = self.counts;
        for count in counts.fields() {
            e.u64(*count);
        }
        e.padded(self.last_volume_at, Encoder::recv);
        e.count(self.annotations.len());
        for (author, (at, lines)) in &self.annotations {
            e.text(author);
            e.recv(*at);
            // Strings and finite numbers always serialise.
            e.bytes(&serde_json::to_vec(lines).unwrap_or_default());
        }
    }

    fn restore(&mut self, bytes: &[u8], _market: &Market<'_>) -> Result<(), RestoreError> {
        let mut d = Decoder::new(bytes);
        d.version(STATE_VERSION)?;
        let mut new = Gravity::new(self.parameters, self.proxy.clone());
        for histogram in [&mut new.bars, &mut new.closes, &mut new.trades] {
            for _ in 0..d.count()? {
                let (bin, volume) = (d.i64()?, d.f64()?);
                histogram.bins.insert(bin, volume);
            }
        }
        for count in new.counts.fields() {
            *count = d.u64()?;
        }
        new.last_volume_at = d.padded(Decoder::recv)?;
        for _ in 0..d.count()? {
            let author = d.text()?.to_owned();
            let at = d.recv()?;
            let lines = serde_json::from_slice(d.bytes()?)
                .map_err(|e| RestoreError(format!("lines are no JSON: {e}")))?;
            new.annotations.insert(author, (at, lines));
        }
        d.end()?;
        *self = new;
        Ok(())
    }
}

#[derive(Serialize)]
struct Body<'a> {
    symbol: &'a str,
    profile: Profile<'a>,
    raw_bins: Vec<u32>,
    structures: Found,
    structural_lines: Vec<&'a Line>,
    meta: Meta<'a>,
    quality: Quality,
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
    detection: &'static str,
    memory: &'static str,
    normalized_scale: u32,
    volume_source: &'static str,
    proxy: Option<&'a Proxy>,
}

#[derive(Serialize)]
struct Quality {
    volume: f64,
    bins: u64,
    outlier_bins: u64,
    outlier_volume: f64,
    outlier_factor: f64,
    bins_max: i64,
    counts: Counts,
    volume_age_ms: Option<i64>,
}

#[cfg(test)]
mod tests;
