//! What a vendor's ticker says about a contract.
//!
//! The identity of a contract is its ticker; these functions only read it.

use chrono::NaiveDate;
use orrery_journal::event::{ChainRow, OptionRight};
use orrery_journal::units::{InstrumentId, Price, TradingDay};

/// Terms that are part of an option's ticker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionTerms {
    /// Root as the exchange lists it: `SPX`, `SPXW`.
    pub root: Box<str>,
    /// Expiration date.
    pub expiry: TradingDay,
    /// Call or put.
    pub right: OptionRight,
    /// Strike.
    pub strike: Price,
}

impl OptionTerms {
    /// A row of a chain that says nothing but these terms.
    #[must_use]
    pub fn row(&self, instrument: InstrumentId) -> ChainRow {
        ChainRow {
            instrument,
            expiry: self.expiry,
            strike: self.strike,
            right: self.right,
            style: None,
            multiplier: None,
            bid: None,
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
        }
    }
}

/// Roots that are listed on an underlying of another name.
const ROOTS: &[(&str, &str)] = &[
    ("SPXW", "SPX"),
    ("SPXM", "SPX"),
    ("SPXQ", "SPX"),
    ("NDXP", "NDX"),
    ("RUTW", "RUT"),
    ("VIXW", "VIX"),
    ("XSPW", "XSP"),
    ("DJXW", "DJX"),
];

/// Index underlyings: the vendor keys them with a leading `I:`.
const INDICES: &[&str] = &["SPX", "NDX", "VIX", "RUT", "XSP", "DJX", "OEX", "XEO", "VIX1D", "MXEF"];

/// Reads `O:SPXW260819C07600000`, the same without `O:`, and
/// `BTC-25DEC26-85000-P` (also with a decimal strike written `0d5`).
///
/// Returns `None` for anything that is not an option's ticker, a calendar date
/// that does not exist, or a strike of zero.
#[must_use]
pub fn parse_option(ticker: &str) -> Option<OptionTerms> {
    if ticker.contains('-') { parse_deribit(ticker) } else { parse_occ(ticker) }
}

/// Whether `text`, without a leading `O:`, is an option's ticker as the options
/// clearing house writes it: `SPXW260819C07600000`. The same that
/// [`parse_option`] says of it, without making anything of it.
#[must_use]
pub fn is_occ(text: &[u8]) -> bool {
    let Some((root, terms)) = text.len().checked_sub(15).and_then(|n| text.split_at_checked(n))
    else {
        return false;
    };
    let Some((date, rest)) = terms.split_first_chunk::<6>() else { return false };
    let Some((right, strike)) = rest.split_first() else { return false };
    let Ok(strike) = <[u8; 8]>::try_from(strike) else { return false };
    // Not byte by byte with an early end: all at once is faster.
    let digits = |bytes: &[u8]| bytes.iter().fold(true, |all, b| all & b.is_ascii_digit());
    let word = root.iter().fold(true, |all, b| all & (b.is_ascii_uppercase() | b.is_ascii_digit()));
    if !(word & digits(date) & digits(&strike)) || strike == *b"00000000" {
        return false;
    }
    let [y1, y2, m1, m2, d1, d2] = date.map(|b| b - b'0');
    root.first().is_some_and(u8::is_ascii_uppercase)
        && (1..=days_of_month(y1 * 10 + y2, m1 * 10 + m2)).contains(&(d1 * 10 + d2))
        && matches!(right, b'C' | b'P')
}

/// Days of a month of 2000 to 2099; 0 when there is no such month.
fn days_of_month(year: u8, month: u8) -> u8 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) => 29,
        2 => 28,
        _ => 0,
    }
}

fn parse_occ(ticker: &str) -> Option<OptionTerms> {
    let text = ticker.strip_prefix("O:").unwrap_or(ticker);
    if !text.is_ascii() || text.len() < 16 {
        return None;
    }
    let (root, rest) = text.split_at(text.len() - 15);
    let (date, rest) = rest.split_at(6);
    let (right, strike) = rest.split_at(1);
    let valid_root = root.starts_with(|c: char| c.is_ascii_uppercase())
        && root.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if !valid_root || !digits(date) || !digits(strike) {
        return None;
    }
    let two = |at: usize| date.get(at..at + 2)?.parse::<u32>().ok();
    let expiry = NaiveDate::from_ymd_opt(2000 + two(0)? as i32, two(2)?, two(4)?)?;
    let thousandths: i64 = strike.parse().ok()?;
    Some(OptionTerms {
        root: root.into(),
        expiry: TradingDay::from_date(expiry),
        right: right_of(right)?,
        strike: positive(thousandths.checked_mul(Price::SCALE / 1000)?)?,
    })
}

fn parse_deribit(ticker: &str) -> Option<OptionTerms> {
    let mut parts = ticker.split('-');
    let (root, date, strike, right) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || root.is_empty() {
        return None;
    }
    let date = NaiveDate::parse_from_str(date, "%d%b%y").ok()?;
    let strike: f64 = strike.replace('d', ".").parse().ok()?;
    Some(OptionTerms {
        root: root.into(),
        expiry: TradingDay::from_date(date),
        right: right_of(right)?,
        strike: positive(Price::from_f64_exact(strike)?.0)?,
    })
}

fn right_of(text: &str) -> Option<OptionRight> {
    match text {
        "C" => Some(OptionRight::Call),
        "P" => Some(OptionRight::Put),
        _ => None,
    }
}

fn positive(units: i64) -> Option<Price> {
    (units > 0).then_some(Price(units))
}

/// The underlying that a root is listed on: `SPXW` is on `SPX`, and `TSLA1`,
/// the root of contracts adjusted after a corporate action, on `TSLA`.
#[must_use]
pub fn underlying_of_root(root: &str) -> &str {
    if let Some((_, underlying)) = ROOTS.iter().find(|(r, _)| *r == root) {
        return underlying;
    }
    match root.trim_end_matches(|c: char| c.is_ascii_digit()) {
        "" => root,
        plain => plain,
    }
}

/// The symbol that a ticker belongs to: that of an option's underlying, an
/// index without its `I:`, anything else itself.
#[must_use]
pub fn symbol_of(ticker: &str) -> Box<str> {
    symbol_in(ticker).into()
}

/// [`symbol_of`] without a copy.
#[must_use]
pub fn symbol_in(ticker: &str) -> &str {
    let occ = ticker.strip_prefix("O:").unwrap_or(ticker);
    if is_occ(occ.as_bytes()) {
        return underlying_of_root(&occ[..occ.len() - 15]);
    }
    match ticker.split_once('-') {
        Some((root, _)) if parse_deribit(ticker).is_some() => underlying_of_root(root),
        _ => ticker.strip_prefix("I:").unwrap_or(ticker),
    }
}

/// Whether a symbol is an index.
#[must_use]
pub fn is_index(symbol: &str) -> bool {
    INDICES.contains(&symbol)
}

/// The vendor's name of a symbol: `I:SPX`, `GOOG`. Model keys and bodies use it.
#[must_use]
pub fn vendor_symbol(symbol: &str) -> String {
    if is_index(symbol) { format!("I:{symbol}") } else { symbol.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn occ_and_deribit_tickers_say_their_terms() {
        let terms = parse_option("O:SPXW260819C07600000").expect("an option");
        assert_eq!(&*terms.root, "SPXW");
        assert_eq!(terms.expiry.to_string(), "2026-08-19");
        assert_eq!(terms.right, OptionRight::Call);
        assert_eq!(terms.strike, Price(7600 * Price::SCALE));
        assert_eq!(parse_option("TSLA260715C00300000"), parse_option("O:TSLA260715C00300000"));
        let terms = parse_option("BTC-25DEC26-85000-P").expect("an option");
        assert_eq!(
            (terms.expiry.to_string().as_str(), terms.right),
            ("2026-12-25", OptionRight::Put)
        );
    }

    #[test]
    fn what_is_no_option_is_none() {
        for ticker in [
            "",
            "SPX",
            "I:SPX",
            "O:SPXW261319C07600000",
            "O:SPXW260819X07600000",
            "O:SPXW260819C00000000",
            "BTC-PERPETUAL",
            "a-b-c-d",
        ] {
            assert_eq!(parse_option(ticker), None, "{ticker}");
        }
    }

    #[test]
    fn tickers_of_the_clearing_house_are_known_without_reading_them() {
        let mut seen = [0; 2];
        for root in ["", "SPXW", "A", "TSLA1", "1A", "a", "S-", "S P"] {
            for year in ["00", "23", "24", "2x"] {
                for month in ["00", "02", "04", "07", "12", "13", "/1"] {
                    for day in ["00", "01", "28", "29", "30", "31", "32", "3:"] {
                        for rest in ["C07600000", "P00000001", "C00000000", "X00000001", "C0760000"]
                        {
                            let text = format!("{root}{year}{month}{day}{rest}");
                            let known = parse_option(&text).is_some();
                            assert_eq!(is_occ(text.as_bytes()), known, "{text}");
                            seen[usize::from(known)] += 1;
                        }
                    }
                }
            }
        }
        assert!(seen.iter().all(|n| *n > 100), "{seen:?}");
        assert!(!is_occ(b"") && !is_occ("SPXÜ260819C07600000".as_bytes()));
    }

    #[test]
    fn symbols_of_tickers() {
        assert_eq!(&*symbol_of("O:SPXW260819C07600000"), "SPX");
        assert_eq!(&*symbol_of("O:TSLA1260715C00300000"), "TSLA");
        assert_eq!(&*symbol_of("I:SPX"), "SPX");
        assert_eq!(&*symbol_of("I:VIX1D"), "VIX1D");
        assert_eq!(&*symbol_of("BTC-25DEC26-85000-P"), "BTC");
        assert_eq!(&*symbol_of("GOOG"), "GOOG");
        assert_eq!(vendor_symbol("SPX"), "I:SPX");
        assert_eq!(vendor_symbol("GOOG"), "GOOG");
    }
}
