//! Tables: what a file's columns are, and the values of a row.
//!
//! Every form writes these tables. Prices are decimals with nine digits behind the
//! point (pandas, polars and DuckDB add and compare them exactly without being
//! told a scale), times are nanoseconds in UTC, and what is absent is null.

use std::borrow::Cow;

use orrery_journal::units::{Price, RecvTime, TradingDay, VendorTime};

/// What a column holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Type {
    /// True or false.
    Bool,
    /// A count, an id, a position.
    U64,
    /// A small count or id.
    U32,
    /// A number that is a float at its source.
    F64,
    /// Fixed point, 19 digits of which nine stand behind the point.
    Price,
    /// Nanoseconds since the Unix epoch, UTC.
    Time,
    /// Days since the Unix epoch.
    Date,
    /// UTF-8.
    Text,
    /// Anything.
    Bytes,
    /// A list of small numbers.
    U32s,
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub ty: Type,
    /// What one unit is; empty for names and the like.
    pub unit: &'static str,
    /// Whether it may be absent.
    pub optional: bool,
}

/// A column that may be absent.
pub(super) const fn optional(name: &'static str, ty: Type, unit: &'static str) -> Column {
    Column { name, ty, unit, optional: true }
}

/// A column that is always there.
pub(super) const fn always(name: &'static str, ty: Type, unit: &'static str) -> Column {
    Column { name, ty, unit, optional: false }
}

/// A table: its columns are those of all groups, in order.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its name in the metadata.
    pub name: &'static str,
    /// Groups of columns.
    pub groups: &'static [&'static [Column]],
}

impl Table {
    /// All columns.
    pub fn columns(&self) -> impl Iterator<Item = &'static Column> + use<> {
        self.groups.iter().flat_map(|group| group.iter())
    }

    /// Units of the columns that have one, as a JSON object.
    #[must_use]
    pub fn units(&self) -> String {
        let units = self.columns().filter(|c| !c.unit.is_empty());
        let units: serde_json::Map<String, serde_json::Value> =
            units.map(|c| (c.name.to_owned(), c.unit.into())).collect();
        serde_json::Value::from(units).to_string()
    }
}

/// A value of a row.
#[derive(Clone, PartialEq, Debug)]
pub enum Cell<'a> {
    /// Absent.
    Null,
    /// True or false.
    Bool(bool),
    /// For [`Type::U64`] and [`Type::U32`].
    U64(u64),
    /// A float.
    F64(f64),
    /// Units of 1e-9.
    Price(i64),
    /// Nanoseconds since the Unix epoch.
    Time(i64),
    /// Days since the Unix epoch.
    Date(i32),
    /// Text.
    Text(Cow<'a, str>),
    /// Bytes.
    Bytes(Cow<'a, [u8]>),
    /// A list.
    U32s(Cow<'a, [u32]>),
}

impl Cell<'_> {
    /// Bytes that it takes, about.
    pub(super) fn weight(&self) -> usize {
        8 + match self {
            Cell::Text(text) => text.len(),
            Cell::Bytes(bytes) => bytes.len(),
            Cell::U32s(list) => 4 * list.len(),
            _ => 8,
        }
    }
}

impl<'a, T: Into<Cell<'a>>> From<Option<T>> for Cell<'a> {
    fn from(value: Option<T>) -> Cell<'a> {
        value.map_or(Cell::Null, Into::into)
    }
}

macro_rules! cells {
    ($($from:ty: $value:ident => $cell:expr;)*) => {$(
        impl<'a> From<$from> for Cell<'a> {
            fn from($value: $from) -> Cell<'a> {
                $cell
            }
        }
    )*};
}

cells! {
    bool: value => Cell::Bool(value);
    u64: value => Cell::U64(value);
    u32: value => Cell::U64(value.into());
    u16: value => Cell::U64(value.into());
    f64: value => Cell::F64(value);
    Price: value => Cell::Price(value.0);
    RecvTime: value => Cell::Time(value.0);
    VendorTime: value => Cell::Time(value.0);
    TradingDay: value => Cell::Date(value.0);
    &'a str: value => Cell::Text(value.into());
    String: value => Cell::Text(value.into());
}
