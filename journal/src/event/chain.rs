//! The decoded rows of a chain snapshot: what the fold reads.
//!
//! A row is 160 bytes, little-endian; the blob is a 16-byte head (magic
//! `ORRYROWS`, version u32, count u32) and the rows in the snapshot's order.

use crate::units::{InstrumentId, Price, TradingDay, VendorTime};

/// Call or put.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs)]
pub enum OptionRight {
    Call,
    Put,
}

/// When the holder may exercise.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs)]
pub enum ExerciseStyle {
    American,
    European,
}

/// One contract of a snapshot. `None` is "the vendor did not say", never zero.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ChainRow {
    /// The contract.
    pub instrument: InstrumentId,
    /// Expiration date in the exchange's calendar.
    pub expiry: TradingDay,
    /// Strike.
    pub strike: Price,
    /// Call or put.
    pub right: OptionRight,
    /// Exercise style, when the vendor says it.
    pub style: Option<ExerciseStyle>,
    /// Units of the underlying per contract, when the vendor says it.
    pub multiplier: Option<f64>,
    /// Bid in currency units; 0 is the vendor's "none".
    pub bid: Option<f64>,
    /// Ask in currency units; 0 is the vendor's "none".
    pub ask: Option<f64>,
    /// Contracts bid for.
    pub bid_size: Option<f64>,
    /// Contracts offered.
    pub ask_size: Option<f64>,
    /// Last traded price.
    pub last: Option<f64>,
    /// When it was quoted or last traded, whichever the vendor states.
    pub updated: Option<VendorTime>,
    /// Contracts outstanding.
    pub open_interest: Option<f64>,
    /// Contracts traded (the vendor's day).
    pub volume: Option<f64>,
    /// Annualised volatility as a fraction.
    pub implied_volatility: Option<f64>,
    /// Vendor's delta.
    pub delta: Option<f64>,
    /// Vendor's gamma, per point of the underlying.
    pub gamma: Option<f64>,
    /// Vendor's theta.
    pub theta: Option<f64>,
    /// Vendor's vega.
    pub vega: Option<f64>,
}

/// Why bytes are not chain rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RowsError {
    /// Wrong magic or length.
    #[error("chain rows blob is malformed: {0}")]
    Malformed(&'static str),
    /// Written by a newer orrery.
    #[error("chain rows version {0} is newer than this orrery knows")]
    Version(u32),
}

/// Encoder and decoder of the rows blob.
#[derive(Clone, Copy, Debug)]
pub struct ChainRows;

const MAGIC: &[u8; 8] = b"ORRYROWS";
const VERSION: u32 = 1;
const HEAD: usize = 16;
const ROW: usize = 160;
const FLOATS: usize = 13;

impl ChainRows {
    /// The blob of `rows`.
    #[must_use]
    pub fn encode(rows: &[ChainRow]) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD + rows.len() * ROW);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&(rows.len() as u32).to_le_bytes());
        for row in rows {
            encode_row(row, &mut out);
        }
        out
    }

    /// The rows of a blob.
    ///
    /// # Errors
    /// When the blob is malformed or of a newer version.
    pub fn decode(bytes: &[u8]) -> Result<Vec<ChainRow>, RowsError> {
        let head = bytes.get(..HEAD).ok_or(RowsError::Malformed("shorter than its head"))?;
        if &head[..8] != MAGIC {
            return Err(RowsError::Malformed("magic"));
        }
        let version = u32::from_le_bytes([head[8], head[9], head[10], head[11]]);
        if version != VERSION {
            return Err(RowsError::Version(version));
        }
        let count = u32::from_le_bytes([head[12], head[13], head[14], head[15]]) as usize;
        let body = &bytes[HEAD..];
        if body.len() != count * ROW {
            return Err(RowsError::Malformed("length does not match the count"));
        }
        body.chunks_exact(ROW).map(decode_row).collect()
    }
}

fn floats(row: &ChainRow) -> [Option<f64>; FLOATS] {
    [
        row.multiplier,
        row.bid,
        row.ask,
        row.bid_size,
        row.ask_size,
        row.last,
        row.open_interest,
        row.volume,
        row.implied_volatility,
        row.delta,
        row.gamma,
        row.theta,
        row.vega,
    ]
}

/// 0 instrument u32, 4 expiry i32, 8 strike i64, 16 updated i64, 24 presence
/// u32 (bits 0..12 the floats, 13 updated, 14 style known, 15 european,
/// 16 put), 28 zero u32, 32 thirteen f64, 136 zeros.
fn encode_row(row: &ChainRow, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&row.instrument.0.to_le_bytes());
    out.extend_from_slice(&row.expiry.0.to_le_bytes());
    out.extend_from_slice(&row.strike.0.to_le_bytes());
    out.extend_from_slice(&row.updated.unwrap_or_default().0.to_le_bytes());
    let values = floats(row);
    let mut presence = 0u32;
    for (bit, value) in values.iter().enumerate() {
        presence |= u32::from(value.is_some()) << bit;
    }
    presence |= u32::from(row.updated.is_some()) << 13;
    presence |= u32::from(row.style.is_some()) << 14;
    presence |= u32::from(row.style == Some(ExerciseStyle::European)) << 15;
    presence |= u32::from(row.right == OptionRight::Put) << 16;
    out.extend_from_slice(&presence.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    for value in values {
        out.extend_from_slice(&value.unwrap_or(0.0).to_le_bytes());
    }
    out.resize(start + ROW, 0);
}

fn decode_row(bytes: &[u8]) -> Result<ChainRow, RowsError> {
    let short = RowsError::Malformed("row");
    let word = |at: usize| -> Result<[u8; 8], RowsError> {
        bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).ok_or(short)
    };
    let half = |at: usize| -> Result<[u8; 4], RowsError> {
        bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).ok_or(short)
    };
    let presence = u32::from_le_bytes(half(24)?);
    let has = |bit: u32| presence & (1 << bit) != 0;
    let float = |i: u32| -> Result<Option<f64>, RowsError> {
        Ok(has(i).then_some(f64::from_le_bytes(word(32 + 8 * i as usize)?)))
    };
    Ok(ChainRow {
        instrument: InstrumentId(u32::from_le_bytes(half(0)?)),
        expiry: TradingDay(i32::from_le_bytes(half(4)?)),
        strike: Price(i64::from_le_bytes(word(8)?)),
        right: if has(16) { OptionRight::Put } else { OptionRight::Call },
        style: match (has(14), has(15)) {
            (false, _) => None,
            (true, true) => Some(ExerciseStyle::European),
            (true, false) => Some(ExerciseStyle::American),
        },
        updated: has(13).then_some(VendorTime(i64::from_le_bytes(word(16)?))),
        multiplier: float(0)?,
        bid: float(1)?,
        ask: float(2)?,
        bid_size: float(3)?,
        ask_size: float(4)?,
        last: float(5)?,
        open_interest: float(6)?,
        volume: float(7)?,
        implied_volatility: float(8)?,
        delta: float(9)?,
        gamma: float(10)?,
        theta: float(11)?,
        vega: float(12)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_went() {
        let row = ChainRow {
            instrument: InstrumentId(7),
            expiry: TradingDay(20_000),
            strike: Price(6_905_000_000_000),
            right: OptionRight::Put,
            style: Some(ExerciseStyle::European),
            multiplier: Some(100.0),
            bid: Some(0.0),
            ask: None,
            bid_size: Some(1.0),
            ask_size: None,
            last: Some(-0.0),
            updated: Some(VendorTime(5)),
            open_interest: Some(117.9),
            volume: None,
            implied_volatility: Some(20.0),
            delta: Some(-0.5),
            gamma: None,
            theta: None,
            vega: Some(1e-300),
        };
        let blob = ChainRows::encode(&[row, row]);
        assert_eq!(ChainRows::decode(&blob), Ok(vec![row, row]));
        assert_eq!(
            ChainRows::decode(&blob[..blob.len() - 1]),
            Err(RowsError::Malformed("length does not match the count"))
        );
    }
}
