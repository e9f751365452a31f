//! Epochs: stretches in which the topology is fixed, and their one way of life.
//!
//! An epoch is born warming, may become active once, and retires. Only these
//! conversions exist: [`Epoch::promote`] and [`Epoch::abandon`] take a warming
//! epoch, [`Epoch::retire`] an active one, and nothing takes a retired one.

use std::sync::Arc;

use orrery_journal::event::{ExerciseStyle, OptionRight};
use orrery_journal::units::{InstrumentId, Price, RecvTime, Seq, TradingDay};
use orrery_replay::canonical::{Decoder, Encoder};
use orrery_replay::fold::{EpochId, RestoreError};

use super::book::{Contract, Topology};
use super::live_book::LiveBook;
use super::topology;

/// A place in the journal and its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    /// Last event that was seen.
    pub seq: Seq,
    /// Recv time; for a timer the moment it was set to.
    pub at: RecvTime,
}

/// Where an epoch stands in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EpochState {
    /// Being filled; nobody sees it.
    Warming,
    /// The one that is published.
    Active,
    /// Over.
    Retired,
}

impl EpochState {
    /// The name in JSON and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            EpochState::Warming => "warming",
            EpochState::Active => "active",
            EpochState::Retired => "retired",
        }
    }
}

/// What is remembered of an epoch for good.
#[derive(Clone, Debug, PartialEq)]
pub struct EpochRecord {
    /// blake3 over its topology. A topology that comes back has the same id
    /// and a record of its own.
    pub id: EpochId,
    /// The chain that declared it; no two epochs of a partition share it.
    pub born: Moment,
    /// When it became active.
    pub promoted: Option<Moment>,
    /// When it was replaced, or given up while warming.
    pub retired: Option<Moment>,
    /// Number of contracts.
    pub contracts: u32,
    /// Number of different strikes.
    pub strikes: u32,
    /// Lowest and highest strike; `None` without contracts.
    pub strike_range: Option<(Price, Price)>,
    /// Expiration dates, ascending.
    pub expiries: Vec<TradingDay>,
    /// Roots, ascending.
    pub roots: Vec<Box<str>>,
    /// Strike distances of its structures, ascending.
    pub widths: Vec<Price>,
    /// Chain snapshots that it took.
    pub chains: u64,
    /// How often its ticks fell silent in session.
    pub dormancies: u32,
    /// Its ticks are silent now.
    pub dormant: bool,
}

impl EpochRecord {
    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> EpochState {
        match (self.promoted, self.retired) {
            (_, Some(_)) => EpochState::Retired,
            (Some(_), None) => EpochState::Active,
            (None, None) => EpochState::Warming,
        }
    }

    fn born(topology: &Topology, born: Moment) -> EpochRecord {
        let strikes = topology::strikes(topology);
        let range = strikes.first().copied().zip(strikes.last().copied());
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        EpochRecord {
            id: topology.id,
            born,
            promoted: None,
            retired: None,
            contracts: count(topology.contracts.len()),
            strikes: count(strikes.len()),
            strike_range: range,
            expiries: topology.expiries.clone(),
            roots: topology::roots(topology),
            widths: topology.widths.clone(),
            chains: 0,
            dormancies: 0,
            dormant: false,
        }
    }
}

/// Being filled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Warming {
    /// From here on anything publishable is enough. An epoch that replaces
    /// another warming one inherits its deadline: a chain that changes faster
    /// than epochs warm must not keep the partition in the past.
    pub deadline: RecvTime,
}

/// Published.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Active;

/// A living epoch.
#[derive(Clone, Debug)]
pub struct Epoch<S> {
    /// What will be remembered of it.
    pub record: EpochRecord,
    /// Its book.
    pub live: LiveBook,
    /// What only this state has.
    pub state: S,
}

impl Epoch<Warming> {
    /// A new epoch.
    #[must_use]
    pub fn born(topology: Topology, at: Moment, deadline: RecvTime) -> Epoch<Warming> {
        let record = EpochRecord::born(&topology, at);
        Epoch { record, live: LiveBook::new(Arc::new(topology)), state: Warming { deadline } }
    }

    /// Becomes the published one.
    #[must_use]
    pub fn promote(mut self, at: Moment) -> Epoch<Active> {
        self.record.promoted = Some(at);
        Epoch { record: self.record, live: self.live, state: Active }
    }

    /// Given up before anybody saw it: the chain has changed again.
    #[must_use]
    pub fn abandon(mut self, at: Moment) -> EpochRecord {
        self.record.retired = Some(at);
        self.record
    }
}

impl Epoch<Active> {
    /// Replaced.
    #[must_use]
    pub fn retire(mut self, at: Moment) -> EpochRecord {
        self.record.retired = Some(at);
        self.record.dormant = false;
        self.record
    }
}

/// Records of a partition's epochs, oldest first, living ones included.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct History {
    records: Vec<EpochRecord>,
}

/// Records that are kept; beyond it the oldest go.
pub const EPOCHS_KEPT: usize = 4_096;

impl History {
    /// All records, oldest first.
    #[must_use]
    pub fn records(&self) -> &[EpochRecord] {
        &self.records
    }

    /// Adds a record, or puts it in place of the one of the same birth.
    pub fn put(&mut self, record: &EpochRecord) {
        if let Some(held) = self.records.iter_mut().rev().find(|r| r.born == record.born) {
            held.clone_from(record);
            return;
        }
        if self.records.len() >= EPOCHS_KEPT {
            self.records.remove(0);
        }
        self.records.push(record.clone());
    }

    /// Appends all records.
    pub fn save(&self, e: &mut Encoder<'_>) {
        e.count(self.records.len());
        self.records.iter().for_each(|r| save_record(r, e));
    }

    /// Takes saved records.
    ///
    /// # Errors
    /// When the bytes are no records.
    pub fn restore(d: &mut Decoder<'_>) -> Result<History, RestoreError> {
        Ok(History { records: d.list(restore_record)? })
    }
}

/// Appends a record.
pub fn save_record(record: &EpochRecord, e: &mut Encoder<'_>) {
    e.address(record.id);
    save_moment(e, record.born);
    e.option(record.promoted, save_moment);
    e.option(record.retired, save_moment);
    e.u32(record.contracts);
    e.u32(record.strikes);
    e.option(record.strike_range, |e, (low, high)| {
        e.price(low);
        e.price(high);
    });
    e.count(record.expiries.len());
    record.expiries.iter().for_each(|d| e.day(*d));
    e.count(record.roots.len());
    record.roots.iter().for_each(|r| e.text(r));
    e.count(record.widths.len());
    record.widths.iter().for_each(|w| e.price(*w));
    e.u64(record.chains);
    e.u32(record.dormancies);
    e.bool(record.dormant);
}

/// Takes a saved record.
///
/// # Errors
/// When the bytes are no record.
pub fn restore_record(d: &mut Decoder<'_>) -> Result<EpochRecord, RestoreError> {
    Ok(EpochRecord {
        id: d.address()?,
        born: restore_moment(d)?,
        promoted: d.option(restore_moment)?,
        retired: d.option(restore_moment)?,
        contracts: d.u32()?,
        strikes: d.u32()?,
        strike_range: d.option(|d| Ok((d.price()?, d.price()?)))?,
        expiries: d.list(Decoder::day)?,
        roots: d.list(|d| d.text().map(Into::into))?,
        widths: d.list(Decoder::price)?,
        chains: d.u64()?,
        dormancies: d.u32()?,
        dormant: d.bool()?,
    })
}

/// Appends a topology. Widths and id are saved with it: they were decided at
/// birth and must not move when a default does.
pub fn save_topology(topology: &Topology, e: &mut Encoder<'_>) {
    e.address(topology.id);
    e.text(&topology.symbol);
    e.count(topology.widths.len());
    topology.widths.iter().for_each(|w| e.price(*w));
    e.count(topology.contracts.len());
    for c in &topology.contracts {
        e.u32(c.instrument.0);
        e.text(&c.ticker);
        e.text(&c.root);
        e.day(c.expiry);
        e.day(c.settles_on);
        e.recv(c.settles_at);
        e.price(c.strike);
        e.bool(c.right == OptionRight::Put);
        e.option(c.style, |e, s| e.bool(s == ExerciseStyle::European));
        e.f64(c.multiplier);
    }
}

/// Takes a saved topology.
///
/// # Errors
/// When the bytes are no topology.
pub fn restore_topology(d: &mut Decoder<'_>) -> Result<Topology, RestoreError> {
    let id = d.address()?;
    let symbol: Box<str> = d.text()?.into();
    let widths = d.list(Decoder::price)?;
    let contracts = d.list(|d| {
        Ok(Contract {
            instrument: InstrumentId(d.u32()?),
            ticker: d.text()?.into(),
            root: d.text()?.into(),
            expiry: d.day()?,
            settles_on: d.day()?,
            settles_at: d.recv()?,
            strike: d.price()?,
            right: if d.bool()? { OptionRight::Put } else { OptionRight::Call },
            style: d.option(|d| {
                Ok(if d.bool()? { ExerciseStyle::European } else { ExerciseStyle::American })
            })?,
            multiplier: d.f64()?,
        })
    })?;
    Ok(topology::with_identity(id, &symbol, widths, contracts))
}

/// Appends a moment.
pub fn save_moment(e: &mut Encoder<'_>, moment: Moment) {
    e.seq(moment.seq);
    e.recv(moment.at);
}

/// Takes a saved moment.
///
/// # Errors
/// When the bytes are no moment.
pub fn restore_moment(d: &mut Decoder<'_>) -> Result<Moment, RestoreError> {
    Ok(Moment { seq: d.seq()?, at: d.recv()? })
}

#[cfg(test)]
mod tests {
    use orrery_journal::units::Address;

    use super::*;
    use crate::market::calendar::TradingCalendar;
    use crate::market::live_book::tests::tickers;
    use crate::market::topology::{TopologyParameters, declare};

    fn moment(seq: u64) -> Moment {
        Moment { seq: Seq(seq), at: RecvTime(i64::try_from(seq).expect("small") * 10) }
    }

    #[test]
    fn a_life_is_recorded_once_per_birth() {
        let (rows, names) = tickers(&["O:SPXW251219C06000000", "O:SPXW251219P06005000"]);
        let ticker_of = |id| names.get(&id).map(String::as_str);
        let (parameters, calendar) = (TopologyParameters::default(), TradingCalendar::shipped());
        let topology = || declare("SPX", &rows, ticker_of, &parameters, calendar).topology;
        let mut history = History::default();
        let warming = Epoch::born(topology(), moment(3), RecvTime(99));
        history.put(&warming.record);
        assert_eq!(history.records()[0].state(), EpochState::Warming);
        let active = warming.promote(moment(5));
        history.put(&active.record);
        assert_eq!(history.records()[0].state(), EpochState::Active);
        history.put(&active.retire(moment(8)));
        history.put(&Epoch::born(topology(), moment(9), RecvTime(99)).abandon(moment(10)));
        let states: Vec<_> = history.records().iter().map(EpochRecord::state).collect();
        assert_eq!(states, [EpochState::Retired, EpochState::Retired]);
        assert_eq!(history.records()[1].promoted, None);
        assert_eq!((history.records()[0].contracts, history.records()[0].strikes), (2, 2));

        let mut bytes = Vec::new();
        history.save(&mut Encoder::new(&mut bytes));
        assert_eq!(History::restore(&mut Decoder::new(&bytes)), Ok(history));
        let mut bytes = Vec::new();
        save_topology(&topology(), &mut Encoder::new(&mut bytes));
        assert_eq!(restore_topology(&mut Decoder::new(&bytes)), Ok(topology()));
    }

    #[test]
    fn history_is_bounded() {
        let empty = || Topology {
            id: Address::default(),
            symbol: "X".into(),
            contracts: Vec::new(),
            expiries: Vec::new(),
            widths: Vec::new(),
            slots: std::collections::BTreeMap::new(),
        };
        let mut history = History::default();
        for seq in 1..=EPOCHS_KEPT as u64 + 3 {
            history.put(&Epoch::born(empty(), moment(seq), RecvTime(0)).record);
        }
        assert_eq!(history.records().len(), EPOCHS_KEPT);
        assert_eq!(history.records()[0].born, moment(4));
    }
}
