//! Parquet: one row group a batch, LZ4, keys and values of the metadata where
//! every reader finds them.
//!
//! A price is DECIMAL(19, 9): every one that a journal can hold, exact in every
//! reader.

use std::fs::File;
use std::io::BufWriter;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DoubleType, FixedLenByteArray, FixedLenByteArrayType,
    Int32Type, Int64Type,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;

use super::columns::{Filled, Values, pieces};
use super::table::{Column, Table, Type};

/// A file on its way.
pub(super) struct Writer(SerializedFileWriter<BufWriter<File>>);

impl Writer {
    pub(super) fn new(
        file: BufWriter<File>,
        table: &Table,
        metadata: &[(String, String)],
    ) -> Result<Writer, ParquetError> {
        let fields: Vec<String> = table.columns().map(field).collect();
        let schema = parse_message_type(&format!("message orrery {{ {} }}", fields.concat()))?;
        let pairs = metadata.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
        let properties = WriterProperties::builder()
            .set_compression(Compression::LZ4_RAW)
            .set_created_by(concat!("orrery version ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_key_value_metadata(Some(pairs.collect()))
            .build();
        SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties)).map(Writer)
    }

    pub(super) fn write(&mut self, batch: &[Filled]) -> Result<(), ParquetError> {
        let mut group = self.0.next_row_group()?;
        let mut columns = batch.iter();
        while let Some(mut writer) = group.next_column()? {
            if let Some(filled) = columns.next() {
                write_column(filled, &mut writer)?;
            }
            writer.close()?;
        }
        group.close().map(drop)
    }

    pub(super) fn close(self) -> Result<BufWriter<File>, ParquetError> {
        self.0.into_inner()
    }
}

fn field(column: &Column) -> String {
    let Column { name, ty, optional, .. } = column;
    let often = if *optional { "OPTIONAL" } else { "REQUIRED" };
    match ty {
        Type::Bool => format!("{often} BOOLEAN {name}; "),
        Type::U64 => format!("{often} INT64 {name} (INTEGER(64,false)); "),
        Type::U32 => format!("{often} INT32 {name} (INTEGER(32,false)); "),
        Type::F64 => format!("{often} DOUBLE {name}; "),
        Type::Price => format!("{often} FIXED_LEN_BYTE_ARRAY (9) {name} (DECIMAL(19,9)); "),
        Type::Time => format!("{often} INT64 {name} (TIMESTAMP(NANOS,true)); "),
        Type::Date => format!("{often} INT32 {name} (DATE); "),
        Type::Text => format!("{often} BYTE_ARRAY {name} (STRING); "),
        Type::Bytes => format!("{often} BYTE_ARRAY {name}; "),
        Type::U32s => format!(
            "{often} GROUP {name} (LIST) {{ REPEATED GROUP list {{ \
             REQUIRED INT32 element (INTEGER(32,false)); }} }} "
        ),
    }
}

fn write_column(
    filled: &Filled,
    writer: &mut SerializedColumnWriter<'_>,
) -> Result<(), ParquetError> {
    let levels: Vec<i16> = filled.present.iter().map(|there| i16::from(*there)).collect();
    let levels = filled.optional.then_some(&levels[..]);
    match &filled.values {
        Values::Bool(all) => writer.typed::<BoolType>().write_batch(all, levels, None)?,
        // Unsigned numbers are stored as the signed ones with the same bits.
        Values::U64(all) => {
            let all: Vec<i64> = all.iter().map(|n| n.cast_signed()).collect();
            writer.typed::<Int64Type>().write_batch(&all, levels, None)?
        }
        Values::U32(all) => {
            let all: Vec<i32> = all.iter().map(|n| n.cast_signed()).collect();
            writer.typed::<Int32Type>().write_batch(&all, levels, None)?
        }
        Values::F64(all) => writer.typed::<DoubleType>().write_batch(all, levels, None)?,
        Values::I64(all) if filled.ty == Type::Price => {
            let all: Vec<FixedLenByteArray> = all.iter().map(|units| decimal(*units)).collect();
            writer.typed::<FixedLenByteArrayType>().write_batch(&all, levels, None)?
        }
        Values::I64(all) => writer.typed::<Int64Type>().write_batch(all, levels, None)?,
        Values::Date(all) => writer.typed::<Int32Type>().write_batch(all, levels, None)?,
        Values::Bytes(ends, all) => {
            let all: Vec<ByteArray> = pieces(ends, all).map(ByteArray::from).collect();
            writer.typed::<ByteArrayType>().write_batch(&all, levels, None)?
        }
        Values::U32s(ends, all) => {
            let (defined, repeated) = list_levels(filled, ends);
            let all: Vec<i32> = all.iter().map(|n| n.cast_signed()).collect();
            writer.typed::<Int32Type>().write_batch(&all, Some(&defined), Some(&repeated))?
        }
    };
    Ok(())
}

/// Nine bytes, the highest first.
fn decimal(units: i64) -> FixedLenByteArray {
    let bytes = i128::from(units).to_be_bytes();
    ByteArray::from(bytes.get(7..).unwrap_or_default()).into()
}

/// How deep each element, or absence of one, is defined, and whether it goes on
/// with the list of the element before.
fn list_levels(filled: &Filled, ends: &[usize]) -> (Vec<i16>, Vec<i16>) {
    let base = i16::from(filled.optional);
    let (mut defined, mut repeated) = (Vec::new(), Vec::new());
    let starts = std::iter::once(&0).chain(ends);
    let mut lengths = starts.zip(ends).map(|(from, to)| to - from);
    for there in &filled.present {
        let length = if *there { lengths.next().unwrap_or(0) } else { 0 };
        match (there, length) {
            (false, _) => defined.push(0),
            (true, 0) => defined.push(base),
            (true, n) => defined.extend(std::iter::repeat_n(base + 1, n)),
        }
        repeated.push(0);
        repeated.extend(std::iter::repeat_n(1, length.saturating_sub(1)));
    }
    (defined, repeated)
}
