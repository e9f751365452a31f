//! `gravity`: how much was traded at which price, and what stands out in it.
//!
//! Bars of the underlying (or of a proxy, scaled to its points) are spread over
//! 30 micro-bins each, trades lie at their price. What counts as what is the
//! profile's ([`profile`]): rounding, bars without range, detection of
//! structures, days. Bars and trades describe the same volume, and so do bars
//! of two lengths; proxies count in units of their own. So nothing of it is
//! ever added up: [`held`] keeps it apart and says what is shown.

mod body;
pub mod held;
pub mod histogram;
pub mod lines;
pub mod memory;
pub mod microbins;
pub mod profile;
pub mod structures;

use std::collections::BTreeMap;

use orrery_journal::units::{NANOS_PER_SECOND, RecvTime, Seq};
use orrery_replay::canonical::{Decoder, Encoder};
use orrery_replay::fold::RestoreError;
use serde::{Deserialize, Serialize};

use self::held::{BarSpan, Corrected, Held, Rules, Source, Taken};
use self::histogram::Bounds;
use self::lines::{AUTHORS_MAX, Line};
use self::microbins::BarVolume;
use self::profile::Chosen;
use super::{Change, Model, Scope};
use crate::market::book::Market;

const STATE_VERSION: u8 = 2;

/// Parameters of all profiles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// The profile of the family `gravity`. Default: `gravity/tv-microbins-30@1`.
    pub profile: Chosen,
    /// Profiles that run beside it, each as a family of its own
    /// (`gravity_session`). Default: none.
    pub beside: Vec<Chosen>,
    /// Width of a bin in points of the underlying. Default: 1.
    pub step: f64,
    /// Width of a bin for single symbols, such as 0.25 for XSP. Default: none.
    pub steps: BTreeMap<String, f64>,
    /// Trading days that count, by the journal's calendar; the newest are kept,
    /// days without volume are none. Default: null, all of them.
    pub days: Option<u32>,
    /// Trading days with volume after which a day counts half; needs `days`.
    /// Default: null, all count alike.
    pub half_life_days: Option<f64>,
    /// A bin at less than 1/n or more than n times the median price of the
    /// volume is an outlier: kept, counted and left out of the dense array.
    /// Default: 2.
    pub outlier_factor: f64,
    /// Longest dense array; of a wider profile the part around the median is
    /// shown. Default: 20,000.
    pub bins_max: i64,
    /// Newest trades that a correction can still reach. Default: 16,384.
    pub kept_trades: usize,
    /// Newest bars that a correction, or the same bar sent again, can still
    /// reach. Default: 4,096.
    pub kept_bars: usize,
}

impl Default for Parameters {
    fn default() -> Self {
        Parameters {
            profile: Chosen::default(),
            beside: Vec::new(),
            step: 1.0,
            steps: BTreeMap::new(),
            days: None,
            half_life_days: None,
            outlier_factor: 2.0,
            bins_max: 20_000,
            kept_trades: 16_384,
            kept_bars: 4_096,
        }
    }
}

impl Parameters {
    /// Width of a bin for a symbol, in its points.
    #[must_use]
    pub fn step_of(&self, symbol: &str) -> f64 {
        self.steps.get(symbol).copied().unwrap_or(self.step)
    }

    /// The first value that cannot be used, with what would be right.
    ///
    /// # Errors
    /// When there is one.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let positive = |x: f64| x.is_finite() && x > 0.0;
        if !positive(self.step) || self.bins_max <= 0 {
            return Err(("gravity", "step and bins_max must be above 0"));
        }
        if !self.steps.values().copied().all(positive) {
            return Err(("gravity.steps", "must be above 0"));
        }
        if self.outlier_factor.is_nan() || self.outlier_factor < 1.0 {
            return Err(("gravity.outlier_factor", "must be at least 1"));
        }
        if !self.days.is_none_or(|n| (1..=2_600).contains(&n)) {
            return Err(("gravity.days", "must be between 1 and 2600, or null for all"));
        }
        if !self.half_life_days.is_none_or(|h| positive(h) && self.days.is_some()) {
            return Err(("gravity.half_life_days", "must be above 0, and needs gravity.days"));
        }
        let kept = 1..=1_000_000;
        if !kept.contains(&self.kept_trades) || !kept.contains(&self.kept_bars) {
            return Err(("gravity.kept_trades", "and kept_bars must be between 1 and 1,000,000"));
        }
        let mut families: Vec<_> = self.beside.iter().map(|p| p.get().family).collect();
        families.sort_unstable();
        if families.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(("gravity.beside", "names a profile twice"));
        }
        Ok(())
    }
}

/// An instrument whose volume stands for the underlying's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Proxy {
    /// Its symbol: `SPY`.
    pub symbol: String,
    /// Points of the underlying per point of it: 10.
    pub multiplier: f64,
}

/// The model of one profile.
#[derive(Clone, Debug, PartialEq)]
pub struct Gravity {
    profile: Chosen,
    family: &'static str,
    rules: Rules,
    outlier_factor: f64,
    bins_max: i64,
    /// In the order in which changes name them.
    proxies: Vec<Proxy>,
    held: Held,
    counts: Counts,
    last_volume_at: Option<RecvTime>,
    annotations: BTreeMap<String, Annotation>,
}

/// The lines of an author.
#[derive(Clone, Debug, PartialEq)]
struct Annotation {
    at: RecvTime,
    seq: Seq,
    lines: Vec<Line>,
}

/// What the model was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Counts {
    bars: u64,
    /// Of the same span as one before, whose place they took.
    bars_again: u64,
    /// Older than the bars that are kept.
    bars_late: u64,
    bars_refused: u64,
    bars_without_volume: u64,
    trades: u64,
    trades_refused: u64,
    annotations: u64,
    annotations_refused: u64,
    corrections: u64,
    /// Of events that are not ours, or no longer kept one by one.
    corrections_elsewhere: u64,
    corrections_refused: u64,
}

impl Counts {
    fn fields(&mut self) -> [&mut u64; 12] {
        [
            &mut self.bars,
            &mut self.bars_again,
            &mut self.bars_late,
            &mut self.bars_refused,
            &mut self.bars_without_volume,
            &mut self.trades,
            &mut self.trades_refused,
            &mut self.annotations,
            &mut self.annotations_refused,
            &mut self.corrections,
            &mut self.corrections_elsewhere,
            &mut self.corrections_refused,
        ]
    }
}

impl Gravity {
    /// The model of the main profile, which has seen nothing. `proxies` are
    /// those of the symbol, in the order in which changes name them; what the
    /// model takes is in points of the underlying already.
    #[must_use]
    pub fn new(symbol: &str, parameters: &Parameters, proxies: Vec<Proxy>) -> Gravity {
        Gravity::of(symbol, parameters, proxies, parameters.profile, "gravity")
    }

    /// The models of all profiles, the main one first.
    #[must_use]
    pub fn all(symbol: &str, parameters: &Parameters, proxies: &[Proxy]) -> Vec<Gravity> {
        let beside = parameters.beside.iter().map(|profile| {
            Gravity::of(symbol, parameters, proxies.to_vec(), *profile, profile.get().family)
        });
        let main = Gravity::new(symbol, parameters, proxies.to_vec());
        std::iter::once(main).chain(beside).collect()
    }

    fn of(
        symbol: &str,
        parameters: &Parameters,
        proxies: Vec<Proxy>,
        profile: Chosen,
        family: &'static str,
    ) -> Gravity {
        let definitions = profile.get().definitions;
        Gravity {
            profile,
            family,
            rules: Rules {
                definitions,
                step: parameters.step_of(symbol),
                days: definitions.days.or(parameters.days),
                half_life_days: match definitions.days {
                    Some(_) => definitions.half_life_days,
                    None => parameters.half_life_days,
                },
                kept_trades: parameters.kept_trades,
                kept_bars: parameters.kept_bars,
            },
            outlier_factor: parameters.outlier_factor,
            bins_max: parameters.bins_max,
            proxies,
            held: Held::default(),
            counts: Counts::default(),
            last_volume_at: None,
            annotations: BTreeMap::new(),
        }
    }

    const fn bounds(&self) -> Bounds {
        Bounds {
            step: self.rules.step,
            outlier_factor: self.outlier_factor,
            bins_max: self.bins_max,
            prices: self.rules.definitions.prices,
        }
    }

    fn bar(
        &mut self,
        (source, span): (Source, Option<BarSpan>),
        bar: Option<BarVolume>,
        market: &Market<'_>,
    ) -> bool {
        // An index has no volume, and a minute may pass without a trade.
        let Some(bar) = bar else {
            self.counts.bars_without_volume += 1;
            return false;
        };
        let rules = &self.rules;
        match self.held.bar(rules, market.seq, source, market.day, (span, bar)) {
            Taken::New => self.counts.bars += 1,
            Taken::Again => self.counts.bars_again += 1,
            Taken::Late => {
                self.counts.bars_late += 1;
                return false;
            }
            Taken::Refused => {
                self.counts.bars_refused += 1;
                return false;
            }
        }
        self.held.shows(source)
    }

    fn trade(&mut self, source: Source, price: f64, size: f64, market: &Market<'_>) -> bool {
        let rules = &self.rules;
        let taken = self.held.trade(rules, market.seq, source, market.day, (price, size));
        self.counts.trades += u64::from(taken);
        self.counts.trades_refused += u64::from(!taken);
        taken && self.held.shows_trades(rules, source, market.day)
    }

    fn annotate(&mut self, json: &[u8], market: &Market<'_>) -> bool {
        let Some((author, lines)) = lines::parse(json, market.now, market.seq) else {
            self.counts.annotations_refused += 1;
            // Its count stands in the body.
            return !self.held.is_empty();
        };
        self.counts.annotations += 1;
        self.annotations.insert(author, Annotation { at: market.now, seq: market.seq, lines });
        if self.annotations.len() > AUTHORS_MAX {
            let oldest = self.annotations.iter().min_by_key(|(_, a)| a.at);
            if let Some(author) = oldest.map(|(author, _)| author.clone()) {
                self.annotations.remove(&author);
            }
        }
        true
    }

    fn correct(&mut self, corrects: Seq, right: &[u8], market: &Market<'_>) -> bool {
        let drawn = self.annotations.iter().find(|(_, a)| a.seq == corrects);
        if let Some(author) = drawn.map(|(author, _)| author.clone()) {
            let new = lines::parse(right, market.now, market.seq);
            // A correction speaks for nobody else.
            let fine = right.is_empty() || new.as_ref().is_some_and(|(by, _)| *by == author);
            if !fine {
                self.counts.corrections_refused += 1;
                return true;
            }
            self.annotations.remove(&author);
            if let Some((author, lines)) = new {
                let annotation = Annotation { at: market.now, seq: market.seq, lines };
                self.annotations.insert(author, annotation);
            }
            self.counts.corrections += 1;
            return true;
        }
        let proxies = &self.proxies;
        let by = |source: Source| {
            let proxy = source.checked_sub(1).and_then(|at| proxies.get(usize::from(at)));
            proxy.map_or(1.0, |p| p.multiplier)
        };
        match self.held.correct(&self.rules, corrects, right, by) {
            Corrected::Done => self.counts.corrections += 1,
            Corrected::Elsewhere => self.counts.corrections_elsewhere += 1,
            Corrected::Refused => self.counts.corrections_refused += 1,
        }
        !self.held.is_empty()
    }
}

/// Where the volume of a change belongs.
fn source(proxy: Option<u8>) -> Source {
    proxy.map_or(0, |at| at.saturating_add(1))
}

impl Model for Gravity {
    fn family(&self) -> &'static str {
        self.family
    }

    fn profile(&self) -> &'static str {
        self.profile.get().name
    }

    fn scope(&self) -> Scope {
        Scope::Partition
    }

    fn cadence_ns(&self) -> i64 {
        NANOS_PER_SECOND
    }

    fn apply(&mut self, change: &Change<'_>, market: &Market<'_>) -> bool {
        let due = match *change {
            Change::UnderlyingBar { span, proxy, high, low, close, volume, vwap, .. } => {
                let bar = volume.filter(|v| *v != 0.0).map(|volume| BarVolume {
                    high,
                    low,
                    close,
                    weighted: vwap,
                    volume,
                });
                let span = span.map(|(start, end)| (start.0, end.0));
                self.bar((source(proxy), span), bar, market)
            }
            Change::UnderlyingTrade { proxy, price, size } => {
                self.trade(source(proxy), price, size, market)
            }
            Change::Annotation(json) => return self.annotate(json, market),
            Change::Correction { corrects, right } => {
                return self.correct(corrects, right, market);
            }
            Change::All => return !self.held.is_empty(),
            _ => return false,
        };
        if due {
            self.last_volume_at = Some(market.now);
        }
        due
    }

    fn emit(&mut self, market: &Market<'_>) -> Option<Vec<u8>> {
        body::body(self, market)
    }

    fn save(&self, out: &mut Vec<u8>) {
        let mut e = Encoder::new(out);
        e.u8(STATE_VERSION);
        self.held.save(&mut e);
        let mut counts = self.counts;
        for count in counts.fields() {
            e.u64(*count);
        }
        e.padded(self.last_volume_at, Encoder::recv);
        e.count(self.annotations.len());
        for (author, annotation) in &self.annotations {
            e.text(author);
            e.recv(annotation.at);
            e.seq(annotation.seq);
            // Strings and finite numbers always serialise.
            e.bytes(&serde_json::to_vec(&annotation.lines).unwrap_or_default());
        }
    }

    fn restore(&mut self, bytes: &[u8], _market: &Market<'_>) -> Result<(), RestoreError> {
        let mut d = Decoder::new(bytes);
        d.version(STATE_VERSION)?;
        let held = Held::restore(&mut d)?;
        let mut counts = Counts::default();
        for count in counts.fields() {
            *count = d.u64()?;
        }
        let last_volume_at = d.padded(Decoder::recv)?;
        let mut annotations = BTreeMap::new();
        for _ in 0..d.count()? {
            let author = d.text()?.to_owned();
            let (at, seq) = (d.recv()?, d.seq()?);
            let lines = serde_json::from_slice(d.bytes()?)
                .map_err(|e| RestoreError(format!("lines are no JSON: {e}")))?;
            annotations.insert(author, Annotation { at, seq, lines });
        }
        d.end()?;
        (self.held, self.counts) = (held, counts);
        (self.last_volume_at, self.annotations) = (last_volume_at, annotations);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
