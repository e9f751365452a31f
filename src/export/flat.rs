//! Bodies as tables: exposures by strike, levels by name, bins, tiles, candles.
//!
//! A body is JSON, so this reads it like any other client: a figure that is not
//! there is null, and a family without a table has only its bodies.

use orrery_journal::units::{Price, RecvTime, TradingDay};
use serde_json::Value;

use super::table::{Cell, Column, Table, Type, always, optional};

/// Of every row: the artifact that says so.
const ARTIFACT: &[Column] = &[
    always("version", Type::U64, ""),
    always("created_at", Type::Time, "ns since 1970-01-01 UTC"),
    always("seq_last", Type::U64, ""),
];

const POINTS: &str = "points";
/// Of exposures: what the profile's definitions say, as a rule per 1 %.
const EXPOSURE: &str = "currency per 1 % unless the profile says otherwise";

/// Where the rows of a table stand in a body.
#[derive(Clone, Copy)]
enum Rows {
    /// The body is the row.
    Body,
    /// Each element of a list, or each value of an object.
    Each(&'static str),
    /// Something of its own.
    Own(fn(&Value, Option<&Value>) -> Vec<Vec<Cell<'static>>>),
}

/// A table that bodies of a family fill.
pub(super) struct Flat {
    pub table: &'static Table,
    rows: Rows,
    /// JSON pointers into a row, one for each column behind those of every row.
    pointers: &'static [&'static str],
}

/// The tables of a family.
pub(super) fn of(family: &str) -> &'static [Flat] {
    let is = |room: &str| {
        family.strip_prefix(room).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    };
    match family {
        "spot" => &[SPOT],
        "levels" => &[LEVELS],
        "candles" => &[CANDLES],
        _ if is("gex") => &[GEX, GEX_BY_STRIKE, GEX_BY_EXPIRY],
        _ if is("heatmap") => &[HEATMAP_TILES],
        _ if is("gravity") => &[GRAVITY_BINS, GRAVITY_STRUCTURES],
        _ => &[],
    }
}

const SPOT: Flat = Flat {
    table: &Table {
        name: "spot",
        groups: &[
            ARTIFACT,
            &[
                optional("value", Type::Price, POINTS),
                optional("at", Type::Time, "ns since 1970-01-01 UTC"),
                optional("source", Type::Text, ""),
                optional("previous_close", Type::Price, POINTS),
                optional("previous_day", Type::Date, ""),
                optional("change", Type::F64, POINTS),
                optional("change_percent", Type::F64, "%"),
            ],
        ],
    },
    rows: Rows::Body,
    pointers: &[
        "/value",
        "/at",
        "/source",
        "/previous_close",
        "/previous_day",
        "/change",
        "/change_percent",
    ],
};

const LEVELS: Flat = Flat {
    table: &Table {
        name: "levels",
        groups: &[
            ARTIFACT,
            &[
                optional("kind", Type::Text, ""),
                optional("price", Type::Price, POINTS),
                optional("to", Type::Price, POINTS),
                optional("strength", Type::F64, "fraction"),
                optional("distance", Type::F64, "fraction of the spot"),
                optional("rank", Type::U32, ""),
                optional("basis", Type::Text, ""),
                optional("of_family", Type::Text, ""),
                optional("of_profile", Type::Text, ""),
                optional("of_version", Type::U64, ""),
            ],
        ],
    },
    rows: Rows::Each("/levels"),
    pointers: &[
        "/kind",
        "/price",
        "/to",
        "/strength",
        "/distance",
        "/rank",
        "/basis",
        "/family",
        "/profile",
        "/version",
    ],
};

const GEX: Flat = Flat {
    table: &Table {
        name: "gex",
        groups: &[
            ARTIFACT,
            &[
                optional("spot", Type::Price, POINTS),
                optional("net", Type::F64, EXPOSURE),
                optional("call_total", Type::F64, EXPOSURE),
                optional("put_total", Type::F64, EXPOSURE),
                optional("call_wall", Type::Price, POINTS),
                optional("put_wall", Type::Price, POINTS),
                optional("peak", Type::Price, POINTS),
                optional("absolute_gamma", Type::Price, POINTS),
                optional("flip", Type::F64, POINTS),
                optional("dex_net", Type::F64, EXPOSURE),
                optional("vex_net", Type::F64, EXPOSURE),
                optional("chex_net", Type::F64, EXPOSURE),
            ],
        ],
    },
    rows: Rows::Body,
    pointers: &[
        "/spot",
        "/levels/net",
        "/levels/call_total",
        "/levels/put_total",
        "/levels/call_wall",
        "/levels/put_wall",
        "/levels/peak",
        "/levels/absolute_gamma",
        "/levels/flip/nearest",
        "/levels/dex/net",
        "/levels/vex/net",
        "/levels/chex/net",
    ],
};

/// Exposures of a stretch of the book.
const SUMS: &[Column] = &[
    optional("call", Type::F64, EXPOSURE),
    optional("put", Type::F64, EXPOSURE),
    optional("net", Type::F64, EXPOSURE),
    optional("dex_net", Type::F64, EXPOSURE),
    optional("vex_net", Type::F64, EXPOSURE),
    optional("chex_net", Type::F64, EXPOSURE),
];

const GEX_BY_STRIKE: Flat = Flat {
    table: &Table {
        name: "gex_by_strike",
        groups: &[ARTIFACT, &[optional("strike", Type::Price, POINTS)], SUMS],
    },
    rows: Rows::Each("/by_strike"),
    pointers: &["/strike", "/call", "/put", "/net", "/dex/net", "/vex/net", "/chex/net"],
};

const GEX_BY_EXPIRY: Flat = Flat {
    table: &Table {
        name: "gex_by_expiry",
        groups: &[
            ARTIFACT,
            &[
                optional("expiry", Type::Date, ""),
                optional("max_pain", Type::Price, POINTS),
                optional("expected_move", Type::F64, POINTS),
            ],
            SUMS,
        ],
    },
    rows: Rows::Each("/by_expiry"),
    pointers: &[
        "/expiry",
        "/max_pain",
        "/expected_move/straddle/move",
        "/call",
        "/put",
        "/net",
        "/dex/net",
        "/vex/net",
        "/chex/net",
    ],
};

const HEATMAP_TILES: Flat = Flat {
    table: &Table {
        name: "heatmap_tiles",
        groups: &[
            ARTIFACT,
            &[
                optional("strategy", Type::Text, ""),
                optional("root", Type::Text, ""),
                optional("dte", Type::U32, "calendar days"),
                optional("strike", Type::Price, POINTS),
                optional("width", Type::Price, POINTS),
                optional("call_mid", Type::F64, "currency"),
                optional("call_debit", Type::F64, "currency"),
                optional("call_natural_debit", Type::F64, "currency"),
                optional("call_max_profit", Type::F64, "currency"),
                optional("call_max_loss", Type::F64, "currency"),
                optional("put_mid", Type::F64, "currency"),
                optional("put_debit", Type::F64, "currency"),
                optional("put_natural_debit", Type::F64, "currency"),
                optional("put_max_profit", Type::F64, "currency"),
                optional("put_max_loss", Type::F64, "currency"),
                optional("parity_gap", Type::F64, "currency"),
                optional("eligible", Type::Bool, ""),
                optional("reasons", Type::Text, ""),
            ],
        ],
    },
    rows: Rows::Each("/tiles"),
    pointers: &[
        "/strategy",
        "/root",
        "/dte",
        "/strike",
        "/width",
        "/call/mid",
        "/call/debit",
        "/call/natural_debit",
        "/call/max_profit",
        "/call/max_loss",
        "/put/mid",
        "/put/debit",
        "/put/natural_debit",
        "/put/max_profit",
        "/put/max_loss",
        "/parity_gap",
        "/eligible",
        "/reasons",
    ],
};

const GRAVITY_BINS: Flat = Flat {
    table: &Table {
        name: "gravity_bins",
        groups: &[
            ARTIFACT,
            &[
                always("price", Type::F64, POINTS),
                optional("bin", Type::U32, "of the highest bin, scaled as meta.normalized_scale"),
                optional("raw_bin", Type::U64, "shares"),
            ],
        ],
    },
    rows: Rows::Own(gravity_bins),
    pointers: &[],
};

fn gravity_bins(body: &Value, _: Option<&Value>) -> Vec<Vec<Cell<'static>>> {
    let number = |pointer: &str| body.pointer(pointer).and_then(Value::as_f64);
    let list = |pointer: &str| body.pointer(pointer).and_then(Value::as_array);
    let (Some(min), Some(step), Some(bins)) =
        (number("/profile/min"), number("/profile/step"), list("/profile/bins"))
    else {
        return Vec::new();
    };
    let raw = list("/raw_bins");
    let rows = bins.iter().enumerate().map(|(n, bin)| {
        let raw = raw.and_then(|raw| raw.get(n)).and_then(Value::as_u64);
        vec![(min + step * n as f64).into(), bin.as_u64().into(), raw.into()]
    });
    rows.collect()
}

const GRAVITY_STRUCTURES: Flat = Flat {
    table: &Table {
        name: "gravity_structures",
        groups: &[
            ARTIFACT,
            &[
                always("kind", Type::Text, ""),
                optional("from", Type::F64, POINTS),
                optional("to", Type::F64, POINTS),
                optional("market_memory_strength", Type::F64, "fraction"),
            ],
        ],
    },
    rows: Rows::Own(gravity_structures),
    pointers: &[],
};

fn gravity_structures(body: &Value, _: Option<&Value>) -> Vec<Vec<Cell<'static>>> {
    let memory = body.pointer("/structures/market_memory_strength").and_then(Value::as_f64);
    let mut rows = Vec::new();
    for (list, kind) in [
        ("/structures/volume_nodes", "volume_node"),
        ("/structures/volume_wells", "volume_well"),
        ("/structures/crevasses", "crevasse"),
    ] {
        for one in body.pointer(list).and_then(Value::as_array).into_iter().flatten() {
            let end = |n: usize| one.get(n).and_then(Value::as_f64).or(one.as_f64());
            rows.push(vec![kind.into(), end(0).into(), end(1).into(), memory.into()]);
        }
    }
    rows
}

const CANDLES: Flat = Flat {
    table: &Table {
        name: "candles",
        groups: &[
            ARTIFACT,
            &[
                always("timeframe", Type::Text, ""),
                optional("seconds", Type::U32, "s"),
                optional("start", Type::Time, "ns since 1970-01-01 UTC"),
                optional("open", Type::F64, POINTS),
                optional("high", Type::F64, POINTS),
                optional("low", Type::F64, POINTS),
                optional("close", Type::F64, POINTS),
                optional("volume", Type::F64, "shares"),
            ],
        ],
    },
    rows: Rows::Own(candles),
    pointers: &[],
};

/// Candles that the version before did not have like this: all together would be
/// every candle once a version.
fn candles(body: &Value, before: Option<&Value>) -> Vec<Vec<Cell<'static>>> {
    let frames = |body: &Value| -> Vec<Value> {
        body.get("timeframes").and_then(Value::as_array).cloned().unwrap_or_default()
    };
    let old = before.map(frames).unwrap_or_default();
    let mut rows = Vec::new();
    for (n, frame) in frames(body).iter().enumerate() {
        let of = |frame: &Value| -> Vec<Value> {
            frame.get("candles").and_then(Value::as_array).cloned().unwrap_or_default()
        };
        let was = old.get(n).map(of).unwrap_or_default();
        let start = |candle: &Value| candle.get("t").and_then(Value::as_i64);
        for candle in of(frame) {
            let same = was.binary_search_by_key(&start(&candle), start);
            if same.ok().and_then(|at| was.get(at)) == Some(&candle) {
                continue;
            }
            let number = |name: &str| candle.get(name).and_then(Value::as_f64).into();
            let nanos = start(&candle).and_then(|s| s.checked_mul(1_000_000_000));
            rows.push(vec![
                frame
                    .get("timeframe")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
                    .into(),
                frame.get("seconds").and_then(Value::as_u64).into(),
                nanos.map_or(Cell::Null, Cell::Time),
                number("o"),
                number("h"),
                number("l"),
                number("c"),
                number("v"),
            ]);
        }
    }
    rows
}

impl Flat {
    /// Whether its rows depend on the version before.
    pub(super) fn looks_back(&self) -> bool {
        self.table.name == CANDLES.table.name
    }

    /// The cells of a body's rows behind those of every row; `before` is the
    /// body of the version before.
    pub(super) fn rows(&self, body: &Value, before: Option<&Value>) -> Vec<Vec<Cell<'static>>> {
        let types = || self.table.columns().skip(ARTIFACT.len()).map(|column| column.ty);
        let row = |value: &Value| -> Vec<Cell<'static>> {
            let found = types().zip(self.pointers);
            found.map(|(ty, at)| cell(ty, value.pointer(at))).collect()
        };
        match self.rows {
            Rows::Own(rows) => rows(body, before),
            Rows::Body => vec![row(body)],
            Rows::Each(at) => match body.pointer(at) {
                Some(Value::Array(all)) => all.iter().map(row).collect(),
                Some(Value::Object(all)) => all.values().map(row).collect(),
                _ => Vec::new(),
            },
        }
    }
}

/// What a body says, as the column has it; null where it is something else.
fn cell(ty: Type, value: Option<&Value>) -> Cell<'static> {
    let Some(value) = value else { return Cell::Null };
    let text = || value.as_str();
    match ty {
        Type::Bool => value.as_bool().into(),
        Type::U64 => value.as_u64().into(),
        Type::U32 => value.as_u64().filter(|n| *n <= u32::MAX.into()).into(),
        Type::F64 => value.as_f64().into(),
        Type::Price => value.as_f64().and_then(Price::from_f64_nearest).into(),
        Type::Time => text().and_then(RecvTime::parse_rfc3339).into(),
        Type::Date => text().and_then(TradingDay::parse).into(),
        Type::Text => match value {
            Value::Null => Cell::Null,
            Value::String(text) => text.clone().into(),
            Value::Array(all) => {
                let all: Vec<&str> = all.iter().filter_map(Value::as_str).collect();
                all.join(",").into()
            }
            other => other.to_string().into(),
        },
        Type::Bytes | Type::U32s => Cell::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_of_a_table_has_its_place_in_the_body() {
        for family in ["spot", "levels", "gex", "gex_naive_volume", "heatmap", "gravity", "candles"]
        {
            assert!(!of(family).is_empty(), "{family}");
            for flat in of(family) {
                let columns = flat.table.columns().count() - ARTIFACT.len();
                if !matches!(flat.rows, Rows::Own(_)) {
                    assert_eq!(flat.pointers.len(), columns, "{}", flat.table.name);
                }
            }
        }
        assert!(of("gexample").is_empty());
    }

    #[test]
    fn a_candle_is_told_when_it_is_new_and_when_it_changes() {
        let body = |close: f64| {
            serde_json::json!({"timeframes": [{"timeframe": "1M", "seconds": 60, "candles": [
                {"t": 60, "o": 1.0, "h": 2.0, "l": 1.0, "c": 1.5, "v": null},
                {"t": 120, "o": 1.0, "h": 2.0, "l": 1.0, "c": close, "v": 7.0},
            ]}]})
        };
        let flat = &of("candles")[0];
        assert_eq!(flat.rows(&body(1.0), None).len(), 2);
        assert_eq!(flat.rows(&body(1.0), Some(&body(1.0))).len(), 0);
        let rows = flat.rows(&body(1.25), Some(&body(1.0)));
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0][2], Cell::Time(120_000_000_000));
        assert_eq!(rows[0][6], Cell::F64(1.25));
    }
}
