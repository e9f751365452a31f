//! Every parameter of every fold, in one value.
//!
//! Its canonical bytes are JSON with fields in the order below and maps sorted;
//! their hash is the configuration hash in each artifact's header. Two runs with
//! equal hashes fold alike; whoever adds a number that decides about output
//! adds it here, never as a constant that the hash does not see.

pub mod setting;
pub mod views;

use std::collections::BTreeMap;

use orrery_journal::Calendar;
use orrery_journal::units::{Address, NANOS_PER_SECOND};
use serde::{Deserialize, Serialize};

use super::{flow, gex, gravity, heatmap};
use crate::market::calendar::{CALENDAR_VERSION, TradingCalendar};
use crate::market::live_book::InnerParameters;
use crate::market::tape::TapeParameters;
use crate::market::topology::TopologyParameters;

/// Domain of configuration hashes; never used for anything else.
const HASH_CONTEXT: &str = "orrery 2026 configuration v1";

/// All parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// How a moment maps to a trading day; must be the journal's calendar.
    /// Default: New York.
    #[serde(with = "calendar_name")]
    pub calendar: Calendar,
    /// Version of the code that makes sessions and settlements of a trading
    /// calendar; another version than this build's is refused by
    /// [`Parameters::check`].
    pub calendar_version: u32,
    /// Holidays, half days and hours of US options, and the roots that settle in
    /// the morning. Default: the one that ships, 2010 to 2030.
    pub trading_calendar: TradingCalendar,
    /// When epochs begin, become active and fall silent.
    pub epochs: EpochParameters,
    /// What a topology has besides the contracts of its chain.
    pub topology: TopologyParameters,
    /// Tickers whose trades and bars stand in for those of another symbol that
    /// has no volume of its own. They feed the volume profile, never the spot.
    /// The root of a future stands for all of its months. Default: SPY for SPX
    /// times 10, ES for SPX times 1, QQQ for NDX times 41, NQ for NDX times 1.
    pub proxies: BTreeMap<String, Proxy>,
    /// Tickers of indices that measure the volatility of other symbols, with
    /// those symbols. Default: I:VIX for NDX and SPX.
    pub volatility_indices: BTreeMap<String, Vec<String>>,
    /// Profiles of the heatmap, extent of its lattice, what theory is priced with.
    pub heatmap: heatmap::Parameters,
    /// Where and how finely the book is repriced.
    pub gex: gex::Parameters,
    /// How volume is put into bins, and which of it counts.
    pub gravity: gravity::Parameters,
    /// How trades of contracts are judged.
    pub tape: TapeParameters,
    /// What the flow of trades is weighed with.
    pub flow: flow::Parameters,
    /// Definitions of views.
    pub views: views::ViewParameters,
}

/// Whose volume a ticker stands in for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proxy {
    /// The symbol without volume: `SPX`.
    pub symbol: String,
    /// The proxy's price times this is the symbol's.
    pub multiplier: f64,
    /// Where several proxies of a symbol have volume, that of the lowest rank is
    /// shown; shares and contracts are never added up. Default: 0.
    #[serde(default)]
    pub rank: u32,
}

/// The proxies of a symbol with their tickers, by rank and then by ticker.
pub fn proxies_of<'a>(
    proxies: &'a BTreeMap<String, Proxy>,
    symbol: &str,
) -> impl Iterator<Item = (&'a str, &'a Proxy)> + use<'a> {
    let mut ours: Vec<(&str, &Proxy)> =
        proxies.iter().filter(|(_, p)| p.symbol == symbol).map(|(t, p)| (t.as_str(), p)).collect();
    ours.sort_by_key(|(ticker, proxy)| (proxy.rank, *ticker));
    ours.into_iter()
}

/// What `find` knows of a ticker, or of the root of a future: `ESZ6` is `ES`
/// with the letter of a month and a year of one or two digits.
pub fn proxy_of<T>(ticker: &str, find: impl Fn(&str) -> Option<T>) -> Option<T> {
    let root = || {
        let month = ticker.trim_end_matches(|c: char| c.is_ascii_digit());
        let digits = ticker.len() - month.len();
        let root = month.strip_suffix(|c: char| "FGHJKMNQUVXZ".contains(c))?;
        ((1..=2).contains(&digits) && !root.is_empty()).then_some(root)
    };
    find(ticker).or_else(|| find(root()?))
}

/// When epochs begin, become active and fall silent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EpochParameters {
    /// Which contracts have to be quoted before an epoch may be shown.
    pub inner: InnerParameters,
    /// An epoch that warmed this long is shown as soon as it has anything to
    /// say, ns. Default: 30 s.
    pub warming_max_ns: i64,
    /// Ticks that are silent this long in session make an epoch dormant, ns.
    /// Default: 5 s.
    pub dormant_after_ns: i64,
    /// A snapshot with less than this share of the former contracts is damaged.
    /// Default: 0.6: half a chain (calls alone, every other page) is.
    pub chain_share_min: f64,
    /// A chain whose median stated volatility lies above this states percent;
    /// its volatilities count as unknown. Default: 4 (400 %).
    pub volatility_median_max: f64,
    /// A quote older than this is stale in the `epoch` artifact, seconds.
    /// Default: 60.
    pub stale_after_s: i64,
    /// A chain that looks damaged by its size or its gammas this many times in
    /// a row is believed: the market has changed, not the vendor. Default: 3.
    pub damage_patience: u32,
    /// Shortest time between two `epoch` artifacts, ns. Default: 1 s.
    pub status_cadence_ns: i64,
}

impl Default for EpochParameters {
    fn default() -> Self {
        EpochParameters {
            inner: InnerParameters::default(),
            warming_max_ns: 30 * NANOS_PER_SECOND,
            dormant_after_ns: 5 * NANOS_PER_SECOND,
            chain_share_min: 0.6,
            volatility_median_max: 4.0,
            stale_after_s: 60,
            damage_patience: 3,
            status_cadence_ns: NANOS_PER_SECOND,
        }
    }
}

impl Default for Parameters {
    fn default() -> Self {
        let proxy = |ticker: &str, symbol: &str, multiplier, rank| {
            (ticker.to_owned(), Proxy { symbol: symbol.to_owned(), multiplier, rank })
        };
        Parameters {
            calendar: Calendar::NewYork,
            calendar_version: CALENDAR_VERSION,
            trading_calendar: TradingCalendar::default(),
            epochs: EpochParameters::default(),
            topology: TopologyParameters::default(),
            proxies: BTreeMap::from([
                proxy("SPY", "SPX", 10.0, 0),
                proxy("ES", "SPX", 1.0, 1),
                proxy("QQQ", "NDX", 41.0, 0),
                proxy("NQ", "NDX", 1.0, 1),
            ]),
            volatility_indices: BTreeMap::from([(
                "I:VIX".to_owned(),
                vec!["NDX".to_owned(), "SPX".to_owned()],
            )]),
            heatmap: heatmap::Parameters::default(),
            gex: gex::Parameters::default(),
            gravity: gravity::Parameters::default(),
            tape: TapeParameters::default(),
            flow: flow::Parameters::default(),
            views: views::ViewParameters::default(),
        }
    }
}

/// A parameter that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parameter {name}: {why}")]
pub struct ParameterError {
    /// Its path: `epochs.warming_max_ns`.
    pub name: &'static str,
    /// What is wrong and what would be right.
    pub why: String,
}

impl Parameters {
    /// Refuses values that no fold could work with.
    ///
    /// # Errors
    /// Names the first such value.
    pub fn check(&self) -> Result<(), ParameterError> {
        let refuse = |name, why: &str| Err(ParameterError { name, why: why.to_owned() });
        if self.calendar_version != CALENDAR_VERSION {
            let why = format!("this build has version {CALENDAR_VERSION}");
            return Err(ParameterError { name: "calendar_version", why });
        }
        if self.trading_calendar.is_misnamed() {
            return refuse(
                "trading_calendar.version",
                "names the calendar that ships, which is another one: give yours a name of its own",
            );
        }
        let positive = |x: f64| x.is_finite() && x > 0.0;
        let e = &self.epochs;
        for (name, value) in [
            ("epochs.warming_max_ns", e.warming_max_ns),
            ("epochs.dormant_after_ns", e.dormant_after_ns),
            ("epochs.status_cadence_ns", e.status_cadence_ns),
        ] {
            if value <= 0 {
                return refuse(name, "must be above 0");
            }
        }
        for (name, value) in [
            ("epochs.chain_share_min", e.chain_share_min),
            ("epochs.inner.two_sided_share", e.inner.two_sided_share),
            ("epochs.inner.strike_band", e.inner.strike_band),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return refuse(name, "must be between 0 and 1");
            }
        }
        if !positive(e.volatility_median_max) || e.stale_after_s <= 0 {
            return refuse("epochs", "volatility_median_max and stale_after_s must be above 0");
        }
        if e.damage_patience == 0 {
            return refuse("epochs.damage_patience", "must be at least 1");
        }
        if !self.proxies.values().all(|p| positive(p.multiplier)) {
            return refuse("proxies", "multipliers must be above 0");
        }
        if !self.topology.widths.values().flatten().all(|w| positive(*w)) {
            return refuse("topology.widths", "must be above 0");
        }
        for (name, pricing) in
            [("gex.pricing", &self.gex.pricing), ("flow.pricing", &self.flow.pricing)]
        {
            if let Err(why) = pricing.check() {
                return refuse(name, why);
            }
        }
        if gex::profile::Chosen::any_twice(&self.gex.beside) {
            return refuse("gex.beside", "names a profile twice");
        }
        if self.views.selector_every_ns <= 0 {
            return refuse("views.selector_every_ns", "must be above 0");
        }
        let beside = &self.views.selector_beside;
        if beside.iter().enumerate().any(|(i, profile)| beside[..i].contains(profile)) {
            return refuse("views.selector_beside", "names a profile twice");
        }
        let flip = &self.gex.flip;
        if !positive(flip.step) || !positive(flip.span) || flip.span / flip.step > 100_000.0 {
            return refuse("gex.flip", "step and span must be above 0, at most 100,000 steps");
        }
        if let Err((name, why)) = self.gravity.check() {
            return refuse(name, why);
        }
        if self.tape.quote_age_max_s <= 0 || self.tape.recall_max > 16_777_216 {
            return refuse(
                "tape",
                "quote_age_max_s must be above 0, recall_max at most 16,777,216",
            );
        }
        self.heatmap.check()?;
        let defaults = [self.topology.multiplier_default, self.topology.multiplier_default_crypto];
        if !defaults.into_iter().all(positive) {
            return refuse("topology.multiplier_default", "must be above 0");
        }
        Ok(())
    }

    /// Canonical bytes.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        // Strings, numbers and maps with string keys always serialise; numbers
        // that JSON lacks become null, and `check` has refused them before.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Hash of the canonical bytes.
    #[must_use]
    pub fn hash(&self) -> Address {
        Address(blake3::derive_key(HASH_CONTEXT, &self.canonical()))
    }
}

/// The calendar as `"new_york"` or `"utc"`.
mod calendar_name {
    use orrery_journal::Calendar;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Name {
        NewYork,
        Utc,
    }

    pub fn serialize<S: Serializer>(value: &Calendar, s: S) -> Result<S::Ok, S::Error> {
        match value {
            Calendar::NewYork => Name::NewYork,
            Calendar::Utc => Name::Utc,
        }
        .serialize(s)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Calendar, D::Error> {
        Ok(match Name::deserialize(d)? {
            Name::NewYork => Calendar::NewYork,
            Name::Utc => Calendar::Utc,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_bytes_read_back_and_every_change_shows_in_the_hash() {
        let parameters = Parameters::default();
        assert_eq!(parameters.check(), Ok(()));
        let bytes = parameters.canonical();
        let again: Parameters = serde_json::from_slice(&bytes).expect("its own bytes");
        assert_eq!(again, parameters);
        assert_eq!(serde_json::from_str::<Parameters>("{}").expect("all defaults"), parameters);
        assert!(serde_json::from_str::<Parameters>(r#"{"colour":1}"#).is_err());
        let changed = |change: fn(&mut Parameters)| {
            let mut other = Parameters::default();
            change(&mut other);
            other.hash()
        };
        let hashes = [
            changed(|_| ()),
            changed(|p| p.calendar = Calendar::Utc),
            changed(|p| p.epochs.inner.dte_max = 11),
            changed(|p| p.epochs.warming_max_ns += 1),
            changed(|p| p.topology.width_multiples.push(20)),
            changed(|p| drop(p.proxies.remove("QQQ"))),
            changed(|p| p.gravity.days = Some(5)),
            changed(|p| p.gravity.steps = BTreeMap::from([("XSP".to_owned(), 0.25)])),
            changed(|p| p.tape.quote_age_max_s += 1),
            changed(|p| p.flow.pricing.rate = 0.01),
        ];
        let different: std::collections::BTreeSet<_> = hashes.iter().collect();
        assert_eq!(different.len(), hashes.len());
        assert_eq!(hashes[0], parameters.hash());
    }

    #[test]
    fn unusable_values_are_refused_by_name() {
        let refused = |change: fn(&mut Parameters)| {
            let mut other = Parameters::default();
            change(&mut other);
            other.check().expect_err("unusable").name
        };
        assert_eq!(refused(|p| p.calendar_version = 0), "calendar_version");
        assert_eq!(refused(|p| p.epochs.dormant_after_ns = 0), "epochs.dormant_after_ns");
        assert_eq!(refused(|p| p.epochs.chain_share_min = f64::NAN), "epochs.chain_share_min");
        assert_eq!(refused(|p| p.gravity.step = 0.0), "gravity");
        assert_eq!(refused(|p| p.gravity.days = Some(0)), "gravity.days");
        assert_eq!(refused(|p| p.gravity.half_life_days = Some(5.0)), "gravity.half_life_days");
        assert_eq!(
            refused(|p| p.gravity.steps = BTreeMap::from([("SPX".to_owned(), -1.0)])),
            "gravity.steps"
        );
        assert_eq!(
            refused(|p| p.gravity.beside = vec![gravity::profile::Chosen::default(); 2]),
            "gravity.beside"
        );
        assert_eq!(
            refused(|p| {
                p.topology.widths.insert("SPX".to_owned(), vec![0.0]);
            }),
            "topology.widths"
        );
    }
}
