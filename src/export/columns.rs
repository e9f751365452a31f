//! Rows as columns, what batches of every columnar form are written from: the
//! values that are there, one behind the other, and which rows have one.

use super::table::{Cell, Table, Type};

/// A row that does not fit its table: a mistake of ours, never of the data.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a row does not fit the table: {0}")]
pub struct Misfit(String);

/// The values of a column that are there.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Values {
    Bool(Vec<bool>),
    U64(Vec<u64>),
    U32(Vec<u32>),
    F64(Vec<f64>),
    /// Of [`Type::Price`] and [`Type::Time`].
    I64(Vec<i64>),
    Date(Vec<i32>),
    /// Of [`Type::Text`] and [`Type::Bytes`]: where each ends.
    Bytes(Vec<usize>, Vec<u8>),
    U32s(Vec<usize>, Vec<u32>),
}

/// A column of a batch.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Filled {
    pub ty: Type,
    pub optional: bool,
    pub values: Values,
    /// For each row whether it has a value.
    pub present: Vec<bool>,
}

impl Filled {
    fn new(ty: Type, optional: bool) -> Filled {
        let values = match ty {
            Type::Bool => Values::Bool(Vec::new()),
            Type::U64 => Values::U64(Vec::new()),
            Type::U32 => Values::U32(Vec::new()),
            Type::F64 => Values::F64(Vec::new()),
            Type::Price | Type::Time => Values::I64(Vec::new()),
            Type::Date => Values::Date(Vec::new()),
            Type::Text | Type::Bytes => Values::Bytes(Vec::new(), Vec::new()),
            Type::U32s => Values::U32s(Vec::new(), Vec::new()),
        };
        Filled { ty, optional, values, present: Vec::new() }
    }

    fn push(&mut self, cell: &Cell<'_>) -> Result<(), Misfit> {
        let misfit = || Misfit(format!("{cell:?} among {:?}", self.ty));
        match (&mut self.values, cell) {
            (_, Cell::Null) if self.optional => {}
            (Values::Bool(all), Cell::Bool(value)) => all.push(*value),
            (Values::U64(all), Cell::U64(value)) => all.push(*value),
            (Values::U32(all), Cell::U64(value)) => {
                all.push(u32::try_from(*value).map_err(|_| misfit())?);
            }
            (Values::F64(all), Cell::F64(value)) => all.push(*value),
            (Values::I64(all), Cell::Price(value)) if self.ty == Type::Price => all.push(*value),
            (Values::I64(all), Cell::Time(value)) if self.ty == Type::Time => all.push(*value),
            (Values::Date(all), Cell::Date(value)) => all.push(*value),
            (Values::Bytes(ends, all), Cell::Text(text)) if self.ty == Type::Text => {
                all.extend_from_slice(text.as_bytes());
                ends.push(all.len());
            }
            (Values::Bytes(ends, all), Cell::Bytes(bytes)) if self.ty == Type::Bytes => {
                all.extend_from_slice(bytes);
                ends.push(all.len());
            }
            (Values::U32s(ends, all), Cell::U32s(list)) => {
                all.extend_from_slice(list);
                ends.push(all.len());
            }
            _ => return Err(misfit()),
        }
        self.present.push(!matches!(cell, Cell::Null));
        Ok(())
    }
}

/// Rows of a table on their way into a batch.
pub(super) struct Columns {
    table: &'static Table,
    filled: Vec<Filled>,
    rows: usize,
    bytes: usize,
}

impl Columns {
    pub(super) fn new(table: &'static Table) -> Columns {
        Columns { table, filled: empty(table), rows: 0, bytes: 0 }
    }

    /// Takes a row with a cell for each column.
    pub(super) fn push(&mut self, row: &[Cell<'_>]) -> Result<(), Misfit> {
        if row.len() != self.filled.len() {
            let (cells, columns) = (row.len(), self.filled.len());
            return Err(Misfit(format!("{cells} cells for {columns} columns")));
        }
        for (column, cell) in self.filled.iter_mut().zip(row) {
            column.push(cell)?;
            self.bytes += cell.weight();
        }
        self.rows += 1;
        Ok(())
    }

    /// Rows that were taken since the last batch.
    pub(super) const fn rows(&self) -> usize {
        self.rows
    }

    /// What they take, about.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The rows; then it is empty again.
    pub(super) fn batch(&mut self) -> Vec<Filled> {
        (self.rows, self.bytes) = (0, 0);
        std::mem::replace(&mut self.filled, empty(self.table))
    }
}

fn empty(table: &Table) -> Vec<Filled> {
    table.columns().map(|column| Filled::new(column.ty, column.optional)).collect()
}

/// Each piece of what stands one behind the other.
pub(super) fn pieces<'a, T>(ends: &'a [usize], all: &'a [T]) -> impl Iterator<Item = &'a [T]> {
    let starts = std::iter::once(&0).chain(ends);
    starts.zip(ends).map(|(from, to)| all.get(*from..*to).unwrap_or_default())
}
