//! Arrow IPC files (Feather V2), not compressed: they can be mapped into memory.
//!
//! Written by the format's specification: a schema, record batches (one a batch
//! of rows), and a footer that says where each begins. Of Arrow's own crates only
//! a fifth would be used, and they double what an export costs to compile.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use flatbuffers::{FlatBufferBuilder, UnionWIPOffset, WIPOffset};

use super::columns::{Filled, Values};
use super::table::{Column, Table, Type};

const MAGIC: &[u8; 6] = b"ARROW1";
/// Metadata version 5.
const VERSION: i16 = 4;
/// Each buffer begins at a multiple of this.
const ALIGNMENT: usize = 8;
/// Goes in front of each message.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// A file on its way.
pub(super) struct Writer {
    file: BufWriter<File>,
    table: &'static Table,
    metadata: Vec<(String, String)>,
    at: u64,
    /// Offset, length of the metadata, length of the body of each batch.
    blocks: Vec<[u64; 3]>,
}

impl Writer {
    pub(super) fn new(
        mut file: BufWriter<File>,
        table: &'static Table,
        metadata: &[(String, String)],
    ) -> io::Result<Writer> {
        file.write_all(MAGIC)?;
        file.write_all(&[0; 2])?;
        let metadata = metadata.to_vec();
        let mut writer = Writer { file, table, metadata, at: 8, blocks: Vec::new() };
        let mut fbb = FlatBufferBuilder::new();
        let schema = schema(&mut fbb, table, &writer.metadata);
        let message = finish_message(fbb, Header::Schema, schema, 0);
        writer.message(&message, &[])?;
        Ok(writer)
    }

    pub(super) fn write(&mut self, batch: &[Filled]) -> io::Result<()> {
        let rows = batch.first().map_or(0, |column| column.present.len());
        let mut body = Body::default();
        batch.iter().for_each(|column| body.column(column));
        let Body { bytes, nodes, buffers } = body;
        let mut fbb = FlatBufferBuilder::new();
        let (nodes, buffers) = (structs(&mut fbb, &nodes), structs(&mut fbb, &buffers));
        let table = fbb.start_table();
        fbb.push_slot_always(slot(0), rows as i64);
        fbb.push_slot_always(slot(1), nodes);
        fbb.push_slot_always(slot(2), buffers);
        let header = fbb.end_table(table).as_union_value();
        let message = finish_message(fbb, Header::RecordBatch, header, bytes.len());
        let at = self.at;
        let metadata = self.message(&message, &bytes)?;
        self.blocks.push([at, metadata, bytes.len() as u64]);
        Ok(())
    }

    /// Writes a message; returns the length of everything before its body.
    fn message(&mut self, metadata: &[u8], body: &[u8]) -> io::Result<u64> {
        let padded = metadata.len().next_multiple_of(ALIGNMENT);
        self.file.write_all(&CONTINUATION)?;
        self.file.write_all(&(padded as u32).to_le_bytes())?;
        self.file.write_all(metadata)?;
        self.file.write_all(&[0; ALIGNMENT][..padded - metadata.len()])?;
        self.file.write_all(body)?;
        let before = 8 + padded as u64;
        self.at += before + body.len() as u64;
        Ok(before)
    }

    pub(super) fn close(mut self) -> io::Result<BufWriter<File>> {
        self.file.write_all(&CONTINUATION)?;
        self.file.write_all(&[0; 4])?;
        let mut fbb = FlatBufferBuilder::new();
        let schema = schema(&mut fbb, self.table, &self.metadata);
        let (none, blocks) = (structs::<3>(&mut fbb, &[]), structs(&mut fbb, &self.blocks));
        let table = fbb.start_table();
        fbb.push_slot_always(slot(0), VERSION);
        fbb.push_slot_always(slot(1), schema);
        fbb.push_slot_always(slot(2), none);
        fbb.push_slot_always(slot(3), blocks);
        let footer = fbb.end_table(table);
        fbb.finish_minimal(footer);
        let footer = fbb.finished_data();
        self.file.write_all(footer)?;
        self.file.write_all(&(footer.len() as u32).to_le_bytes())?;
        self.file.write_all(MAGIC)?;
        Ok(self.file)
    }
}

/// What a message is about, by its number in the format.
#[derive(Clone, Copy)]
enum Header {
    Schema = 1,
    RecordBatch = 3,
}

/// Where the `n`th field of a table stands in its list of offsets.
const fn slot(n: u16) -> u16 {
    4 + 2 * n
}

type Union = WIPOffset<UnionWIPOffset>;

fn finish_message(
    mut fbb: FlatBufferBuilder<'_>,
    header: Header,
    value: Union,
    body: usize,
) -> Vec<u8> {
    let table = fbb.start_table();
    fbb.push_slot_always(slot(0), VERSION);
    fbb.push_slot_always(slot(1), header as u8);
    fbb.push_slot_always(slot(2), value);
    fbb.push_slot_always(slot(3), body as i64);
    let message = fbb.end_table(table);
    fbb.finish_minimal(message);
    fbb.finished_data().to_vec()
}

/// A list of structs whose fields all take eight bytes.
fn structs<'b, const FIELDS: usize>(
    fbb: &mut FlatBufferBuilder<'b>,
    all: &[[u64; FIELDS]],
) -> WIPOffset<flatbuffers::Vector<'b, u64>> {
    fbb.start_vector::<u64>(all.len() * FIELDS);
    // Buffers are built from their end.
    for field in all.iter().rev().flat_map(|fields| fields.iter().rev()) {
        fbb.push(*field);
    }
    fbb.end_vector::<u64>(all.len())
}

fn pairs<'b>(
    fbb: &mut FlatBufferBuilder<'b>,
    pairs: &[(&str, &str)],
) -> WIPOffset<
    flatbuffers::Vector<'b, flatbuffers::ForwardsUOffset<flatbuffers::TableFinishedWIPOffset>>,
> {
    let tables: Vec<_> = pairs
        .iter()
        .map(|(key, value)| {
            let (key, value) = (fbb.create_string(key), fbb.create_string(value));
            let table = fbb.start_table();
            fbb.push_slot_always(slot(0), key);
            fbb.push_slot_always(slot(1), value);
            fbb.end_table(table)
        })
        .collect();
    fbb.create_vector(&tables)
}

fn schema(fbb: &mut FlatBufferBuilder<'_>, table: &Table, metadata: &[(String, String)]) -> Union {
    let fields: Vec<_> = table.columns().map(|column| field(fbb, column)).collect();
    let fields = fbb.create_vector(&fields);
    let metadata: Vec<(&str, &str)> =
        metadata.iter().map(|(key, value)| (&**key, &**value)).collect();
    let metadata = pairs(fbb, &metadata);
    let table = fbb.start_table();
    fbb.push_slot_always(slot(1), fields);
    fbb.push_slot_always(slot(2), metadata);
    fbb.end_table(table).as_union_value()
}

fn field(
    fbb: &mut FlatBufferBuilder<'_>,
    column: &Column,
) -> WIPOffset<flatbuffers::TableFinishedWIPOffset> {
    let children = match column.ty {
        Type::U32s => {
            let element = Column { name: "item", ty: Type::U32, unit: "", optional: false };
            vec![field(fbb, &element)]
        }
        _ => Vec::new(),
    };
    let children = fbb.create_vector(&children);
    let unit: &[(&str, &str)] = if column.unit.is_empty() { &[] } else { &[("unit", column.unit)] };
    let unit = pairs(fbb, unit);
    let name = fbb.create_string(column.name);
    let (number, ty) = data_type(fbb, column.ty);
    let table = fbb.start_table();
    fbb.push_slot_always(slot(0), name);
    fbb.push_slot_always(slot(1), column.optional);
    fbb.push_slot_always(slot(2), number);
    fbb.push_slot_always(slot(3), ty);
    fbb.push_slot_always(slot(5), children);
    fbb.push_slot_always(slot(6), unit);
    fbb.end_table(table)
}

/// A type's number in the format, and its table.
fn data_type(fbb: &mut FlatBufferBuilder<'_>, ty: Type) -> (u8, Union) {
    let zone = (ty == Type::Time).then(|| fbb.create_string("UTC"));
    let table = fbb.start_table();
    let number = match ty {
        Type::U64 | Type::U32 => {
            fbb.push_slot_always(slot(0), if ty == Type::U64 { 64i32 } else { 32 });
            fbb.push_slot_always(slot(1), false);
            2
        }
        Type::F64 => {
            fbb.push_slot_always(slot(0), 2i16);
            3
        }
        Type::Bytes => 4,
        Type::Text => 5,
        Type::Bool => 6,
        Type::Price => {
            fbb.push_slot_always(slot(0), 19i32);
            fbb.push_slot_always(slot(1), 9i32);
            fbb.push_slot_always(slot(2), 128i32);
            7
        }
        Type::Date => {
            fbb.push_slot_always(slot(0), 0i16);
            8
        }
        Type::Time => {
            fbb.push_slot_always(slot(0), 3i16);
            if let Some(zone) = zone {
                fbb.push_slot_always(slot(1), zone);
            }
            10
        }
        Type::U32s => 12,
    };
    (number, fbb.end_table(table).as_union_value())
}

/// The buffers of a batch, one behind the other.
#[derive(Default)]
struct Body {
    bytes: Vec<u8>,
    /// Rows, and how many of them are absent, of each column.
    nodes: Vec<[u64; 2]>,
    /// Offset and length of each buffer.
    buffers: Vec<[u64; 2]>,
}

impl Body {
    fn column(&mut self, column: &Filled) {
        let Filled { values, present, ty, .. } = column;
        let absent = present.iter().filter(|there| !**there).count();
        self.nodes.push([present.len() as u64, absent as u64]);
        if absent == 0 {
            self.buffer([].iter());
        } else {
            self.bits(present);
        }
        match values {
            Values::Bool(all) => {
                let mut all = all.iter();
                let all: Vec<bool> =
                    present.iter().map(|there| *there && all.next() == Some(&true)).collect();
                self.bits(&all);
            }
            Values::U64(all) => self.fixed(present, all, |n| n.to_le_bytes()),
            Values::U32(all) => self.fixed(present, all, |n| n.to_le_bytes()),
            Values::F64(all) => self.fixed(present, all, |n| n.to_le_bytes()),
            Values::I64(all) if *ty == Type::Price => {
                self.fixed(present, all, |n| i128::from(n).to_le_bytes());
            }
            Values::I64(all) => self.fixed(present, all, |n| n.to_le_bytes()),
            Values::Date(all) => self.fixed(present, all, |n| n.to_le_bytes()),
            Values::Bytes(ends, all) => {
                self.offsets(present, ends);
                self.buffer(all.iter());
            }
            Values::U32s(ends, all) => {
                self.offsets(present, ends);
                self.nodes.push([all.len() as u64, 0]);
                self.buffer([].iter());
                self.fixed(&vec![true; all.len()], all, |n| n.to_le_bytes());
            }
        }
    }

    fn buffer<'a>(&mut self, bytes: impl Iterator<Item = &'a u8>) {
        let from = self.bytes.len();
        self.bytes.extend(bytes);
        self.end(from);
    }

    fn end(&mut self, from: usize) {
        self.buffers.push([from as u64, (self.bytes.len() - from) as u64]);
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
    }

    /// A bit a row, the lowest first.
    fn bits(&mut self, all: &[bool]) {
        let bytes: Vec<u8> = all
            .chunks(8)
            .map(|eight| eight.iter().rev().fold(0, |byte, bit| (byte << 1) | u8::from(*bit)))
            .collect();
        self.buffer(bytes.iter());
    }

    /// A value a row, zeros where there is none.
    fn fixed<T: Copy + Default, const N: usize>(
        &mut self,
        present: &[bool],
        all: &[T],
        bytes: impl Fn(T) -> [u8; N],
    ) {
        let from = self.bytes.len();
        let mut all = all.iter();
        for there in present {
            let value = if *there { all.next().copied().unwrap_or_default() } else { T::default() };
            self.bytes.extend_from_slice(&bytes(value));
        }
        self.end(from);
    }

    /// Where the value of each row begins, and where the last one ends.
    fn offsets(&mut self, present: &[bool], ends: &[usize]) {
        let from = self.bytes.len();
        let (mut ends, mut at) = (ends.iter(), 0u32);
        self.bytes.extend_from_slice(&at.to_le_bytes());
        for there in present {
            if *there {
                // A batch holds far less than 2 GiB.
                at = ends.next().map_or(at, |end| *end as u32);
            }
            self.bytes.extend_from_slice(&at.to_le_bytes());
        }
        self.end(from);
    }
}
