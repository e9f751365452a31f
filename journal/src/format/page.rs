//! Pages: 4,096 consecutive events, fewer where a trading day ends. The unit
//! of storage, addressing and proof.
//!
//! The *address* is the plain blake3 of the canonical bytes: a label with magic
//! `ORRYPAGE` (see `canon.rs`) and the rows. The magic separates pages from
//! everything else that is hashed, and `b3sum` of an exported page agrees. The
//! *stored* bytes are columns (`page/v1.rs`); they may change in later formats
//! without changing one address. Every decoding checks the address. The blake3
//! behind the columns adds the bits that decode to the same events (padding):
//! only verification looks at it.

mod pack;
mod v1;

use crate::format::canon::{LABEL, Label};
use crate::units::{Address, Seq};

pub(crate) const MAGIC: &[u8; 8] = b"ORRYPAGE";
/// Version of the canonical bytes; a part of what is addressed.
const CANONICAL: u32 = 1;
pub(crate) const STORED_MAGIC: &[u8; 8] = b"ORRYCOLS";
/// Version of the stored columns.
const STORED: u32 = 1;
/// Length of the blake3 behind the columns.
const SEAL: usize = 32;

/// Why a stored page is not the page it should be.
#[derive(Debug)]
pub(crate) enum PageError {
    /// Not decodable at all.
    Malformed(String),
    /// Decoded, but to other events.
    Address { expected: Address, got: Address },
}

/// Begins canonical bytes: the label, to be followed by rows.
pub(crate) fn canonical_label(label: Label) -> [u8; LABEL] {
    label.bytes(MAGIC, CANONICAL)
}

/// An encoder that keeps its memory from page to page.
#[derive(Default)]
pub(crate) struct Encoder {
    columns: v1::ColumnEncoder,
    /// Stored bytes of the last page, so that the next one fits at once.
    stored: usize,
}

impl Encoder {
    /// Stored bytes of a page with these canonical rows, and its address.
    pub(crate) fn encode(&mut self, label: Label, rows: &[u8]) -> (Vec<u8>, Address) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&canonical_label(label)).update(rows);
        let address = Address(*hasher.finalize().as_bytes());
        let mut out = Vec::with_capacity(LABEL + SEAL + self.stored.max(rows.len() / 8));
        out.extend_from_slice(&label.bytes(STORED_MAGIC, STORED));
        out[28..32].copy_from_slice(&(rows.len() as u32).to_le_bytes());
        out[32..64].copy_from_slice(&address.0);
        self.columns.encode(rows, label.count as usize, &mut out);
        let seal = blake3::hash(&out);
        out.extend_from_slice(seal.as_bytes());
        self.stored = out.len();
        (out, address)
    }

    /// Instruments of the page encoded last, ascending, each once.
    pub(crate) fn instruments(&self) -> &[u32] {
        self.columns.instruments()
    }
}

/// Whether the stored bytes are those that were written, to the last bit.
pub(crate) fn is_intact(stored: &[u8]) -> bool {
    let split = stored.len().checked_sub(SEAL).and_then(|at| stored.split_at_checked(at));
    split.is_some_and(|(plain, seal)| blake3::hash(plain).as_bytes() == seal)
}

/// The address that a stored page says it has.
pub(crate) fn stated_address(stored: &[u8]) -> Option<Address> {
    stored.get(32..LABEL)?.try_into().ok().map(Address)
}

/// A decoder that keeps its memory from page to page.
#[derive(Default)]
pub(crate) struct Decoder {
    /// Canonical bytes of the page decoded last.
    canonical: Vec<u8>,
    columns: v1::Scratch,
}

impl Decoder {
    /// Decodes a stored page into its label and canonical rows, which have
    /// `expected` as their address.
    pub(crate) fn decode(
        &mut self,
        stored: &[u8],
        first: Seq,
        expected: Address,
    ) -> Result<(Label, &[u8]), PageError> {
        let bad = |why: &str| PageError::Malformed(why.into());
        let (label, version) = Label::parse(stored, STORED_MAGIC).map_err(bad)?;
        if version != STORED {
            return Err(PageError::Malformed(format!("column version {version} is unknown")));
        }
        if label.first != first {
            return Err(bad("stored under the key of another page"));
        }
        let rows_len = crate::format::canon::u32_at(stored, 28).unwrap_or_default() as usize;
        let got = stated_address(stored).ok_or_else(|| bad("shorter than its label"))?;
        if got != expected {
            return Err(PageError::Address { expected, got });
        }
        self.canonical.resize(self.canonical.len().max(LABEL), 0);
        if let Some(begin) = self.canonical.first_chunk_mut::<LABEL>() {
            *begin = canonical_label(label);
        }
        let columns = LABEL..stored.len().saturating_sub(SEAL);
        let columns = stored.get(columns).ok_or_else(|| bad("shorter than its hash"))?;
        v1::decode(columns, label.count as usize, rows_len, &mut self.canonical, &mut self.columns)
            .map_err(bad)?;
        let got = Address(*blake3::hash(&self.canonical).as_bytes());
        if got != expected {
            return Err(PageError::Address { expected, got });
        }
        Ok((label, self.rows()))
    }

    /// Canonical bytes of the page decoded last.
    pub(crate) fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    /// Canonical rows of the page decoded last.
    pub(crate) fn rows(&self) -> &[u8] {
        self.canonical.get(LABEL..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::{self, Kind};
    use crate::format::canon::Rows;
    use crate::units::TradingDay;

    /// Canonical rows of events with arbitrary fields: random bytes of each
    /// kind, kept when they decode. `narrow` takes few instruments and small
    /// steps, as a market has.
    fn rows(seed: u64, count: usize, narrow: bool) -> Vec<u8> {
        let mut x = seed;
        let mut random = move || {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let y = x ^ (x >> 31);
            y ^ (y >> 17)
        };
        let mut out = Vec::new();
        let mut kept = 0;
        let mut recv = random();
        while kept < count {
            let kind = match random() % 3 {
                0 => Kind::ALL[(random() % 16) as usize],
                1 => Kind::Trade,
                _ => Kind::Quote,
            };
            let mut row: Vec<u8> = (0..event::encoded_len(kind)).map(|_| random() as u8).collect();
            if narrow {
                for word in row.as_chunks_mut::<8>().0 {
                    let kept = random() % 256;
                    *word = kept.to_le_bytes();
                }
                recv = recv.wrapping_add(random() % 1_000);
                row[0..8].copy_from_slice(&recv.to_le_bytes());
                row[16..22].copy_from_slice(&[(random() % 5) as u8, 0, 0, 0, 1, 0]);
            }
            row[22] = kind as u8;
            if matches!(kind, Kind::InstrumentDefined) {
                row[24..].fill(0);
                row[24..28].copy_from_slice(&[3, b'S', b'P', b'X']);
            }
            if kind == Kind::Quarantine {
                row[56..60].copy_from_slice(&[1 + (random() % 13) as u8, 0, 0, 0]);
            }
            // Through the event: what is absent becomes zero.
            if let Ok(event) = event::parse(&row, kind) {
                event::encode(&event, &mut out);
                kept += 1;
            }
        }
        out
    }

    fn label(count: usize) -> Label {
        Label { first: Seq(77), count: count as u32, day: TradingDay(-3) }
    }

    /// Quotes and trades alone, `edit`ed row by row; told how many they are.
    fn ticks(rows: &[u8], mut edit: impl FnMut(usize, &mut [u8])) -> (Vec<u8>, usize) {
        let (mut out, mut count) = (Vec::new(), 0);
        let ticks = Rows::new(rows).flatten();
        for tick in ticks.filter(|r| matches!(r.kind, Kind::Quote | Kind::Trade)) {
            let mut row = tick.bytes.to_vec();
            edit(count, &mut row);
            event::encode(&event::parse(&row, tick.kind).expect("a row"), &mut out);
            count += 1;
        }
        (out, count)
    }

    fn check(rows: &[u8], count: usize) -> (Vec<u8>, Address) {
        let (stored, address) = Encoder::default().encode(label(count), rows);
        let mut canonical = canonical_label(label(count)).to_vec();
        canonical.extend_from_slice(rows);
        assert_eq!(address, Address::of(&canonical), "the address is that of canonical bytes");
        let mut decoder = Decoder::default();
        for _ in 0..2 {
            let decoded = decoder.decode(&stored, Seq(77), address).expect("decodes");
            assert_eq!(decoded.0, label(count));
            assert!(decoded.1 == rows, "rows come back byte for byte");
        }
        (stored, address)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

        #[test]
        fn any_events_come_back(seed in any::<u64>(), count in 1usize..700, narrow in any::<bool>()) {
            check(&rows(seed, count, narrow), count);
        }

        /// As a market has them: flags, exchanges and conditions that are the
        /// same everywhere or are not, sequence numbers by order or by
        /// instrument, with and without vendor times.
        #[test]
        fn any_ticks_come_back(
            seed in any::<u64>(),
            count in 1usize..2_000,
            narrow in any::<bool>(),
            (flags_kept, flags_set) in (any::<u8>(), any::<u8>()),
            (same_end, by_order, one_kind) in (0u8..3, any::<bool>(), 0u8..6),
        ) {
            let all = rows(seed, count, narrow);
            let (rows, count) = ticks(&all, |at, row| {
                let quote = row[22] == Kind::Quote as u8;
                let known = if quote { 0x3f } else { 0x03 };
                row[23] = row[23] & flags_kept | flags_set & known;
                match same_end {
                    0 => {}
                    1 => row[56..64].fill(0),
                    _ => row[48..64].fill(7),
                }
                if by_order {
                    let seq = if quote { 48 } else { 40 };
                    row[seq..seq + 8].copy_from_slice(&(at as u64 * 3).to_le_bytes());
                }
                if one_kind == 0 {
                    row[22] = Kind::Quote as u8;
                }
            });
            // Few rows may have no tick among them, and no page is empty.
            prop_assume!(count > 0);
            check(&rows, count);
        }

        #[test]
        fn damaged_columns_are_refused_without_a_panic(
            seed in any::<u64>(),
            count in 1usize..300,
            narrow in any::<bool>(),
            edits in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4),
            cut in any::<usize>(),
        ) {
            let rows = rows(seed, count, narrow);
            let (mut stored, address) = check(&rows, count);
            for (at, value) in edits {
                let at = at % stored.len();
                stored[at] = value;
            }
            if cut % 4 == 0 {
                stored.truncate(cut % (stored.len() + 1));
            }
            let mut decoder = Decoder::default();
            if let Ok((found, again)) = decoder.decode(&stored, Seq(77), address) {
                // An unused bit may change nothing; anything else is refused.
                prop_assert!(found == label(count) && again == rows);
            }
        }
    }

    /// The decoder's memory is not cleared between pages of ticks.
    #[test]
    fn nothing_of_one_page_is_left_in_the_next() {
        // With and without vendor times.
        let ticks = |seed: u64, count: usize, flags: u8| {
            ticks(&rows(seed, count, true), |_, row| row[23] &= flags)
        };
        let pages = [
            (rows(5, 900, false), 900),
            ticks(6, 1_000, 0xff),
            ticks(7, 1_000, 0xfe),
            (rows(8, 300, true), 300),
            ticks(9, 600, 0xfe),
            ticks(10, 5_000, 0xff),
            ticks(11, 5_000, 0x00),
        ];
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::default());
        for (page, count) in pages.iter().chain(pages.iter().rev()) {
            let (stored, address) = encoder.encode(label(*count), page);
            let (_, again) = decoder.decode(&stored, Seq(77), address).expect("decodes");
            assert!(again == page, "a page of {count}");
        }
    }

    #[test]
    fn a_full_page_of_extremes_comes_back() {
        let rows = rows(1, crate::limits::PAGE_EVENTS, false);
        check(&rows, crate::limits::PAGE_EVENTS);
    }

    /// Addresses and stored bytes are for ever: no faster encoder may change a bit.
    #[test]
    fn pages_are_stored_as_they_always_were() {
        let count = crate::limits::PAGE_EVENTS;
        let mut encoder = Encoder::default();
        let pages = [(11, true), (12, false)].map(|(seed, narrow)| {
            let (stored, address) = encoder.encode(label(count), &rows(seed, count, narrow));
            [address, Address::of(&stored)].map(|a| a.to_string())
        });
        let pinned = [
            [
                "af2bc0978c8b23c4be05077a560d1a95a50b518be50e385e195385c26d293f3c",
                "5c0acc55e89cc99934d23806c4c41b0eb3ce2da2169062905d71ef9588c98b6d",
            ],
            [
                "d998e4d60ed6c7880bb8320fa72673abda6c19dfaa70e315488e423c32fa1150",
                "36467646949db084950bef0d2c51b1cb64978ce4cbf5fa0a0cf194c5182b3cf9",
            ],
        ];
        assert_eq!(pages, pinned);
    }

    #[test]
    fn every_flipped_bit_is_found_and_no_wrong_event_comes_out() {
        let rows = rows(3, 40, true);
        let (stored, address) = check(&rows, 40);
        assert!(is_intact(&stored));
        let mut decoder = Decoder::default();
        for bit in 0..stored.len() * 8 {
            let mut bad = stored.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_intact(&bad), "bit {bit}");
            if let Ok((found, again)) = decoder.decode(&bad, Seq(77), address) {
                assert!(found == label(40) && again == rows, "bit {bit}");
            }
        }
    }
}
