//! A page by itself: packed and unpacked in memory, without a journal.
//!
//! For benches that set the journal against a bare file of the same pages, and
//! against nothing but packing. Not an interface for users: it may change with
//! any version.

use crate::format::canon::Label;
use crate::format::page;
use crate::units::{Seq, TradingDay};

/// Packs pages; keeps its memory from page to page.
#[derive(Default)]
pub struct Packer(page::Encoder);

impl Packer {
    /// The stored bytes of a page with these canonical rows.
    pub fn pack(&mut self, first: Seq, day: TradingDay, count: u32, rows: &[u8]) -> Vec<u8> {
        self.0.encode(Label { first, count, day }, rows).0
    }
}

/// Unpacks pages; keeps its memory from page to page.
#[derive(Default)]
pub struct Unpacker(page::Decoder);

impl Unpacker {
    /// The canonical rows of a stored page, checked against the address that
    /// its own label states.
    ///
    /// # Errors
    /// When the page is damaged or begins with another seq; says why.
    pub fn unpack(&mut self, stored: &[u8], first: Seq) -> Result<&[u8], String> {
        let address = page::stated_address(stored).ok_or("shorter than a label")?;
        match self.0.decode(stored, first, address) {
            Ok((_, rows)) => Ok(rows),
            Err(page::PageError::Malformed(why)) => Err(why),
            Err(page::PageError::Address { .. }) => Err("other rows than its address says".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{self, Body, Event};
    use crate::units::{InstrumentId, RecvTime, SourceId};

    #[test]
    fn a_page_alone_comes_back_or_is_refused() {
        let mut rows = Vec::new();
        for n in 0..10 {
            let event = Event {
                recv: RecvTime(n),
                vendor_time: None,
                instrument: InstrumentId::NONE,
                source: SourceId::JOURNAL,
                extended: false,
                body: Body::ClockBeat,
            };
            event::encode(&event, &mut rows);
        }
        let mut stored = Packer::default().pack(Seq(7), TradingDay(1), 10, &rows);
        let mut unpacker = Unpacker::default();
        assert_eq!(unpacker.unpack(&stored, Seq(7)), Ok(rows.as_slice()));
        assert!(unpacker.unpack(&stored, Seq(8)).is_err());
        assert!(unpacker.unpack(&stored[..20], Seq(7)).is_err());
        stored[40] ^= 1;
        assert!(unpacker.unpack(&stored, Seq(7)).is_err());
    }
}
