//! `gravity`: how much was traded at which price, and what stands out in it.
//!
//! Bars of the underlying (or of a proxy, scaled to its points) are spread over
//! 30 micro-bins each, trades lie at their price. What counts as what is the
//! profile's ([`profile`]): rounding, bars without range, detection of
//! structures, days. Bars and trades describe the same volume, and so do bars
//! of two lengths; proxies count in units of their own. So nothing of it is
//! ever added up: [`held`] keeps it apart and says what is shown.

mod body;
mod counts;
pub mod held;
pub mod histogram;
pub mod lines;
pub mod memory;
pub mod microbins;
pub mod parameters;
pub mod profile;
pub mod structures;

use std::collections::BTreeMap;

use orrery_journal::units::{NANOS_PER_SECOND, RecvTime, Seq};
use orrery_replay::canonical::{Decoder, Encoder};
use orrery_replay::fold::RestoreError;
use serde::Serialize;

use self::counts::Counts;
use self::held::{BarSpan, Corrected, Held, Rules, Source, Taken};
use self::histogram::Bounds;
use self::lines::{AUTHORS_MAX, Line};
use self::microbins::BarVolume;
pub use self::parameters::Parameters;
use self::profile::Chosen;
use super::{Change, Model, Scope};
use crate::market::book::Market;

const STATE_VERSION: u8 = 2;

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
    stale_after_s: i64,
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
            stale_after_s: parameters.stale_after_s,
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
