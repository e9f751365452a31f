//! JSON lines: a row is an object on a line of its own; what is absent is left out.
//!
//! Nothing passes through a float that was none: prices are decimal numbers with
//! all their digits, times RFC 3339 with nine decimals, bytes base64. Reading a
//! line gives the cells that were written.

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use orrery_journal::units::{NANOS_PER_SECOND, RecvTime, TradingDay};
use serde_json::value::RawValue;

use super::table::{Cell, Table, Type};

const SCALE: u64 = NANOS_PER_SECOND as u64;

/// Writes a row as a line, its end included.
pub(super) fn line(table: &Table, row: &[Cell<'_>], out: &mut String) {
    out.push('{');
    let mut first = true;
    for (column, cell) in table.columns().zip(row) {
        if matches!(cell, Cell::Null) {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.push(',');
        }
        // Names of columns have nothing to escape.
        let _ = write!(out, "\"{}\":", column.name);
        value(cell, out);
    }
    out.push_str("}\n");
}

fn value(cell: &Cell<'_>, out: &mut String) {
    match cell {
        Cell::Null => out.push_str("null"),
        Cell::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Cell::U64(value) => {
            let _ = write!(out, "{value}");
        }
        Cell::F64(value) if value.is_finite() => {
            // The shortest text that reads back as the same float.
            let _ = write!(out, "{value:?}");
        }
        // JSON has no number for it.
        Cell::F64(value) => text(&value.to_string(), out),
        Cell::Price(units) => {
            let sign = if *units < 0 { "-" } else { "" };
            let (whole, part) = (units.unsigned_abs() / SCALE, units.unsigned_abs() % SCALE);
            let _ = write!(out, "{sign}{whole}.{part:09}");
            out.truncate(out.trim_end_matches('0').trim_end_matches('.').len());
        }
        Cell::Time(nanos) => text(&RecvTime(*nanos).to_rfc3339(), out),
        Cell::Date(days) => text(&TradingDay(*days).to_string(), out),
        Cell::Text(value) => text(value, out),
        Cell::Bytes(bytes) => text(&STANDARD.encode(bytes), out),
        Cell::U32s(list) => {
            let list: Vec<String> = list.iter().map(u32::to_string).collect();
            let _ = write!(out, "[{}]", list.join(","));
        }
    }
}

fn text(value: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(value).to_string());
}

/// The cells of a line, in the order of the table's columns.
///
/// # Errors
/// In words, when the line is not a row of the table.
pub(super) fn cells(table: &Table, line: &str) -> Result<Vec<Cell<'static>>, String> {
    let mut fields: std::collections::BTreeMap<&str, &RawValue> =
        serde_json::from_str(line).map_err(|e| e.to_string())?;
    let cells = table
        .columns()
        .map(|column| match fields.remove(column.name) {
            None if column.optional => Ok(Cell::Null),
            None => Err(format!("`{}` is missing", column.name)),
            Some(raw) => cell(column.ty, raw.get())
                .ok_or_else(|| format!("`{}` is not what this column holds", column.name)),
        })
        .collect::<Result<_, _>>()?;
    match fields.keys().next() {
        None => Ok(cells),
        Some(name) => Err(format!("`{name}` is no column of {}", table.name)),
    }
}

fn cell(ty: Type, raw: &str) -> Option<Cell<'static>> {
    let string = || serde_json::from_str::<String>(raw).ok();
    Some(match ty {
        Type::Bool => Cell::Bool(serde_json::from_str(raw).ok()?),
        Type::U64 => Cell::U64(serde_json::from_str(raw).ok()?),
        Type::U32 => Cell::U64(serde_json::from_str::<u32>(raw).ok()?.into()),
        Type::F64 => match raw.starts_with('"') {
            true => Cell::F64(string()?.parse().ok()?),
            false => Cell::F64(serde_json::from_str(raw).ok()?),
        },
        Type::Price => Cell::Price(units(raw)?),
        Type::Time => Cell::Time(RecvTime::parse_rfc3339(&string()?)?.0),
        Type::Date => Cell::Date(TradingDay::parse(&string()?)?.0),
        Type::Text => Cell::Text(string()?.into()),
        Type::Bytes => Cell::Bytes(STANDARD.decode(string()?).ok()?.into()),
        Type::U32s => Cell::U32s(serde_json::from_str::<Vec<u32>>(raw).ok()?.into()),
    })
}

/// Units of 1e-9 of a decimal number with at most nine decimals.
fn units(raw: &str) -> Option<i64> {
    let (negative, digits) = raw.strip_prefix('-').map_or((false, raw), |rest| (true, rest));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    if part.len() > 9 || !whole.bytes().chain(part.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let units: i128 = format!("{whole}{part:0<9}").parse().ok()?;
    i64::try_from(if negative { -units } else { units }).ok()
}

#[cfg(test)]
mod tests {
    use super::super::table::{always, optional};
    use super::*;
    use proptest::prelude::*;

    const TABLE: Table = Table {
        name: "all",
        groups: &[
            &[
                always("bool", Type::Bool, ""),
                optional("u64", Type::U64, ""),
                optional("u32", Type::U32, ""),
                optional("f64", Type::F64, ""),
                optional("price", Type::Price, ""),
            ],
            &[
                optional("time", Type::Time, ""),
                optional("date", Type::Date, ""),
                optional("text", Type::Text, ""),
                optional("bytes", Type::Bytes, ""),
                optional("u32s", Type::U32s, ""),
            ],
        ],
    };

    proptest! {
        #[test]
        fn cells_come_back_as_they_were(
            (flag, u64, u32, bits) in any::<(bool, Option<u64>, Option<u32>, Option<u64>)>(),
            (price, time) in any::<(Option<i64>, Option<i64>)>(),
            date in proptest::option::of(-700_000i32..2_900_000),
            text in proptest::option::of(".{0,12}"),
            bytes in any::<Option<Vec<u8>>>(), list in any::<Option<Vec<u32>>>(),
        ) {
            let float = bits.map(f64::from_bits).filter(|f| !f.is_nan());
            let row: Vec<Cell<'_>> = vec![
                flag.into(), u64.into(), u32.into(), float.into(),
                price.map_or(Cell::Null, Cell::Price), time.map_or(Cell::Null, Cell::Time),
                date.map_or(Cell::Null, Cell::Date), text.into(),
                bytes.map_or(Cell::Null, |b| Cell::Bytes(b.into())),
                list.map_or(Cell::Null, |l| Cell::U32s(l.into())),
            ];
            let mut out = String::new();
            line(&TABLE, &row, &mut out);
            prop_assert_eq!(out.matches('\n').count(), 1);
            prop_assert_eq!(cells(&TABLE, out.trim_end()), Ok(row));
        }

        #[test]
        fn any_line_is_read_or_refused(text in ".{0,60}") {
            let _ = cells(&TABLE, &text);
        }
    }

    #[test]
    fn prices_are_written_with_all_their_digits_and_no_more() {
        for (units, written) in [
            (1_050_000_000, "1.05"),
            (0, "0"),
            (100_000_000_000, "100"),
            (-1, "-0.000000001"),
            (i64::MIN, "-9223372036.854775808"),
        ] {
            let mut out = String::new();
            value(&Cell::Price(units), &mut out);
            assert_eq!(out, written);
        }
    }

    #[test]
    fn lines_that_are_no_rows_are_refused_with_the_column() {
        for (line, word) in [
            (r#"{"u64":1}"#, "`bool` is missing"),
            (r#"{"bool":true,"u32":4294967296}"#, "`u32`"),
            (r#"{"bool":true,"price":1.0000000001}"#, "`price`"),
            (r#"{"bool":true,"time":"yesterday"}"#, "`time`"),
            (r#"{"bool":true,"more":1}"#, "`more` is no column"),
            ("[]", "expected a map"),
        ] {
            let refused = cells(&TABLE, line).expect_err(word);
            assert!(refused.contains(word), "{refused}");
        }
    }
}
