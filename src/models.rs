//! Models: folds for one subject each. A model owns what it derives; no model
//! reads another's.
//!
//! The partition (one underlying's fold) owns the book and the epochs. It tells
//! each model what changed and asks it for a body when its timer comes due.

pub mod candles;
pub mod flow;
pub mod gex;
pub mod gravity;
pub mod heatmap;
pub mod parameters;
pub mod profile;
pub mod spot;
#[cfg(test)]
mod testing;
pub mod volatility;

use std::any::Any;
use std::sync::Arc;

use orrery_journal::units::{Price, RecvTime, Seq, VendorTime};
use orrery_replay::fold::RestoreError;

use self::parameters::{Parameters, proxies_of};
use crate::market::book::{Contract, Market, Slot};
use crate::market::tape::Print;

/// Fresh models of a new epoch, in the order in which their bodies come out.
#[must_use]
pub fn epoch_models(_symbol: &str, parameters: &Parameters) -> Vec<Box<dyn Model>> {
    let gex = gex::Gex::all(&parameters.gex).map(|model| Box::new(model) as Box<dyn Model>);
    let heatmap = heatmap::Heatmap::all(&parameters.heatmap);
    let heatmap = heatmap.map(|model| Box::new(model) as Box<dyn Model>);
    let flow = Box::new(flow::Flow::new(parameters.flow, parameters.tape)) as Box<dyn Model>;
    gex.chain(heatmap).chain([flow]).collect()
}

/// Fresh models of a new partition, in the order in which their bodies come
/// out, ahead of those of the epoch.
#[must_use]
pub fn partition_models(symbol: &str, parameters: &Parameters) -> Vec<Box<dyn Model>> {
    let first: [Box<dyn Model>; 3] = [
        Box::new(spot::SpotModel::new(parameters)),
        Box::new(candles::Candles::default()),
        Box::new(volatility::Volatility::new(symbol, parameters)),
    ];
    first.into_iter().chain(gravity_models(symbol, parameters)).collect()
}

/// The volume profiles of a partition, the main one first.
#[must_use]
pub fn gravity_models(symbol: &str, parameters: &Parameters) -> Vec<Box<dyn Model>> {
    let proxies: Vec<gravity::Proxy> = proxies_of(&parameters.proxies, symbol)
        .map(|(ticker, proxy)| gravity::Proxy {
            symbol: ticker.to_owned(),
            multiplier: proxy.multiplier,
        })
        .collect();
    let models = gravity::Gravity::all(symbol, &parameters.gravity, &proxies);
    models.into_iter().map(|model| Box::new(model) as Box<dyn Model>).collect()
}

/// One contract's part in a cell of a body.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The contract.
    pub ticker: Box<str>,
    /// Expiration date.
    pub expiry: String,
    /// Strike.
    pub strike: f64,
    /// What it adds, in the cell's own unit; `None` where that is unknown.
    pub value: Option<f64>,
}

impl Part {
    /// What a contract adds.
    #[must_use]
    pub fn of(contract: &Contract, value: Option<f64>) -> Part {
        Part {
            ticker: contract.ticker.clone(),
            expiry: contract.expiry.to_string(),
            strike: contract.strike.to_f64(),
            value,
        }
    }
}

/// The contracts behind a cell of an artifact's body, of the models that can
/// say so (`gex`, `heatmap`), as the market stands; `None` where nobody can.
#[must_use]
pub fn behind(
    profile: &str,
    path: &str,
    market: &Market<'_>,
    parameters: &Parameters,
) -> Option<Vec<Part>> {
    match profile.split('/').next()? {
        "gex" => {
            let profile = gex::profile::Chosen::named(profile).ok()?;
            gex::explain::behind(market, &parameters.gex, profile, path)
        }
        "heatmap" => heatmap::explain::behind(market, path),
        _ => None,
    }
}

/// How long a model lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// One instance per epoch; dropped when the epoch retires. It is told
    /// everything that happens to its contracts, and of [`Change::Spot`] only
    /// when the value moved.
    Epoch,
    /// One instance per partition; outlives epochs. It is not told of single
    /// contracts ([`Change::Quote`], [`Change::Trade`], the tape), and sees the book of
    /// the active epoch only.
    Partition,
}

/// What happened to the market, after the book took it.
#[derive(Clone, Debug, PartialEq)]
pub enum Change<'a> {
    /// A chain snapshot refreshed (or first filled) the whole book.
    Chain,
    /// A contract's quote moved.
    Quote(Slot),
    /// A contract traded.
    Trade(Slot),
    /// A trade of a contract is on the tape, judged by the quote before it.
    /// [`Change::Trade`] was told of what it did to the book.
    Print {
        /// The contract.
        slot: Slot,
        /// The trade.
        print: &'a Print,
    },
    /// A trade that was told of as [`Change::Print`] never was.
    Withdrawn {
        /// The contract.
        slot: Slot,
        /// The trade.
        print: &'a Print,
    },
    /// A trade that was told of as [`Change::Print`] was another one: another
    /// price, size or kind, judged by the evidence of its own moment.
    Corrected {
        /// The contract.
        slot: Slot,
        /// As it was told.
        was: &'a Print,
        /// As it is; of the same event.
        is: &'a Print,
    },
    /// The price of the underlying moved.
    Spot,
    /// The underlying (or its proxy, already scaled) traded.
    UnderlyingTrade {
        /// Which of the symbol's proxies traded, in the order of
        /// [`proxies_of`]; `None` for the underlying itself.
        proxy: Option<u8>,
        /// Price in the underlying's points.
        price: f64,
        /// Shares.
        size: f64,
    },
    /// A bar of the underlying (or its proxy, already scaled).
    UnderlyingBar {
        /// First moment, and first moment after it.
        span: Option<(VendorTime, VendorTime)>,
        /// Which of the symbol's proxies traded, in the order of
        /// [`proxies_of`]; its prices are only about the underlying. `None` for
        /// the underlying itself.
        proxy: Option<u8>,
        /// First price.
        open: f64,
        /// Highest price.
        high: f64,
        /// Lowest price.
        low: f64,
        /// Last price.
        close: f64,
        /// Shares; `None` for an index.
        volume: Option<f64>,
        /// Volume-weighted price.
        vwap: Option<f64>,
    },
    /// The index of the underlying's volatility moved; only models of the
    /// partition are told.
    Volatility(f64),
    /// Structural lines from outside, UTF-8 JSON.
    Annotation(&'a [u8]),
    /// An earlier event said something wrong.
    Correction {
        /// The event.
        corrects: Seq,
        /// What is right, UTF-8 JSON in the instrument's own prices; empty when
        /// it never happened.
        right: &'a [u8],
    },
    /// Everything must be recomputed (promotion, dormancy).
    All,
}

/// What a view would read in a body, without its text.
pub type Figures = Arc<dyn Any + Send + Sync>;

/// A fold for one subject.
pub trait Model: Send {
    /// Family of its artifacts.
    fn family(&self) -> &'static str;
    /// Named, versioned definitions, such as `gex/naive-oi@1`.
    fn profile(&self) -> &'static str;
    /// How long it lives.
    fn scope(&self) -> Scope;
    /// Whether the instance of a new epoch begins with the state of the one
    /// before it. What sums up a session does not begin again when strikes are
    /// listed. Default: no.
    fn outlives_epochs(&self) -> bool {
        false
    }
    /// Shortest time between two bodies, ns. Bodies come out at multiples of it.
    fn cadence_ns(&self) -> i64;
    /// Takes a change; returns whether a body has become due.
    fn apply(&mut self, change: &Change<'_>, market: &Market<'_>) -> bool;
    /// The canonical body of the moment, or `None` when there is nothing to
    /// say yet. Called at timers and at promotion.
    fn emit(&mut self, market: &Market<'_>) -> Option<Vec<u8>>;
    /// What a view would read in the newest body, equal to what it would read
    /// there: spares it the parsing of large bodies. Default: nothing.
    fn figures(&self) -> Option<Figures> {
        None
    }
    /// Appends its own state (not the book) as canonical bytes.
    fn save(&self, out: &mut Vec<u8>);
    /// Takes a saved state; `market` is the restored book.
    ///
    /// # Errors
    /// When the bytes are not a state of this model.
    fn restore(&mut self, bytes: &[u8], market: &Market<'_>) -> Result<(), RestoreError>;
}

/// Prices as keys of bodies: shortest decimal, `6540`, `297.5`.
#[must_use]
pub fn price_key(price: Price) -> String {
    price.to_string()
}

/// A number that may go into a body: finite, else absent.
#[must_use]
pub fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// The next multiple of `cadence_ns` strictly after `now`.
#[must_use]
pub fn next_tick(now: RecvTime, cadence_ns: i64) -> RecvTime {
    let cadence = cadence_ns.max(1);
    RecvTime((now.0.div_euclid(cadence) + 1).saturating_mul(cadence))
}
