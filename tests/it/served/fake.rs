//! A backend over artifacts that tests put into it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use orrery::control::point::{CellPart, Point, Points, Said, When};
use orrery::control::{
    AsOf, Backend, BackendError, CorrectedRead, Epochs, Explained, LevelShare, Plane,
    ReplayDifference, ReplayOrder, ReplayProgress, ReplaySummary, Which,
};
use orrery::gateway::{self, At, House, HouseError};
use orrery::market::book::{Book, Contract, ContractState, Spot, SpotSource, Topology};
use orrery::market::epoch::{EpochRecord, Moment};
use orrery::shelf::Shelf;
use orrery_journal::event::OptionRight;
use orrery_journal::units::{Address, InstrumentId, Price, RecvTime, Seq, TradingDay};
use orrery_replay::artifact::{Artifact, Header};
use orrery_replay::fold::EpochId;

use super::T0;
use super::absent::elsewhere;

/// Artifacts by symbol, family and version.
type Kept = BTreeMap<(Box<str>, Box<str>, u64), Artifact>;

/// A backend over what tests put into it.
#[derive(Default)]
pub struct Fake {
    shelf: Arc<Shelf>,
    kept: Mutex<Kept>,
    /// A replay of this backend waits until it is cancelled.
    pub replay_waits: AtomicBool,
    /// A replay of this backend ends with a difference.
    pub replay_differs: AtomicBool,
    /// What was annotated over HTTP.
    pub brought: Mutex<Vec<gateway::Annotation>>,
}

impl House for Fake {
    fn artifact(
        &self,
        symbol: &str,
        family: &str,
        at: At,
    ) -> Result<Option<(Header, Bytes)>, HouseError> {
        let which = match at {
            At::Version(version) => Which::Version(version),
            At::Seq(seq) => Which::AsOf(AsOf::Seq(seq)),
            At::Time(time) => Which::AsOf(AsOf::Time(time)),
        };
        let told = |e: BackendError| HouseError::Invalid(e.to_string());
        let Some(header) = self.header(symbol, family, which).map_err(told)? else {
            return Ok(None);
        };
        let body = self.body(&header).map_err(told)?;
        Ok(Some((header, body)))
    }

    fn annotate(&self, annotation: &gateway::Annotation) -> Result<Seq, HouseError> {
        known(&annotation.symbol).map_err(|e| HouseError::Unknown(e.to_string()))?;
        let mut brought = self.brought.lock().expect("not poisoned");
        brought.push(annotation.clone());
        Ok(Seq(1000 + brought.len() as u64))
    }
}

impl Fake {
    pub fn over(shelf: &Arc<Shelf>) -> Fake {
        Fake { shelf: Arc::clone(shelf), ..Fake::default() }
    }

    pub fn keep(&self, artifact: Artifact) {
        let header = &artifact.header;
        let key = (header.symbol.clone(), header.family.clone(), header.version);
        self.kept.lock().expect("not poisoned").insert(key, artifact);
    }

    /// Keeps a version and puts it on the shelf, as the house does.
    pub fn publish(&self, artifact: Artifact) {
        self.keep(artifact.clone());
        self.shelf.place(artifact);
    }

    pub(super) fn moment(&self, as_of: AsOf) -> Result<Moment, BackendError> {
        let seq = match as_of {
            AsOf::Head => 1000,
            AsOf::Seq(Seq(seq)) if seq <= 1000 => seq,
            AsOf::Time(RecvTime(t)) if t >= T0 => 1000.min((t - T0) as u64 / 1_000_000_000),
            other => {
                return Err(BackendError::OutOfRange {
                    asked: format!("{other:?}"),
                    has: "seq 1 to 1000".into(),
                });
            }
        };
        Ok(Moment { seq: Seq(seq), at: RecvTime(T0 + seq as i64 * 1_000_000_000) })
    }
}

fn known(symbol: &str) -> Result<(), BackendError> {
    if symbol == "SPX" {
        Ok(())
    } else {
        Err(BackendError::Unknown { what: "symbol", name: symbol.into() })
    }
}

/// Two expirations, strikes 6500 to 6600 by 5, calls and puts.
pub fn topology() -> Topology {
    let today = TradingDay::parse("2026-08-19").expect("a date");
    let mut contracts = Vec::new();
    for expiry in [today, TradingDay(today.0 + 1)] {
        for step in 0..21 {
            for right in [OptionRight::Call, OptionRight::Put] {
                let strike = 6500 + step * 5;
                let side = if right == OptionRight::Call { 'C' } else { 'P' };
                contracts.push(Contract {
                    instrument: InstrumentId(contracts.len() as u32 + 1),
                    ticker: format!("O:SPXW{}{side}{strike}", expiry.0).into(),
                    root: "SPXW".into(),
                    expiry,
                    settles_on: expiry,
                    settles_at: RecvTime(T0 + 6 * 3_600_000_000_000),
                    strike: Price(strike * Price::SCALE),
                    right,
                    style: None,
                    multiplier: 100.0,
                });
            }
        }
    }
    let slots = contracts.iter().enumerate().map(|(slot, c)| (c.instrument, slot)).collect();
    Topology {
        id: Address::of(b"topology"),
        symbol: "SPX".into(),
        contracts,
        expiries: vec![today, TradingDay(today.0 + 1)],
        widths: vec![Price(20 * Price::SCALE), Price(100 * Price::SCALE)],
        slots,
    }
}

impl Points for Fake {
    fn header_at(&self, point: &Point) -> Result<Header, BackendError> {
        let which = match point.when {
            When::Version(version) => Which::Version(version),
            When::At(as_of) => Which::AsOf(as_of),
            When::Close(_) => Which::Latest,
        };
        let which = if which == Which::AsOf(AsOf::Head) { Which::Latest } else { which };
        let found = self.header(&point.symbol, &point.family, which)?;
        found.ok_or_else(|| BackendError::Unknown { what: "artifact", name: point.to_string() })
    }

    fn said(&self, point: &Point) -> Result<Said, BackendError> {
        let header = self.header_at(point)?;
        let body = self.body(&header)?;
        let moment = Moment { seq: header.seq_last, at: header.created_at };
        Ok(Said { header, body, moment })
    }

    /// One contract is behind every strike, and adds the version's number.
    fn behind(&self, said: &Said, paths: &[&str]) -> Result<Vec<Vec<CellPart>>, BackendError> {
        let part = CellPart {
            ticker: "O:SPXW260819C06540000".into(),
            expiry: "2026-08-19".to_owned(),
            strike: 6540.0,
            value: Some(said.header.version as f64),
        };
        let parts = |path: &&str| match path.starts_with("/by_strike/") {
            true => vec![part.clone()],
            false => Vec::new(),
        };
        Ok(paths.iter().map(parts).collect())
    }

    fn inputs(&self, _: &Header) -> Result<Vec<Header>, BackendError> {
        Ok(Vec::new())
    }
}

impl Backend for Fake {
    fn epochs(&self, symbol: &str, as_of: AsOf) -> Result<Epochs, BackendError> {
        known(symbol)?;
        let moment = self.moment(as_of)?;
        let at = |seq: u64| Moment { seq: Seq(seq), at: RecvTime(T0 + seq as i64 * 1_000_000_000) };
        let record = |id: &[u8], born, promoted: Option<u64>, retired: Option<u64>| EpochRecord {
            id: Address::of(id),
            born: at(born),
            promoted: promoted.map(at),
            retired: retired.map(at),
            contracts: 84,
            strikes: 21,
            strike_range: Some((Price(6500 * Price::SCALE), Price(6600 * Price::SCALE))),
            expiries: topology().expiries,
            roots: vec!["SPXW".into()],
            widths: topology().widths,
            chains: 1,
            dormancies: 0,
            dormant: false,
        };
        let seq = moment.seq.0;
        let mut epochs =
            vec![record(b"old", 1, (seq >= 5).then_some(5), (seq >= 105).then_some(105))];
        if seq >= 100 {
            epochs.push(record(b"topology", 100, (seq >= 105).then_some(105), None));
        }
        Ok(Epochs { moment, epochs })
    }

    fn plane(
        &self,
        symbol: &str,
        epoch: Option<EpochId>,
        as_of: AsOf,
    ) -> Result<Plane, BackendError> {
        known(symbol)?;
        if let Some(id) = epoch.filter(|id| *id != Address::of(b"topology")) {
            return Err(BackendError::Unknown { what: "epoch", name: id.to_string() });
        }
        let topology = Arc::new(topology());
        let states = topology
            .contracts
            .iter()
            .map(|c| ContractState { bid: Some(c.strike.to_f64() / 1000.0), ..Default::default() })
            .collect();
        let moment = self.moment(as_of)?;
        Ok(Plane {
            moment,
            day: TradingDay::parse("2026-08-19").expect("a date"),
            book: Book { topology, states },
            spot: Some(Spot { value: 6540.25, at: moment.at, source: SpotSource::Index }),
        })
    }

    fn explain(
        &self,
        symbol: &str,
        level: &str,
        profile: Option<&str>,
        as_of: AsOf,
    ) -> Result<Explained, BackendError> {
        known(symbol)?;
        if level == "nothing" {
            return Err(BackendError::Unknown { what: "level", name: level.to_owned() });
        }
        let share = |n: u32| LevelShare {
            ticker: format!("O:SPXW260819C0{}000", 6540 + n).into(),
            expiry: TradingDay::parse("2026-08-19").expect("a date"),
            strike: f64::from(6540 + n),
            value: f64::from(100 - n),
            share: 1.0 / f64::from(n + 2),
        };
        Ok(Explained {
            moment: self.moment(as_of)?,
            profile: format!("gex/{}@1", profile.unwrap_or("naive-oi")),
            level: (level != "flip").then_some(6540.0),
            value: 297.0,
            contracts: (0..3).map(share).collect(),
        })
    }

    fn families(&self) -> Result<Vec<(Box<str>, Box<str>)>, BackendError> {
        let kept = self.kept.lock().expect("not poisoned");
        let mut families: Vec<_> = kept.keys().map(|(s, f, _)| (s.clone(), f.clone())).collect();
        families.dedup();
        Ok(families)
    }

    fn header(
        &self,
        symbol: &str,
        family: &str,
        which: Which,
    ) -> Result<Option<Header>, BackendError> {
        let seq = match which {
            Which::AsOf(as_of) => self.moment(as_of)?.seq,
            _ => Seq::MAX,
        };
        let kept = self.kept.lock().expect("not poisoned");
        Ok(kept
            .values()
            .map(|artifact| &artifact.header)
            .filter(|h| &*h.symbol == symbol && &*h.family == family && h.seq_last <= seq)
            .filter(|h| !matches!(which, Which::Version(v) if v != h.version))
            .max_by_key(|h| h.version)
            .cloned())
    }

    fn corrected(&self, _: &str, _: &str, _: AsOf) -> Result<Option<CorrectedRead>, BackendError> {
        elsewhere()
    }

    fn headers(
        &self,
        symbol: &str,
        family: &str,
        from_version: u64,
        limit: usize,
    ) -> Result<Vec<Header>, BackendError> {
        let kept = self.kept.lock().expect("not poisoned");
        Ok(kept
            .values()
            .map(|artifact| &artifact.header)
            .filter(|h| &*h.symbol == symbol && &*h.family == family && h.version >= from_version)
            .take(limit)
            .cloned()
            .collect())
    }

    fn body(&self, header: &Header) -> Result<Bytes, BackendError> {
        let key = (header.symbol.clone(), header.family.clone(), header.version);
        let kept = self.kept.lock().expect("not poisoned");
        kept.get(&key)
            .map(|artifact| artifact.body.clone())
            .ok_or_else(|| BackendError::Damaged("the body is gone".into()))
    }

    fn check_day(&self, day: TradingDay) -> Result<(), BackendError> {
        if day.to_string() == "2026-08-19" {
            Ok(())
        } else {
            Err(BackendError::Unknown { what: "day", name: day.to_string() })
        }
    }

    fn replay(
        &self,
        order: ReplayOrder,
        progress: &mut dyn FnMut(ReplayProgress),
        cancel: &AtomicBool,
    ) -> Result<ReplaySummary, BackendError> {
        self.check_day(order.day)?;
        let mut reached = ReplayProgress { events: 0, events_total: 1000, artifacts: 0 };
        let mut cancelled = false;
        while reached.events < 1000 {
            if cancel.load(Ordering::Relaxed) {
                cancelled = true;
                break;
            }
            if self.replay_waits.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(5));
            } else {
                reached.events += 100;
                reached.artifacts += 7;
            }
            progress(reached);
        }
        let differs = self.replay_differs.load(Ordering::Relaxed);
        Ok(ReplaySummary {
            progress: reached,
            elapsed: Duration::from_millis(400),
            cancelled,
            difference: differs.then(|| ReplayDifference {
                symbol: "SPX".into(),
                family: "gex".into(),
                version: 3,
                seq: Seq(30),
                field: "/levels/net".into(),
                recorded: "5.25".into(),
                replayed: "5.26".into(),
            }),
        })
    }
}
