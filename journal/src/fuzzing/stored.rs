//! What the journal stores: pages, frames, and what belongs to them.

use std::cell::RefCell;

use super::{market, rows};
use crate::event::{self, ChainRows};
use crate::format::canon::{self, LABEL, Label, Rows, u64_at};
use crate::format::page::{self, Decoder, Encoder, PageError};
use crate::format::summary::{Counter, Instruments, PageSummary};
use crate::limits::PAGE_EVENTS;
use crate::units::{Address, Seq, TradingDay};
use crate::{format::definitions, format::frame as frames};

const FIRST: Seq = Seq(77);

/// Stores a page twice: by an encoder that has just begun, and by one that has
/// other pages behind it.
fn store(label: Label, rows: &[u8]) -> (Vec<u8>, Address) {
    thread_local! {
        static USED: RefCell<Encoder> = RefCell::default();
    }
    let fresh = Encoder::default().encode(label, rows);
    let again = USED.with_borrow_mut(|encoder| encoder.encode(label, rows));
    assert!(fresh == again, "an encoder's memory shows in what it stores");
    fresh
}

fn label(count: usize) -> Label {
    Label { first: FIRST, count: count as u32, day: TradingDay(20_000) }
}

/// A page: as stored, as columns behind a right hash, or as rows to store.
pub fn page(data: &[u8]) {
    match data.split_first() {
        None => {}
        Some((mode, rest)) if mode % 3 == 0 => stored_page(rest),
        Some((mode, rest)) if mode % 3 == 1 => columns(rest),
        Some((_, rest)) => written_page(rest),
    }
}

/// Seeds of `page`.
#[must_use]
pub fn page_seeds() -> Vec<Vec<u8>> {
    let (rows, count) = rows(&market());
    let (stored, _) = store(label(count), &rows);
    let long = (rows.len() / 64 - count) as u16;
    let head = [&[1][..], &(count as u16 - 1).to_le_bytes(), &long.to_le_bytes()].concat();
    vec![
        [&[0], stored.as_slice()].concat(),
        [&head, &stored[LABEL..stored.len() - 32]].concat(),
        [&[2], market().as_slice()].concat(),
    ]
}

fn stored_page(bytes: &[u8]) {
    let first = Seq(u64_at(bytes, 16).unwrap_or_default());
    let said = bytes.get(32..LABEL).and_then(|b| b.try_into().ok()).map(Address);
    let mut decoder = Decoder::default();
    if let Ok((label, rows)) = decoder.decode(bytes, first, said.unwrap_or_default()) {
        check_rows(label, rows, said.unwrap_or_default());
    }
    let _ = page::is_intact(bytes);
}

/// Arbitrary columns: the address that they lead to is put where it belongs.
fn columns(data: &[u8]) {
    let [a, b, c, d, columns @ ..] = data else { return };
    let count = usize::from(u16::from_le_bytes([*a, *b])) % PAGE_EVENTS + 1;
    let long = usize::from(u16::from_le_bytes([*c, *d])) % (count + 1);
    let label = label(count);
    let mut stored = label.bytes(page::STORED_MAGIC, 1).to_vec();
    stored[28..32].copy_from_slice(&((count + long) as u32 * 64).to_le_bytes());
    stored.extend_from_slice(columns);
    stored.extend_from_slice(&[0; 32]);
    let mut decoder = Decoder::default();
    let address = match decoder.decode(&stored, FIRST, Address::default()) {
        Err(PageError::Address { got, .. }) if got != Address::default() => got,
        Err(_) => return,
        Ok(_) => panic!("a page at the address of zeros"),
    };
    stored[32..LABEL].copy_from_slice(&address.0);
    let seal = stored.len() - 32;
    let hash = blake3::hash(&stored[..seal]);
    stored[seal..].copy_from_slice(hash.as_bytes());
    assert!(page::is_intact(&stored));
    match decoder.decode(&stored, FIRST, address) {
        Ok((found, rows)) => {
            assert_eq!(found, label);
            assert_eq!(rows.len(), (count + long) * 64);
            check_rows(label, rows, address);
        }
        Err(e) => panic!("columns decoded once and not again: {e:?}"),
    }
}

/// Rows that a page gave back: reading them never fails badly, and canonical
/// ones are stored again under the same address.
fn check_rows(label: Label, rows: &[u8], address: Address) {
    let count = label.count as usize;
    let events = canon::decode_checked(rows, count);
    let canonical =
        Rows::new(rows).all(|row| row.is_ok_and(|row| event::decode(row.bytes).is_ok()));
    if canonical && let Ok(events) = events {
        let mut again = Vec::with_capacity(rows.len());
        events.iter().for_each(|event| {
            event::encode(event, &mut again);
        });
        assert_eq!(again, rows, "events encode to the bytes that they came from");
        let (stored, other) = store(label, rows);
        assert_eq!(other, address, "an address is of the events, not of their columns");
        let mut decoder = Decoder::default();
        let decoded = decoder.decode(&stored, label.first, address);
        assert!(decoded.is_ok_and(|(found, back)| found == label && back == rows));
    }
}

/// Rows that are stored come back.
fn written_page(data: &[u8]) {
    let (mut rows, mut count) = rows(data);
    rows.truncate(Rows::new(&rows).take(PAGE_EVENTS).flatten().map(|row| row.bytes.len()).sum());
    count = count.min(PAGE_EVENTS);
    if count == 0 {
        return;
    }
    let label = label(count);
    let (stored, address) = store(label, &rows);
    assert!(page::is_intact(&stored));
    match Decoder::default().decode(&stored, FIRST, address) {
        Ok((found, back)) => assert!(found == label && back == rows),
        Err(e) => panic!("a stored page does not come back: {e:?}"),
    }
    check_rows(label, &rows, address);
}

/// A frame: as it is, and with the right hash.
pub fn frame(data: &[u8]) {
    let mut bytes = data.to_vec();
    for mended in [false, true] {
        if mended && let Some(half) = bytes.get_mut(LABEL / 2..LABEL) {
            half.fill(0);
            let hash = blake3::hash(&bytes);
            bytes[LABEL / 2..LABEL].copy_from_slice(hash.as_bytes());
        }
        if let Ok((label, rows)) = frames::decode(&bytes) {
            assert_eq!(frames::encode(label, rows), bytes, "a frame is written in one way only");
            let _ = canon::decode_checked(rows, label.count as usize);
            for row in Rows::new(rows).flatten() {
                if let Ok((event, len)) = event::decode(row.bytes) {
                    assert_eq!(event::parse(row.bytes, row.kind), Ok(event));
                    assert_eq!(len, row.bytes.len());
                }
            }
        }
    }
}

/// Seeds of `frame`.
#[must_use]
pub fn frame_seeds() -> Vec<Vec<u8>> {
    let (rows, count) = rows(&market());
    vec![frames::encode(label(count), &rows), frames::encode(label(1), &rows[..64])]
}

/// What stands beside pages: definitions, summaries, the rows of chains.
pub fn index(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    let mut bytes = rest.to_vec();
    if mode % 3 != 2 {
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
    }
    match mode % 3 {
        0 => {
            let _ = definitions::decode(rest);
            if let Ok((label, list)) = definitions::decode(&bytes) {
                assert_eq!(definitions::encode(label, &list), bytes);
            }
        }
        1 => {
            let _ = PageSummary::decode(rest);
            if let Ok((summary, instruments)) = PageSummary::decode(&bytes) {
                // Without instruments it is of an older version.
                if let Some(instruments) = instruments {
                    assert_eq!(summary.encode(&instruments), bytes);
                }
                let _ = (summary.tally.kinds(), summary.tally.refused(), summary.last());
                let mut sum = summary.tally.clone();
                sum.merge(&summary.tally);
            }
        }
        _ => {
            // Bits that mean nothing are not refused here; the blob's address
            // holds them.
            if let Ok(rows) = ChainRows::decode(&bytes) {
                let again = ChainRows::encode(&rows);
                let rows = ChainRows::decode(&again).unwrap_or_default();
                assert_eq!(ChainRows::encode(&rows), again);
            }
        }
    }
}

/// Seeds of `index`.
#[must_use]
pub fn index_seeds() -> Vec<Vec<u8>> {
    use crate::event::Kind;
    use crate::format::definitions::{Definition, Name};
    let list = [
        Definition {
            kind: Kind::InstrumentDefined,
            position: 3,
            id: 1,
            name: Name::Inline((*b"SPX").into()),
        },
        Definition {
            kind: Kind::SourceDefined,
            position: 0,
            id: 1,
            name: Name::Blob(Address([3; 32])),
        },
    ];
    let definitions = definitions::encode(label(2), &list);
    let (rows, count) = rows(&market());
    let mut summary = PageSummary {
        first: FIRST,
        count: count as u32,
        day: TradingDay(20_000),
        address: Address([7; 32]),
        first_recv: Default::default(),
        last_recv: Default::default(),
        tally: Default::default(),
    };
    let mut counter = Counter::default();
    Rows::new(&rows).flatten().for_each(|row| counter.count(&row));
    counter.add_to(&mut summary.tally);
    let summary = summary.encode(&Instruments::of_rows(&rows));
    let terms = crate::event::ChainRow {
        instrument: crate::units::InstrumentId(1),
        expiry: TradingDay(20_000),
        strike: crate::units::Price(5),
        right: crate::event::OptionRight::Put,
        style: None,
        multiplier: Some(100.0),
        bid: Some(1.5),
        ask: None,
        bid_size: None,
        ask_size: None,
        last: None,
        updated: None,
        open_interest: None,
        volume: None,
        implied_volatility: None,
        delta: None,
        gamma: None,
        theta: None,
        vega: None,
    };
    let chain = [&[2], ChainRows::encode(&[terms, terms]).as_slice()].concat();
    let hash = |bytes: &[u8]| bytes.len() - 32;
    vec![
        [&[0], &definitions[..hash(&definitions)]].concat(),
        [&[1], &summary[..hash(&summary)]].concat(),
        chain,
    ]
}
