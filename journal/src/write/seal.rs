//! A complete page on its way into the store: everything about it that takes
//! time, so that another thread can do it.
//!
//! Sealing is a pure function of the rows: columns, address, summary and
//! definitions come out the same whoever does it and whenever.

use crate::failpoint::hit;
use crate::format::definitions::{self, Definition};
use crate::format::page::Encoder;
use crate::format::summary::{Instruments, PageSummary};
use crate::units::Seq;

/// A page with all its events and without an address.
pub(crate) struct Unsealed {
    /// The address is zero.
    pub summary: PageSummary,
    /// Canonical rows.
    pub rows: Vec<u8>,
    /// First seq of each frame that the page replaces.
    pub frames: Vec<Seq>,
    pub definitions: Vec<Definition>,
}

/// What is written for a page.
pub(crate) struct Sealed {
    pub summary: PageSummary,
    /// Values for the tables of these names.
    pub page: Vec<u8>,
    pub summary_bytes: Vec<u8>,
    pub definitions: Option<Vec<u8>>,
    /// First seq of each frame that the page replaces.
    pub frames: Vec<Seq>,
    /// Memory of the rows, to be used again.
    pub rows: Vec<u8>,
}

impl Unsealed {
    pub(crate) fn seal(self, encoder: &mut Encoder) -> Sealed {
        hit("seal.before");
        let Unsealed { mut summary, mut rows, frames, definitions } = self;
        let label = summary.label();
        let (page, address) = encoder.encode(label, &rows);
        summary.address = address;
        let instruments = Instruments::of(encoder.instruments().iter().copied());
        let summary_bytes = summary.encode(&instruments);
        let definitions =
            (!definitions.is_empty()).then(|| definitions::encode(label, &definitions));
        rows.clear();
        hit("seal.after");
        Sealed { summary, page, summary_bytes, definitions, frames, rows }
    }
}
