//! An engine in twenty lines, a small market, and models that remember
//! everything they were told.

use std::collections::BTreeMap;
use std::sync::Arc;

use orrery_journal::event::{
    Bar, Body, ChainRow, ChainRows, ChainSnapshot, Event, InlineText, Quote, Trade,
};
use orrery_journal::units::{
    Address, InstrumentId, NANOS_PER_SECOND, Price, RecvTime, Seq, SourceId,
};
use orrery_replay::canonical::{Decoder, Encoder};
use orrery_replay::fold::{Fold, Input, Outbox, Output, RestoreError};

use crate::market::book::Market;
use crate::market::live_book::{has_exposure, tests::row};
use crate::models::parameters::Parameters;
use crate::models::spot::SpotModel;
use crate::models::{Change, Model, Scope};
use crate::partition::{Makers, Partition};
use crate::views::{Bodies, View};

pub(super) const SECOND: i64 = NANOS_PER_SECOND;

/// 2025-12-19 10:00 in New York, and a whole multiple of every cadence.
pub(super) const START: RecvTime = RecvTime(1_766_156_400 * SECOND);

pub(super) fn price(value: f64) -> Price {
    Price::from_f64_exact(value).expect("a price")
}

/// Remembers every change it was told, and says so.
struct Witness {
    family: &'static str,
    scope: Scope,
    cadence_ns: i64,
    wants: fn(&Change<'_>) -> bool,
    says: fn(&Market<'_>) -> Option<f64>,
    told: u64,
    hash: u64,
}

impl Model for Witness {
    fn family(&self) -> &'static str {
        self.family
    }

    fn profile(&self) -> &'static str {
        "witness@1"
    }

    fn scope(&self) -> Scope {
        self.scope
    }

    fn cadence_ns(&self) -> i64 {
        self.cadence_ns
    }

    fn apply(&mut self, change: &Change<'_>, market: &Market<'_>) -> bool {
        let wanted = (self.wants)(change);
        if wanted {
            self.told += 1;
            let text = format!("{change:?} {:?} {:?}", market.now, market.spot);
            for byte in text.bytes() {
                self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
        wanted
    }

    fn emit(&mut self, market: &Market<'_>) -> Option<Vec<u8>> {
        let value = (self.says)(market)?;
        Some(format!(r#"{{"told":{},"hash":{},"value":{value}}}"#, self.told, self.hash).into())
    }

    fn save(&self, out: &mut Vec<u8>) {
        let mut e = Encoder::new(out);
        e.u64(self.told);
        e.u64(self.hash);
    }

    fn restore(&mut self, bytes: &[u8], _market: &Market<'_>) -> Result<(), RestoreError> {
        let mut d = Decoder::new(bytes);
        (self.told, self.hash) = (d.u64()?, d.u64()?);
        d.end()
    }
}

fn epoch_models(_: &str, _: &Parameters) -> Vec<Box<dyn Model>> {
    let witness = |family, cadence_ns, wants, says| -> Box<dyn Model> {
        let scope = Scope::Epoch;
        Box::new(Witness { family, scope, cadence_ns, wants, says, told: 0, hash: 0 })
    };
    let exposure = |market: &Market<'_>| {
        let states = &market.book?.states;
        states
            .iter()
            .any(has_exposure)
            .then(|| states.iter().filter_map(|s| Some(s.gamma? * s.open_interest?)).sum::<f64>())
    };
    let mids =
        |market: &Market<'_>| Some(market.book?.states.iter().filter_map(|s| s.mid()).sum::<f64>());
    vec![
        witness(
            "gex",
            2 * SECOND,
            |c| matches!(c, Change::Chain | Change::Spot | Change::All),
            exposure,
        ),
        witness(
            "heatmap",
            SECOND / 4,
            |c| matches!(c, Change::Chain | Change::Quote(_) | Change::Trade(_) | Change::All),
            mids,
        ),
    ]
}

fn partition_models(_: &str, _: &Parameters) -> Vec<Box<dyn Model>> {
    vec![
        Box::new(SpotModel::default()),
        Box::new(Witness {
            family: "gravity",
            scope: Scope::Partition,
            cadence_ns: SECOND,
            wants: |c| {
                matches!(
                    c,
                    Change::UnderlyingTrade { .. }
                        | Change::UnderlyingBar { .. }
                        | Change::Annotation(_)
                        | Change::Correction { .. }
                        | Change::All
                )
            },
            says: |m| Some(m.spot.map_or(0.0, |s| s.value)),
            told: 0,
            hash: 0,
        }),
    ]
}

struct Joined;

impl View for Joined {
    fn family(&self) -> &'static str {
        "context"
    }

    fn profile(&self) -> &'static str {
        "joined@1"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &["gravity", "gex", "spot"]
    }

    fn derive(&self, symbol: &str, bodies: &Bodies) -> Option<Vec<u8>> {
        bodies.get("gravity")?;
        let current: Vec<_> = self
            .inputs()
            .iter()
            .filter_map(|family| Some((family, bodies.published(family)?)))
            .collect();
        Some(format!("{symbol} {current:?}").into())
    }
}

pub(super) const MAKERS: Makers =
    Makers { epoch: epoch_models, partition: partition_models, views: |_| vec![Box::new(Joined)] };

/// The same without one of the models.
pub(super) const WITHOUT_HEATMAP: Makers = Makers {
    epoch: |symbol, parameters| {
        let mut models = epoch_models(symbol, parameters);
        models.retain(|m| m.family() != "heatmap");
        models
    },
    ..MAKERS
};

/// What came out, and when.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Printed {
    pub(super) seq: Seq,
    pub(super) at: RecvTime,
    pub(super) output: Output,
}

/// A partition and its engine.
pub(super) struct Stage {
    pub(super) partition: Partition,
    pub(super) printed: Vec<Printed>,
    ids: BTreeMap<String, InstrumentId>,
    seq: u64,
    now: RecvTime,
    /// Conditions that come with the next events.
    pub(super) conditions: Vec<u32>,
}

impl Stage {
    pub(super) fn new(symbol: &str) -> Stage {
        Stage::with(symbol, MAKERS)
    }

    pub(super) fn with(symbol: &str, makers: Makers) -> Stage {
        Stage::with_parameters(symbol, makers, Parameters::default())
    }

    pub(super) fn with_parameters(symbol: &str, makers: Makers, parameters: Parameters) -> Stage {
        let parameters = Arc::new(parameters);
        let partition = Partition::with_makers(symbol, parameters, makers);
        let ids = BTreeMap::new();
        let (printed, conditions) = (Vec::new(), Vec::new());
        Stage { partition, printed, ids, seq: 0, now: START, conditions }
    }

    /// Lets time pass; timers up to and at that moment fire.
    pub(super) fn wait(&mut self, nanos: i64) {
        self.now = self.now.plus_nanos(nanos);
        while let Some(due) = self.partition.next_due().filter(|due| *due <= self.now) {
            let mut out = Outbox::default();
            self.partition.fire(due, &mut out);
            assert!(self.partition.next_due().is_none_or(|next| next > due), "time stands still");
            self.print(due, out);
        }
    }

    fn print(&mut self, at: RecvTime, out: Outbox) {
        let seq = Seq(self.seq);
        self.printed.extend(out.outputs.into_iter().map(|output| Printed { seq, at, output }));
    }

    pub(super) fn send(&mut self, ticker: &str, body: Body, blob: Option<&[u8]>) {
        self.send_at(ticker, body, blob, None);
    }

    pub(super) fn send_at(
        &mut self,
        ticker: &str,
        body: Body,
        blob: Option<&[u8]>,
        vendor: Option<i64>,
    ) {
        let instrument = self.id(ticker);
        self.event(instrument, Some(ticker).filter(|t| !t.is_empty()), body, blob, vendor);
    }

    /// The id of a ticker, defined first if it is new.
    pub(super) fn id(&mut self, ticker: &str) -> InstrumentId {
        if ticker.is_empty() {
            return InstrumentId::NONE;
        }
        if let Some(id) = self.ids.get(ticker) {
            return *id;
        }
        let id = InstrumentId(u32::try_from(self.ids.len()).expect("few") + 1);
        self.ids.insert(ticker.to_owned(), id);
        let body = Body::InstrumentDefined(InlineText::Inline(ticker.into()));
        self.event(id, Some(ticker), body, None, None);
        id
    }

    fn event(
        &mut self,
        instrument: InstrumentId,
        ticker: Option<&str>,
        body: Body,
        blob: Option<&[u8]>,
        vendor: Option<i64>,
    ) {
        self.wait(0);
        self.seq += 1;
        let event = Event {
            recv: self.now,
            vendor_time: vendor.map(orrery_journal::units::VendorTime),
            instrument,
            source: SourceId(1),
            extended: false,
            body,
        };
        let conditions = Some(&*self.conditions);
        let input = Input { seq: Seq(self.seq), event: &event, ticker, blob, conditions };
        let mut out = Outbox::default();
        self.partition.apply(&input, &mut out);
        self.print(self.now, out);
    }

    pub(super) fn quote(&mut self, ticker: &str, bid: f64, ask: f64) {
        let (bid, ask) = (Some(price(bid)), Some(price(ask)));
        self.send(ticker, Body::Quote(Quote { bid, ask, ..Quote::default() }), None);
    }

    pub(super) fn trade(&mut self, ticker: &str, at: f64, size: u64) {
        self.send(ticker, Body::Trade(Trade { price: price(at), size, ..Trade::default() }), None);
    }

    pub(super) fn bar(&mut self, ticker: &str, low: f64, high: f64, close: f64) {
        let [low, high, close] = [low, high, close].map(price);
        let bar = Bar { open: low, low, high, close, volume: Some(100), ..Bar::default() };
        self.send(ticker, Body::Bar(bar), None);
    }

    /// A snapshot of the rows; ids are looked up by ticker.
    pub(super) fn chain(&mut self, underlying: &str, spot: Option<f64>, rows: &[Listed]) {
        let rows: Vec<ChainRow> = rows
            .iter()
            .map(|listed| ChainRow { instrument: self.id(&listed.ticker), ..listed.row })
            .collect();
        let blob = ChainRows::encode(&rows);
        let snapshot = ChainSnapshot {
            rows: Address::of(&blob),
            spot: spot.map(price),
            contracts: u32::try_from(rows.len()).expect("few"),
            ..ChainSnapshot::default()
        };
        self.send(underlying, Body::ChainSnapshot(snapshot), Some(&blob));
    }

    pub(super) fn families_at(&self, at: RecvTime) -> Vec<&'static str> {
        self.printed.iter().filter(|p| p.at == at).map(|p| p.output.family).collect()
    }

    pub(super) fn now(&self) -> RecvTime {
        self.now
    }

    pub(super) fn seq(&self) -> Seq {
        Seq(self.seq)
    }

    /// The partition's state as bytes.
    pub(super) fn saved(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.partition.save(&mut bytes);
        bytes
    }

    /// Goes on with a partition that was restored from its own bytes.
    pub(super) fn reborn(&mut self) {
        let bytes = self.saved();
        let parameters = Arc::clone(&self.partition.parameters);
        let makers = self.partition.makers;
        let mut fresh = Partition::with_makers(self.partition.symbol(), parameters, makers);
        fresh.restore(&bytes).expect("its own bytes");
        self.partition = fresh;
        assert_eq!(self.saved(), bytes, "saving, restoring and saving again changes nothing");
    }
}

/// A row of a chain by its ticker.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) ticker: String,
    pub(super) row: ChainRow,
}

/// A call with open interest and gamma, and no quote.
pub(super) fn listed(root: &str, date: &str, strike: u32) -> Listed {
    let ticker = format!("O:{root}{date}C{:08}", strike * 1000);
    let mut row = row(InstrumentId::NONE, &ticker);
    (row.gamma, row.open_interest) = (Some(0.01), Some(10.0));
    Listed { ticker, row }
}

pub(super) fn quoted(mut rows: Vec<Listed>) -> Vec<Listed> {
    for listed in &mut rows {
        (listed.row.bid, listed.row.ask) = (Some(1.0), Some(1.5));
    }
    rows
}

/// Calls on TSLA at 300, 305, ... of these expirations.
pub(super) fn tsla(dates: &[&str], strikes: u32) -> Vec<Listed> {
    let strikes = (0..strikes).map(|i| 300 + 5 * i);
    dates.iter().flat_map(|d| strikes.clone().map(|s| listed("TSLA", d, s))).collect()
}
