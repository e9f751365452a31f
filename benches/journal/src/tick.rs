//! One tick of the workload and its 64 bytes.
//!
//! The bytes are those of the journal's canonical encoding, so that every peer
//! carries the very payload that the journal carries. Nothing but the standard
//! library is used here: the peers' own package includes this file.

/// Length of a tick's bytes.
pub const ROW: usize = 64;
/// Contracts of the workload; dense from 0.
pub const CONTRACTS: usize = 12_000;
/// The journal's id of contract 0: the underlying has 1.
pub const FIRST_ID: u32 = 2;

const QUOTE: u8 = 1;
const TRADE: u8 = 2;

/// A quote or a trade, ready in memory: where every side of the bench begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tick {
    /// Capture time, ns since the epoch.
    pub recv: i64,
    /// Vendor's time, ns since the epoch.
    pub vendor: i64,
    /// Vendor's number.
    pub vendor_seq: u64,
    /// Bid, or the price of a trade; 1e-9 of the currency.
    pub price: i64,
    /// Ask; 0 in a trade.
    pub ask: i64,
    /// From 0.
    pub contract: u32,
    /// Bid size, or the size of a trade.
    pub size: u32,
    /// Ask size; 0 in a trade.
    pub ask_size: u32,
    /// Of both sides, or of the trade.
    pub exchange: u16,
    /// Interned condition list of a trade; 0 in a quote.
    pub condition: u8,
    /// Quote otherwise.
    pub trade: bool,
}

impl Tick {
    /// Its canonical bytes, as event of source 1.
    #[must_use]
    pub fn row(&self) -> [u8; ROW] {
        let mut row = [0; ROW];
        row[0..8].copy_from_slice(&self.recv.to_le_bytes());
        row[8..16].copy_from_slice(&self.vendor.to_le_bytes());
        row[16..20].copy_from_slice(&(self.contract + FIRST_ID).to_le_bytes());
        row[20] = 1;
        row[24..32].copy_from_slice(&self.price.to_le_bytes());
        if self.trade {
            (row[22], row[23]) = (TRADE, 0x03);
            row[32..40].copy_from_slice(&u64::from(self.size).to_le_bytes());
            row[40..48].copy_from_slice(&self.vendor_seq.to_le_bytes());
            row[48..50].copy_from_slice(&self.exchange.to_le_bytes());
            row[52] = self.condition;
        } else {
            (row[22], row[23]) = (QUOTE, 0x3f);
            row[32..40].copy_from_slice(&self.ask.to_le_bytes());
            row[40..44].copy_from_slice(&self.size.to_le_bytes());
            row[44..48].copy_from_slice(&self.ask_size.to_le_bytes());
            row[48..56].copy_from_slice(&self.vendor_seq.to_le_bytes());
            row[56..58].copy_from_slice(&self.exchange.to_le_bytes());
            row[58..60].copy_from_slice(&self.exchange.to_le_bytes());
        }
        row
    }

    /// The tick of such bytes; nothing is checked.
    #[must_use]
    #[inline]
    pub fn from_row(row: &[u8; ROW]) -> Tick {
        let word = |at: usize| u64::from_le_bytes(part(row, at));
        let half = |at: usize| u32::from_le_bytes(part(row, at));
        let trade = row[22] == TRADE;
        let (seq_at, exchange_at) = if trade { (40, 48) } else { (48, 56) };
        Tick {
            recv: word(0) as i64,
            vendor: word(8) as i64,
            vendor_seq: word(seq_at),
            price: word(24) as i64,
            ask: if trade { 0 } else { word(32) as i64 },
            contract: half(16).wrapping_sub(FIRST_ID),
            size: if trade { half(32) } else { half(40) },
            ask_size: if trade { 0 } else { half(44) },
            exchange: u16::from_le_bytes(part(row, exchange_at)),
            condition: if trade { row[52] } else { 0 },
            trade,
        }
    }

    /// The ticks of many rows.
    pub fn from_rows(rows: &[u8]) -> impl Iterator<Item = Tick> {
        rows.as_chunks::<ROW>().0.iter().map(Tick::from_row)
    }
}

#[inline]
fn part<const N: usize>(row: &[u8; ROW], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&row[at..at + N]);
    out
}
