//! A table for each kind of event, and one for the contracts of chains.

use orrery_journal::event::Kind;

use super::super::table::{Column, Table, Type, always, optional};

const PRICE: &str = "currency";
const LOT: &str = "contracts or shares";
const TIME: &str = "ns since 1970-01-01 UTC";

/// Of every event: where it stands and what it is about.
const EVENT: &[Column] = &[
    always("seq", Type::U64, ""),
    always("recv", Type::Time, TIME),
    optional("vendor_time", Type::Time, TIME),
    optional("ticker", Type::Text, ""),
    optional("instrument", Type::U32, ""),
    always("source", Type::U32, ""),
    always("extended", Type::Bool, ""),
];

/// A fact that is text; bytes that are no UTF-8 stand in the second column.
const TEXT: &[Column] = &[optional("text", Type::Text, ""), optional("bytes", Type::Bytes, "")];

const QUOTE: Table = Table {
    name: "quote",
    groups: &[
        EVENT,
        &[
            optional("bid", Type::Price, PRICE),
            optional("ask", Type::Price, PRICE),
            optional("bid_size", Type::U32, LOT),
            optional("ask_size", Type::U32, LOT),
            optional("vendor_seq", Type::U64, ""),
            optional("bid_exchange", Type::U32, ""),
            optional("ask_exchange", Type::U32, ""),
            always("conditions", Type::U32s, ""),
        ],
    ],
};

const TRADE: Table = Table {
    name: "trade",
    groups: &[
        EVENT,
        &[
            always("price", Type::Price, PRICE),
            always("size", Type::U64, LOT),
            optional("vendor_seq", Type::U64, ""),
            optional("exchange", Type::U32, ""),
            always("conditions", Type::U32s, ""),
        ],
    ],
};

const BAR: Table = Table {
    name: "bar",
    groups: &[
        EVENT,
        &[
            always("start", Type::Time, TIME),
            always("end", Type::Time, TIME),
            always("open", Type::Price, PRICE),
            always("high", Type::Price, PRICE),
            always("low", Type::Price, PRICE),
            always("close", Type::Price, PRICE),
            optional("volume", Type::U64, LOT),
            optional("vwap", Type::Price, PRICE),
            optional("trades", Type::U64, "trades"),
            optional("day_volume", Type::U64, LOT),
            optional("day_open", Type::Price, PRICE),
            optional("day_vwap", Type::Price, PRICE),
            optional("trade_size_mean", Type::U64, LOT),
        ],
    ],
};

const INDEX_VALUE: Table =
    Table { name: "index_value", groups: &[EVENT, &[always("value", Type::Price, "points")]] };

const CHAIN_SNAPSHOT: Table = Table {
    name: "chain_snapshot",
    groups: &[
        EVENT,
        &[
            optional("spot", Type::Price, PRICE),
            always("contracts", Type::U32, "contracts"),
            always("refused", Type::U32, "contracts"),
            always("latency_ns", Type::U64, "ns"),
            always("pages", Type::U32, "pages of the vendor"),
        ],
        TEXT,
    ],
};

/// The rows of chain snapshots, in the order of the snapshot; `seq` and `recv`
/// are the snapshot's.
pub(in crate::export) const CHAIN_CONTRACT: Table = Table {
    name: "chain_contract",
    groups: &[&[
        always("seq", Type::U64, ""),
        always("recv", Type::Time, TIME),
        optional("underlying", Type::Text, ""),
        always("row", Type::U32, ""),
        always("ticker", Type::Text, ""),
        always("instrument", Type::U32, ""),
        always("expiry", Type::Date, ""),
        always("strike", Type::Price, "points"),
        always("right", Type::Text, ""),
        optional("style", Type::Text, ""),
        optional("multiplier", Type::F64, "units of the underlying"),
        optional("bid", Type::F64, PRICE),
        optional("ask", Type::F64, PRICE),
        optional("bid_size", Type::F64, "contracts"),
        optional("ask_size", Type::F64, "contracts"),
        optional("last", Type::F64, PRICE),
        optional("updated", Type::Time, TIME),
        optional("open_interest", Type::F64, "contracts"),
        optional("volume", Type::F64, "contracts"),
        optional("implied_volatility", Type::F64, "fraction a year"),
        optional("delta", Type::F64, ""),
        optional("gamma", Type::F64, "per point"),
        optional("theta", Type::F64, "vendor's"),
        optional("vega", Type::F64, "vendor's"),
    ]],
};

const INSTRUMENT_DEFINED: Table = Table { name: "instrument_defined", groups: &[EVENT] };
const CONDITIONS_DEFINED: Table = Table {
    name: "conditions_defined",
    groups: &[EVENT, &[always("id", Type::U32, ""), always("conditions", Type::U32s, "")]],
};
const SOURCE_DEFINED: Table = Table { name: "source_defined", groups: &[EVENT, TEXT] };
const EXTENSION: Table = Table { name: "extension", groups: &[EVENT, TEXT] };
const ANNOTATION: Table = Table { name: "annotation", groups: &[EVENT, TEXT] };
const NEWS: Table = Table { name: "news", groups: &[EVENT, TEXT] };
const CONTROL: Table = Table { name: "control", groups: &[EVENT, TEXT] };
const CLOCK_BEAT: Table = Table { name: "clock_beat", groups: &[EVENT] };
const GAP: Table = Table {
    name: "gap",
    groups: &[EVENT, &[always("from", Type::Time, TIME), always("to", Type::Time, TIME)]],
};
const CORRECTION: Table =
    Table { name: "correction", groups: &[EVENT, &[always("corrects", Type::U64, "")], TEXT] };
const QUARANTINE: Table =
    Table { name: "quarantine", groups: &[EVENT, &[always("reason", Type::Text, "")], TEXT] };

/// The table of a kind; each has one.
#[must_use]
pub(in crate::export) const fn of(kind: Kind) -> &'static Table {
    match kind {
        Kind::Quote => &QUOTE,
        Kind::Trade => &TRADE,
        Kind::Bar => &BAR,
        Kind::IndexValue => &INDEX_VALUE,
        Kind::ChainSnapshot => &CHAIN_SNAPSHOT,
        Kind::InstrumentDefined => &INSTRUMENT_DEFINED,
        Kind::ConditionsDefined => &CONDITIONS_DEFINED,
        Kind::SourceDefined => &SOURCE_DEFINED,
        Kind::Extension => &EXTENSION,
        Kind::Annotation => &ANNOTATION,
        Kind::News => &NEWS,
        Kind::Control => &CONTROL,
        Kind::ClockBeat => &CLOCK_BEAT,
        Kind::Gap => &GAP,
        Kind::Correction => &CORRECTION,
        Kind::Quarantine => &QUARANTINE,
    }
}
