//! One underlying's fold: routes events into books, keeps the life of epochs,
//! tells models what changed and collects their bodies.
//!
//! Everything that is published belongs to the active epoch; a warming one is
//! filled beside it and is seen by nobody until, at one event or timer, it takes
//! the place of the active one for all models at once. Knows no model by name,
//! no feed, no clock, and never whether it runs live or in replay.

mod chain;
mod counters;
mod damage;
mod emission;
mod here;
mod instruments;
mod living;
mod plane;
mod promotion;
mod quality;
mod state;
mod status;
mod succession;
mod tape;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::sync::Arc;

use orrery_journal::event::{Bar, Body, Quote, RefusalReason, Trade};
use orrery_journal::units::{InstrumentId, Price, RecvTime, TradingDay};
use orrery_replay::checkpoint::state::Marks;
use orrery_replay::fold::{Fold, Input, Outbox, RestoreError};

pub use self::counters::Counters;
use self::damage::Baseline;
pub use self::damage::{Damage, Doubt};
use self::emission::TimedView;
use self::here::Here;
use self::instruments::{Instruments, Role};
use self::living::{Living, Timed, tell, timed};
pub use self::plane::{PlaneContract, PlaneFilter};
use crate::market::book::{Book, Market, Spot, SpotSource};
use crate::market::calendar::Venue;
use crate::market::epoch::{Active, EpochRecord, History, Moment, Warming};
use crate::market::live_book::{Taken, Tick};
use crate::market::tape::Tape;
use crate::models::parameters::Parameters;
use crate::models::{self, Change, Model, Scope, next_tick};
use crate::views::{self, Bodies, View};

/// Makes the models of an epoch or of a partition.
pub type MakeModels = fn(&str, &Parameters) -> Vec<Box<dyn Model>>;

/// Which models and views a partition has.
#[derive(Clone, Copy, Debug)]
pub struct Makers {
    /// Models of each epoch.
    pub epoch: MakeModels,
    /// Models that outlive epochs.
    pub partition: MakeModels,
    /// Views.
    pub views: fn(&Parameters) -> Vec<Box<dyn View>>,
}

impl Default for Makers {
    fn default() -> Self {
        Makers {
            epoch: models::epoch_models,
            partition: models::partition_models,
            views: views::all,
        }
    }
}

/// The fold of one underlying.
pub struct Partition {
    parameters: Arc<Parameters>,
    makers: Makers,
    here: Here,
    instruments: Instruments,
    active: Option<Living<Active>>,
    warming: Option<Living<Warming>>,
    /// Models that outlive epochs.
    models: Vec<Timed>,
    views: Vec<TimedView>,
    /// Newest bodies of the families that views read.
    bodies: Bodies,
    history: History,
    counters: Counters,
    /// Trades of the session's contracts.
    tape: Tape,
    /// What the last chain that was believed looked like.
    baseline: Option<Baseline>,
    /// The newest damaged chain, until one is believed again.
    doubt: Option<Doubt>,
    /// When the silence of the feed has lasted long enough to be noticed.
    silence_due: Option<RecvTime>,
    /// When the `epoch` artifact is due.
    status_due: Option<RecvTime>,
}

impl Partition {
    /// An empty partition with all models and views.
    #[must_use]
    pub fn new(symbol: &str, parameters: Arc<Parameters>) -> Partition {
        Partition::with_makers(symbol, parameters, Makers::default())
    }

    /// The same with a choice of models and views.
    #[must_use]
    pub fn with_makers(symbol: &str, parameters: Arc<Parameters>, makers: Makers) -> Partition {
        let models = timed((makers.partition)(symbol, &parameters), Scope::Partition);
        let views = (makers.views)(&parameters);
        Partition {
            here: Here::new(symbol, parameters.calendar),
            instruments: Instruments::new(symbol, &parameters),
            tape: Tape::new(parameters.tape),
            parameters,
            makers,
            active: None,
            warming: None,
            models,
            views: views.into_iter().map(|view| TimedView { view, due: None }).collect(),
            bodies: Bodies::default(),
            history: History::default(),
            counters: Counters::default(),
            baseline: None,
            doubt: None,
            silence_due: None,
            status_due: None,
        }
    }

    /// Everything that decides about its output.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Symbol of the underlying: `SPX`.
    #[must_use]
    pub fn symbol(&self) -> &str {
        &self.here.symbol
    }

    /// Records of its epochs, oldest first, living ones included.
    #[must_use]
    pub fn epochs(&self) -> &[EpochRecord] {
        self.history.records()
    }

    /// Record of the active epoch.
    #[must_use]
    pub fn active_epoch(&self) -> Option<&EpochRecord> {
        self.active.as_ref().map(|a| &a.epoch.record)
    }

    /// Book of the active epoch.
    #[must_use]
    pub fn active_book(&self) -> Option<&Book> {
        self.active.as_ref().map(|a| a.epoch.live.book())
    }

    /// Book of the warming epoch.
    #[must_use]
    pub fn warming_book(&self) -> Option<&Book> {
        self.warming.as_ref().map(|w| w.epoch.live.book())
    }

    /// Newest price of the underlying.
    #[must_use]
    pub fn spot(&self) -> Option<Spot> {
        self.here.spot
    }

    /// What models of the active epoch see: its book, the spot, the moment.
    #[must_use]
    pub fn market(&self) -> Market<'_> {
        self.here.market(self.active_book())
    }

    /// The newest body of a family that views read, while its epoch is active.
    #[must_use]
    pub fn newest_body(&self, family: &str) -> Option<&[u8]> {
        self.bodies.get(family).map(|body| &**body)
    }

    /// What was left out, and why.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The newest damaged chain, until one is believed again.
    #[must_use]
    pub fn doubt(&self) -> Option<Doubt> {
        self.doubt
    }

    /// Trading day of the last moment; days to expiry count from it.
    #[must_use]
    pub fn day(&self) -> TradingDay {
        self.here.day()
    }

    /// Families that the view of a family reads; none where it is no view's.
    #[must_use]
    pub fn inputs_of(&self, family: &str) -> Vec<&'static str> {
        let view = self.views.iter().find(|timed| timed.view.family() == family);
        view.map(|timed| timed.view.inputs().to_vec()).unwrap_or_default()
    }

    /// Last event and last moment that it has seen.
    #[must_use]
    pub fn moment(&self) -> Moment {
        self.here.moment()
    }

    fn quote(&mut self, input: &Input<'_>, quote: &Quote) {
        let side = |p: Option<Price>| p.filter(|p| p.0 >= 0).map(Price::to_f64);
        if self.instruments.role(input.event.instrument) == Role::Contract {
            if [quote.bid, quote.ask].into_iter().flatten().any(|p| p.0 < 0) {
                self.miss(|c| &mut c.refused_quotes);
            }
            let tick = Tick::Quote { bid: side(quote.bid), ask: side(quote.ask) };
            if !self.contract(input, tick) {
                self.miss(|c| &mut c.geometry_miss_quotes);
            }
        }
    }

    fn trade(&mut self, input: &Input<'_>, trade: &Trade) {
        let price = trade.price.to_f64();
        if price <= 0.0 {
            return self.refuse(input, |c| &mut c.refused_trades);
        }
        let size = trade.size as f64;
        match self.instruments.role(input.event.instrument) {
            Role::Contract => self.contract_trade(input, trade),
            Role::Underlying => {
                self.tell_everybody(&Change::UnderlyingTrade { proxy: None, price, size });
                self.observe_spot(input, price, SpotSource::Trade);
            }
            Role::Proxy { at, by } => {
                let (proxy, price) = (Some(at), price * by);
                self.tell_everybody(&Change::UnderlyingTrade { proxy, price, size });
            }
            Role::Volatility | Role::Unknown | Role::Other => {}
        }
    }

    fn bar(&mut self, input: &Input<'_>, bar: &Bar) {
        let [open, high, low, close] = [bar.open, bar.high, bar.low, bar.close].map(Price::to_f64);
        if low <= 0.0 || close <= 0.0 || high < low {
            return self.refuse(input, |c| &mut c.refused_bars);
        }
        let change = |proxy: Option<u8>, by: f64| Change::UnderlyingBar {
            span: Some((bar.start, bar.end)),
            proxy,
            open: open * by,
            high: high * by,
            low: low * by,
            close: close * by,
            volume: bar.volume.map(|v| v as f64),
            vwap: bar.vwap.map(|p| p.to_f64() * by),
        };
        match self.instruments.role(input.event.instrument) {
            Role::Contract => {
                let day_volume = bar.day_volume.map(|v| v as f64);
                if !self.contract(input, Tick::Trade { price: close, day_volume }) {
                    self.miss(|c| &mut c.geometry_miss_bars);
                }
            }
            Role::Underlying => {
                self.tell_everybody(&change(None, 1.0));
                self.observe_spot(input, close, SpotSource::Bar);
            }
            Role::Proxy { at, by } => self.tell_everybody(&change(Some(at), by)),
            Role::Volatility => self.volatility(close),
            Role::Unknown | Role::Other => {}
        }
    }

    /// Takes a tick into the active and into the warming book; answers whether
    /// either knows the contract.
    fn contract(&mut self, input: &Input<'_>, tick: Tick) -> bool {
        let slots = self.instruments.slots(input.event.instrument);
        let (vendor, now) = (input.event.vendor_time, self.here.now);
        let mut late = false;
        if let (Some(active), Some(slot)) = (&mut self.active, slots.active) {
            let taken = active.tick(slot, tick, vendor, &self.here);
            late |= taken == Taken::Late;
            self.silence_due = Some(now.plus_nanos(self.parameters.epochs.dormant_after_ns));
            if active.epoch.record.dormant {
                active.epoch.record.dormant = false;
                self.history.put(&active.epoch.record);
                self.status_changed();
            }
        }
        if let (Some(warming), Some(slot)) = (&mut self.warming, slots.warming) {
            late |= warming.tick(slot, tick, vendor, &self.here) == Taken::Late;
        }
        self.counters.late_ticks += u64::from(late);
        slots.active.is_some() || slots.warming.is_some()
    }

    /// A price that is none: counted where it would have been heard.
    fn refuse(&mut self, input: &Input<'_>, which: fn(&mut Counters) -> &mut u64) {
        match self.instruments.role(input.event.instrument) {
            Role::Contract | Role::Underlying | Role::Proxy { .. } | Role::Volatility => {
                self.miss(which);
            }
            Role::Unknown | Role::Other => {}
        }
    }

    /// An index stands at a value.
    fn index_value(&mut self, input: &Input<'_>, value: f64) {
        if value <= 0.0 {
            return self.refuse(input, |c| &mut c.refused_index_values);
        }
        match self.instruments.role(input.event.instrument) {
            Role::Underlying => self.observe_spot(input, value, SpotSource::Index),
            Role::Volatility => self.volatility(value),
            Role::Contract | Role::Proxy { .. } | Role::Unknown | Role::Other => {}
        }
    }

    /// Something that changes nothing: counted, and nothing else.
    fn miss(&mut self, which: fn(&mut Counters) -> &mut u64) {
        *which(&mut self.counters) += 1;
        self.status_changed();
    }

    fn observe_spot(&mut self, input: &Input<'_>, value: f64, source: SpotSource) {
        let before = self.here.spot;
        if !self.here.observe(value, source, input.event.vendor_time) {
            self.counters.late_spots += 1;
            return;
        }
        self.spot_changed(before);
    }

    /// Tells of a new observation of the spot; epochs hear of it only when the
    /// value moved.
    fn spot_changed(&mut self, before: Option<Spot>) {
        let spot = self.here.spot;
        if spot == before {
            return;
        }
        let book = self.active.as_ref().map(|a| a.epoch.live.book());
        tell(&mut self.models, &Change::Spot, &self.here.market(book));
        if spot.map(|s| s.value) != before.map(|s| s.value) {
            self.tell_epochs(&Change::Spot);
        }
        self.choose_inner();
    }

    /// The volatility index moved; only models of the partition hear of it.
    fn volatility(&mut self, value: f64) {
        let book = self.active.as_ref().map(|a| a.epoch.live.book());
        tell(&mut self.models, &Change::Volatility(value), &self.here.market(book));
    }

    fn tell_epochs(&mut self, change: &Change<'_>) {
        if let Some(active) = &mut self.active {
            active.tell(change, &self.here);
        }
        if let Some(warming) = &mut self.warming {
            warming.tell(change, &self.here);
        }
    }

    fn tell_everybody(&mut self, change: &Change<'_>) {
        let book = self.active.as_ref().map(|a| a.epoch.live.book());
        tell(&mut self.models, change, &self.here.market(book));
        self.tell_epochs(change);
    }

    /// An annotation without an instrument goes to everybody, and names the
    /// symbol that it is about.
    fn annotation(&mut self, input: &Input<'_>) {
        #[derive(serde::Deserialize)]
        struct About {
            symbol: Option<String>,
        }
        let Some(json) = input.blob else { return };
        let mine = match self.instruments.role(input.event.instrument) {
            Role::Underlying => true,
            Role::Unknown => serde_json::from_slice::<About>(json)
                .ok()
                .and_then(|about| about.symbol)
                .is_some_and(|s| *crate::market::ticker::symbol_of(&s) == *self.here.symbol),
            Role::Contract | Role::Proxy { .. } | Role::Volatility | Role::Other => false,
        };
        if mine {
            self.tell_everybody(&Change::Annotation(json));
        }
    }

    fn status_changed(&mut self) {
        if self.status_due.is_none() && self.active.is_some() {
            let cadence = self.parameters.epochs.status_cadence_ns;
            self.status_due = Some(next_tick(self.here.now, cadence));
        }
    }

    /// The feed has been silent for long enough. Out of session that is no
    /// news; in session everything is computed once more and the epoch says
    /// that it is dormant.
    fn notice_silence(&mut self) {
        self.silence_due = None;
        let Some(active) = &mut self.active else { return };
        let contracts = &active.epoch.live.book().topology.contracts;
        let venue = contracts.first().map_or(Venue::UsOptions, |c| Venue::of_option(&c.ticker));
        if active.epoch.record.dormant
            || !self.parameters.trading_calendar.in_session(venue, self.here.now)
        {
            return;
        }
        active.epoch.record.dormant = true;
        active.epoch.record.dormancies += 1;
        self.history.put(&active.epoch.record);
        active.tell(&Change::All, &self.here);
        let market = self.here.market(Some(active.epoch.live.book()));
        tell(&mut self.models, &Change::All, &market);
        self.status_changed();
    }
}

impl Fold for Partition {
    fn apply(&mut self, input: &Input<'_>, out: &mut Outbox) {
        self.here.advance(Some(input.seq), input.event.recv);
        self.turn_tape();
        if let Some(ticker) = input.ticker {
            self.instruments.define(input.event.instrument, ticker);
        }
        match &input.event.body {
            Body::Quote(quote) => self.quote(input, quote),
            Body::Trade(trade) => self.trade(input, trade),
            Body::Bar(bar) => self.bar(input, bar),
            Body::IndexValue(index) => self.index_value(input, index.value.to_f64()),
            Body::ChainSnapshot(snapshot) => self.chain(input, snapshot),
            Body::Annotation(_) => self.annotation(input),
            Body::Gap(_) => {
                self.counters.gaps += 1;
                self.status_changed();
            }
            Body::Correction { corrects, .. } => {
                self.counters.corrections += 1;
                if let Some(right) = input.blob {
                    self.tell_everybody(&Change::Correction { corrects: *corrects, right });
                    self.correction(*corrects, right);
                }
            }
            // The feed took the rest of the chain away; the book keeps what it had.
            Body::Quarantine(refused) => {
                if refused.reason == RefusalReason::DamagedChain
                    && self.instruments.role(input.event.instrument) == Role::Underlying
                {
                    self.keep_out(Damage::MissingPage);
                }
            }
            // Definitions were taken above; the rest is for other readers.
            Body::InstrumentDefined(_)
            | Body::ConditionsDefined { .. }
            | Body::SourceDefined(_)
            | Body::Extension(_)
            | Body::News(_)
            | Body::Control(_)
            | Body::ClockBeat => {}
        }
        self.consider_promotion(out);
    }

    fn look_ahead(&self, instrument: InstrumentId) {
        if let (Some(slot), Some(active)) =
            (self.instruments.slots(instrument).active, &self.active)
        {
            active.epoch.live.look_ahead(slot);
        }
    }

    fn next_due(&self) -> Option<RecvTime> {
        let deadline = self.warming.as_ref().map(|w| w.epoch.state.deadline);
        let own = self.models.iter().filter_map(|m| m.due);
        let epoch = self.active.iter().flat_map(|a| &a.models).filter_map(|m| m.due);
        own.chain(epoch)
            .chain(self.views.iter().filter_map(|v| v.due))
            .chain(deadline.filter(|d| *d > self.here.now))
            .chain(self.silence_due)
            .chain(self.status_due)
            .min()
    }

    fn fire(&mut self, due: RecvTime, out: &mut Outbox) {
        self.here.advance(None, due);
        self.turn_tape();
        self.consider_promotion(out);
        if self.silence_due.is_some_and(|at| at <= due) {
            self.notice_silence();
        }
        self.emit_due(due, out);
    }

    fn save(&self, out: &mut Vec<u8>) {
        state::save(self, out, &mut Marks::default());
    }

    fn save_in_parts(&self, out: &mut Vec<u8>, marks: &mut Marks) {
        state::save(self, out, marks);
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        *self = state::restore(self, bytes)?;
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
