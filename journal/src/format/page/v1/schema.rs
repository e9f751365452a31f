//! Which fields a row of each kind has, and how each may be predicted.

use crate::event::Kind;

/// A field of a row: offset and width in bytes.
#[derive(Clone, Copy)]
pub(super) struct Field {
    pub(super) at: usize,
    pub(super) width: usize,
    pub(super) how: &'static [How],
}

/// How a value is predicted. The numbers are on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum How {
    /// By the smallest value of the column.
    Least = 0,
    /// By the value before it in the column.
    Before = 1,
    /// By the same field of the instrument's last event of this kind; without
    /// one by zero, and in a column of its own.
    Instrument = 2,
    /// As `Instrument`, but without one by the eight bytes right before it.
    InstrumentOrLeft = 3,
    /// A price, by the first price of the instrument's last quote, else by
    /// that of its last trade, else by zero, in a column of its own.
    Market = 4,
    /// A time, by the recv time.
    Recv = 5,
    /// By the eight bytes at 24 of the row.
    At24 = 6,
    /// By the eight bytes at 40 of the row.
    At40 = 7,
    /// By the eight bytes at 64 of the row.
    At64 = 8,
}

impl How {
    pub(super) fn from_tag(tag: u8, allowed: &[How]) -> Result<How, &'static str> {
        allowed.iter().copied().find(|h| *h as u8 == tag).ok_or("an unknown predictor")
    }
}

const fn field(at: usize, width: usize, how: &'static [How]) -> Field {
    Field { at, width, how }
}

const LEAST: &[How] = &[How::Least];
const SEQ: &[How] = &[How::Before, How::Instrument];
const STICKY: &[How] = &[How::Least, How::Instrument];
const OWN: &[How] = &[How::Instrument];

pub(super) const FLAGS: Field = field(23, 1, STICKY);
const ADDRESS: [Field; 4] =
    [field(24, 8, LEAST), field(32, 8, LEAST), field(40, 8, LEAST), field(48, 8, LEAST)];
const QUOTE: [Field; 8] = [
    field(24, 8, OWN),
    field(32, 8, &[How::InstrumentOrLeft]),
    field(40, 4, OWN),
    field(44, 4, OWN),
    field(48, 8, SEQ),
    field(56, 2, STICKY),
    field(58, 2, STICKY),
    field(60, 4, STICKY),
];
const TRADE: [Field; 5] = [
    field(24, 8, &[How::Market]),
    field(32, 8, LEAST),
    field(40, 8, SEQ),
    field(48, 2, STICKY),
    field(52, 4, STICKY),
];
const BAR: [Field; 13] = [
    field(24, 8, &[How::Recv]),
    field(32, 8, &[How::At24]),
    field(40, 8, OWN),
    field(48, 8, &[How::At40]),
    field(56, 8, &[How::At40]),
    field(64, 8, &[How::At40]),
    field(72, 8, LEAST),
    field(80, 8, &[How::At64]),
    field(88, 8, LEAST),
    field(96, 8, OWN),
    field(104, 8, OWN),
    field(112, 8, OWN),
    field(120, 8, LEAST),
];
const INDEX: [Field; 1] = [field(24, 8, OWN)];
const CHAIN: [Field; 13] = [
    ADDRESS[0],
    ADDRESS[1],
    ADDRESS[2],
    ADDRESS[3],
    field(56, 8, LEAST),
    field(64, 8, LEAST),
    field(72, 8, LEAST),
    field(80, 8, LEAST),
    field(88, 8, OWN),
    field(96, 4, LEAST),
    field(100, 4, LEAST),
    field(104, 8, LEAST),
    field(112, 4, LEAST),
];
const TEXT: [Field; 5] = [ADDRESS[0], ADDRESS[1], ADDRESS[2], ADDRESS[3], field(56, 8, LEAST)];
const CONDITIONS: [Field; 5] =
    [ADDRESS[0], ADDRESS[1], ADDRESS[2], ADDRESS[3], field(56, 4, &[How::Before])];
const GAP: [Field; 2] = [field(24, 8, &[How::Recv]), field(32, 8, &[How::Recv])];
const CORRECTION: [Field; 5] =
    [ADDRESS[0], ADDRESS[1], ADDRESS[2], ADDRESS[3], field(56, 8, LEAST)];
const QUARANTINE: [Field; 5] =
    [ADDRESS[0], ADDRESS[1], ADDRESS[2], ADDRESS[3], field(56, 4, LEAST)];

/// The payload of a kind: every byte that can be other than zero.
pub(super) const fn schema(kind: Kind) -> &'static [Field] {
    match kind {
        Kind::Quote => &QUOTE,
        Kind::Trade => &TRADE,
        Kind::Bar => &BAR,
        Kind::IndexValue => &INDEX,
        Kind::ChainSnapshot => &CHAIN,
        Kind::InstrumentDefined => &TEXT,
        Kind::ConditionsDefined => &CONDITIONS,
        Kind::SourceDefined | Kind::Extension | Kind::Annotation | Kind::News | Kind::Control => {
            &ADDRESS
        }
        Kind::ClockBeat => &[],
        Kind::Gap => &GAP,
        Kind::Correction => &CORRECTION,
        Kind::Quarantine => &QUARANTINE,
    }
}
