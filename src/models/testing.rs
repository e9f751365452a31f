//! Small markets for the tests of models.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use orrery_journal::event::OptionRight;
use orrery_journal::units::{
    Address, InstrumentId, NANOS_PER_SECOND, Price, RecvTime, Seq, TradingDay,
};

use crate::market::book::{Book, Contract, ContractState, Market, Spot, SpotSource, Topology};
use crate::market::ticker::parse_option;

pub(super) const DAY_NS: i64 = 86_400 * NANOS_PER_SECOND;

/// A contract that settles `days` after the epoch of all times.
pub(super) fn contract(right: &str, strike: f64, days: i32) -> Contract {
    Contract {
        instrument: InstrumentId(1),
        ticker: format!("{right}{strike}@{days}").into(),
        root: "SPXW".into(),
        expiry: TradingDay(days),
        settles_on: TradingDay(days),
        settles_at: RecvTime(i64::from(days) * DAY_NS),
        strike: Price::from_f64_exact(strike).expect("a strike"),
        right: if right == "C" { OptionRight::Call } else { OptionRight::Put },
        style: None,
        multiplier: 100.0,
    }
}

pub(super) fn state(gamma: f64, open_interest: f64) -> ContractState {
    ContractState {
        gamma: Some(gamma),
        open_interest: Some(open_interest),
        ..ContractState::default()
    }
}

pub(super) fn book(contracts: Vec<Contract>, states: Vec<ContractState>) -> Book {
    let mut expiries: Vec<TradingDay> = contracts.iter().map(|c| c.expiry).collect();
    expiries.sort_unstable();
    expiries.dedup();
    let widths = [5.0, 10.0].iter().filter_map(|w| Price::from_f64_exact(*w)).collect();
    let topology = Topology {
        id: Address::default(),
        symbol: "SPX".into(),
        contracts,
        expiries,
        widths,
        slots: BTreeMap::new(),
    };
    Book { topology: Arc::new(topology), states }
}

pub(super) fn market(book: Option<&Book>, spot: Option<f64>, now: RecvTime) -> Market<'_> {
    let spot = spot.map(|value| Spot { value, at: now, source: SpotSource::Index });
    let day = TradingDay(now.0.div_euclid(DAY_NS) as i32);
    Market { symbol: "SPX", book, spot, seq: Seq::BEFORE_FIRST, now, day }
}

/// A file or folder of the captured data that lies beside the repository.
pub(super) fn shared(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found =
        root.ancestors().skip(1).map(|dir| dir.join("shared/data").join(name)).find(|p| p.exists());
    if found.is_none() {
        // The test then proves nothing, and says so.
        eprintln!("skipped: ../shared/data/{name} is absent");
    }
    found
}

pub(super) fn decompressed(path: &Path) -> Vec<u8> {
    let file = std::fs::File::open(path).expect("readable");
    let mut decoder = ruzstd::decoding::StreamingDecoder::new(file).expect("zstd");
    let mut out = Vec::new();
    std::io::Read::read_to_end(&mut decoder, &mut out).expect("zstd");
    out
}

/// The chain of a vendor-like JSON as a book. Settlement is put at 20:00 UTC.
pub(super) fn book_of<'a>(rows: impl Iterator<Item = (&'a str, ContractState)>) -> Book {
    let mut contracts = Vec::new();
    for (ticker, state) in rows {
        let terms = parse_option(ticker).expect("an option");
        let contract = Contract {
            instrument: InstrumentId(contracts.len() as u32 + 1),
            ticker: ticker.into(),
            root: terms.root,
            expiry: terms.expiry,
            settles_on: terms.expiry,
            settles_at: RecvTime(i64::from(terms.expiry.0) * DAY_NS + 20 * 3600 * NANOS_PER_SECOND),
            strike: terms.strike,
            right: terms.right,
            style: None,
            multiplier: 100.0,
        };
        contracts.push((contract, state));
    }
    contracts.sort_by(|(a, _), (b, _)| {
        (a.expiry, &a.root, a.strike, a.right, &a.ticker)
            .cmp(&(b.expiry, &b.root, b.strike, b.right, &b.ticker))
    });
    let (contracts, states) = contracts.into_iter().unzip();
    book(contracts, states)
}
