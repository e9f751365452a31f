//! What the rows of a page hold, found again from the rows alone.

use crate::event::{self, EventError, Kind};
use crate::format::canon::{Label, Rows};
use crate::format::definitions::Definition;
use crate::format::summary::{Counter, Instruments, PageSummary, Tally};
use crate::units::{Address, RecvTime};

/// Whether events of this kind can name a blob.
pub(crate) const fn names_blobs(kind: Kind) -> bool {
    !matches!(
        kind,
        Kind::Quote | Kind::Trade | Kind::Bar | Kind::IndexValue | Kind::ClockBeat | Kind::Gap
    )
}

/// Summary, definitions and blobs of a page.
pub(crate) struct Contents {
    pub summary: PageSummary,
    pub instruments: Instruments,
    pub definitions: Vec<Definition>,
    /// In order; one may come up more than once.
    pub blobs: Vec<Address>,
}

impl Contents {
    /// Of rows whose hash was checked.
    pub(crate) fn of(label: Label, address: Address, rows: &[u8]) -> Result<Contents, EventError> {
        let mut contents = Contents {
            summary: PageSummary {
                first: label.first,
                count: 0,
                day: label.day,
                address,
                first_recv: RecvTime(0),
                last_recv: RecvTime(0),
                tally: Tally::default(),
            },
            instruments: Instruments::of_rows(rows),
            definitions: Vec::new(),
            blobs: Vec::new(),
        };
        let (summary, mut counter) = (&mut contents.summary, Counter::default());
        for row in Rows::new(rows) {
            let row = row?;
            if summary.count == 0 {
                summary.first_recv = row.recv();
            }
            summary.last_recv = row.recv();
            contents.definitions.extend(Definition::of(&row, summary.count));
            counter.count(&row);
            summary.count += 1;
            if names_blobs(row.kind) {
                contents.blobs.extend(event::parse(row.bytes, row.kind)?.body.blobs());
            }
        }
        counter.add_to(&mut summary.tally);
        Ok(contents)
    }
}
