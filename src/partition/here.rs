//! Where the fold stands: position, time, day, and the price of the underlying.

use orrery_journal::Calendar;
use orrery_journal::units::{RecvTime, Seq, TradingDay, VendorTime};
use orrery_replay::canonical::{Decoder, Encoder};
use orrery_replay::fold::RestoreError;

use crate::market::book::{Book, Market, Spot, SpotSource};
use crate::market::calendar;
use crate::market::epoch::Moment;

#[derive(Clone, Debug)]
pub(super) struct Here {
    pub(super) symbol: Box<str>,
    pub(super) seq: Seq,
    pub(super) now: RecvTime,
    pub(super) spot: Option<Spot>,
    spot_vendor: Option<VendorTime>,
    calendar: Calendar,
    day: TradingDay,
    /// Bounds of `day`, so that a calendar is asked once a day, not per tick.
    day_from: RecvTime,
    day_until: RecvTime,
}

impl Here {
    pub(super) fn new(symbol: &str, calendar: Calendar) -> Here {
        let mut here = Here {
            symbol: symbol.into(),
            seq: Seq::BEFORE_FIRST,
            now: RecvTime(i64::MIN),
            spot: None,
            spot_vendor: None,
            calendar,
            day: TradingDay::default(),
            day_from: RecvTime::default(),
            day_until: RecvTime::default(),
        };
        here.turn_day();
        here
    }

    /// Time never runs backwards.
    pub(super) fn advance(&mut self, seq: Option<Seq>, to: RecvTime) {
        self.seq = seq.unwrap_or(self.seq);
        self.now = self.now.max(to);
        if self.now < self.day_from || self.now >= self.day_until {
            self.turn_day();
        }
    }

    fn turn_day(&mut self) {
        self.day = calendar::day_of(self.calendar, self.now);
        (self.day_from, self.day_until) = calendar::day_bounds(self.calendar, self.day);
    }

    pub(super) fn day(&self) -> TradingDay {
        self.day
    }

    pub(super) fn moment(&self) -> Moment {
        Moment { seq: self.seq, at: self.now }
    }

    pub(super) fn market<'a>(&'a self, book: Option<&'a Book>) -> Market<'a> {
        Market {
            symbol: &self.symbol,
            book,
            spot: self.spot,
            seq: self.seq,
            now: self.now,
            day: self.day,
        }
    }

    /// Takes an observation of the spot, unless it is older by its own vendor's
    /// clock; answers whether it was in time. The newest by recv time counts;
    /// at one moment index values go before trades, trades before the spot that
    /// a chain states, and that before the close of a bar, whose last trade is
    /// older than its end.
    pub(super) fn observe(
        &mut self,
        value: f64,
        source: SpotSource,
        vendor: Option<VendorTime>,
    ) -> bool {
        if let Some(held) = self.spot {
            if held.source == source && vendor.zip(self.spot_vendor).is_some_and(|(n, h)| n < h) {
                return false;
            }
            if held.at == self.now && rank(source) < rank(held.source) {
                return true;
            }
        }
        self.spot = Some(Spot { value, at: self.now, source });
        self.spot_vendor = vendor;
        true
    }

    pub(super) fn save(&self, e: &mut Encoder<'_>) {
        e.seq(self.seq);
        e.recv(self.now);
        e.option(self.spot, |e, spot| {
            e.f64(spot.value);
            e.recv(spot.at);
            e.u8(rank(spot.source));
        });
        e.option(self.spot_vendor, Encoder::vendor);
    }

    pub(super) fn restore(&self, d: &mut Decoder<'_>) -> Result<Here, RestoreError> {
        let mut here = Here::new(&self.symbol, self.calendar);
        here.advance(Some(d.seq()?), d.recv()?);
        here.spot = d.option(|d| {
            Ok(Spot { value: d.f64()?, at: d.recv()?, source: source_of_rank(d.u8()?)? })
        })?;
        here.spot_vendor = d.option(Decoder::vendor)?;
        Ok(here)
    }
}

/// What goes first among observations of one moment; also the tag in saved
/// states.
const fn rank(source: SpotSource) -> u8 {
    match source {
        SpotSource::Index => 4,
        SpotSource::Trade => 3,
        SpotSource::Chain => 2,
        SpotSource::Bar => 1,
    }
}

fn source_of_rank(tag: u8) -> Result<SpotSource, RestoreError> {
    [SpotSource::Index, SpotSource::Trade, SpotSource::Bar, SpotSource::Chain]
        .into_iter()
        .find(|s| rank(*s) == tag)
        .ok_or_else(|| RestoreError(format!("{tag} is no source of a spot")))
}
