//! The look at the engine's files before they are opened.

use std::hash::Hasher as _;

use twox_hash::{XxHash3_64, XxHash3_128};

use super::{market, rows};
use crate::format::canon::Label;
use crate::format::frame;
use crate::open::preflight::probe::{self, Ending};
use crate::units::{Seq, TradingDay};

/// A log, a manifest or a table as it is; items of any kind behind a right checksum; or
/// a good log that a crash cuts off anywhere.
pub fn log(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    match mode % 5 {
        0 => {
            let _ = probe::log(rest);
        }
        1 => {
            let _ = probe::manifest(rest);
        }
        2 => checked_items(rest),
        3 => probe::table(rest),
        _ => cut(rest),
    }
}

/// Seeds of `log`.
#[must_use]
pub fn log_seeds() -> Vec<Vec<u8>> {
    let log = good(3, 5).concat();
    let items = &log[13..log.len().min(200)];
    let mut manifest = vec![1, 1, 1, 0, 0, 0];
    manifest.extend_from_slice(&[9; 33]);
    let (tables, blobs) = (manifest.len() as u64, [0u8; 4]);
    manifest.extend_from_slice(&blobs);
    manifest.extend_from_slice(b"TOC!\x02\0\0\0");
    for (name, from, len) in [("tables", 0u64, tables), ("blob_files", tables, 4)] {
        manifest.extend_from_slice(&from.to_le_bytes());
        manifest.extend_from_slice(&len.to_le_bytes());
        manifest.extend_from_slice(&(name.len() as u16).to_le_bytes());
        manifest.extend_from_slice(name.as_bytes());
    }
    vec![
        [&[0], log.as_slice()].concat(),
        [&[1], manifest.as_slice()].concat(),
        [&[2, 1, 1], items].concat(),
        [&[4, 3, 5, 200, 0, 1], &[7; 16][..]].concat(),
        [&[3], table().as_slice()].concat(),
    ]
}

/// A table of one block, in the engine's layout.
fn table() -> Vec<u8> {
    let block = |data: &[u8]| {
        let mut out = b"LSM\x03\x01".to_vec();
        out.extend_from_slice(&XxHash3_128::oneshot(data).to_le_bytes());
        out.extend_from_slice(&[(data.len() as u32).to_le_bytes(); 2].concat());
        let hash = XxHash3_128::oneshot(&out) as u32;
        out.extend_from_slice(&hash.to_le_bytes());
        out.extend_from_slice(data);
        out
    };
    let mut out = block(&good(1, 2).concat());
    let meta = out.len() as u64;
    let mut item = vec![0, 0, 9];
    item.extend_from_slice(b"seqno#max\x08");
    item.extend_from_slice(&[7; 8]);
    item.push(255);
    let data = block(&item);
    out.extend_from_slice(&data);
    let contents = out.len() as u64;
    let mut list = b"TOC!\x01\0\0\0".to_vec();
    list.extend_from_slice(&meta.to_le_bytes());
    list.extend_from_slice(&(data.len() as u64).to_le_bytes());
    list.extend_from_slice(b"\x04\0meta");
    let hash = XxHash3_128::oneshot(&list).to_le_bytes();
    out.extend_from_slice(&list);
    out.extend_from_slice(b"SFA!\x01\0");
    out.extend_from_slice(&hash);
    out.extend_from_slice(&contents.to_le_bytes());
    out
}

/// One batch with these items and their right checksum.
fn batch(seqno: u64, count: u32, items: &[u8]) -> Vec<u8> {
    let mut hash = XxHash3_64::new();
    hash.write(items);
    let mut out = vec![1];
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&seqno.to_le_bytes());
    out.extend_from_slice(items);
    out.push(3);
    out.extend_from_slice(&hash.finish().to_le_bytes());
    out.extend_from_slice(b"FJL\x03");
    out
}

/// Batches as the journal has them written, each with one frame of `count`
/// events.
fn good(batches: u64, count: usize) -> Vec<Vec<u8>> {
    let (rows, _) = rows(&market());
    let rows = &rows[..count.clamp(1, 8) * 64];
    (0..batches)
        .map(|n| {
            let first = Seq(1 + n * (rows.len() as u64 / 64));
            let count = (rows.len() / 64) as u32;
            let frame = frame::encode(Label { first, count, day: TradingDay(20_000) }, rows);
            let mut item = vec![2, 0, 0];
            item.extend_from_slice(&3u64.to_le_bytes());
            item.extend_from_slice(&8u16.to_le_bytes());
            item.extend_from_slice(&(frame.len() as u32).to_le_bytes());
            item.extend_from_slice(&(frame.len() as u32).to_le_bytes());
            item.extend_from_slice(&first.to_key());
            item.extend_from_slice(&frame);
            batch(n + 1, 1, &item)
        })
        .collect()
}

fn checked_items(data: &[u8]) {
    let [count, seqno, items @ ..] = data else { return };
    let mut log = Vec::new();
    for (n, items) in items.split(|b| *b == 0xfe).enumerate() {
        log.extend(batch(u64::from(*seqno) + n as u64, u32::from(*count), items));
    }
    let _ = probe::log(&log);
}

/// A crash leaves a beginning of the log, zeros behind it, and perhaps part of
/// the last batch. That is never called damage, and no whole batch is lost.
fn cut(data: &[u8]) {
    let [batches, count, low, high, zeros, ..] = data else { return };
    let batches = good(u64::from(*batches % 8), usize::from(*count % 8));
    let mut whole = 0;
    let mut log = Vec::new();
    let at = usize::from(u16::from_le_bytes([*low, *high]));
    let events = batches.first().map_or(0, |batch| (batch.len() - 13 - 21 - 8 - 64 - 13) / 64);
    for batch in &batches {
        log.extend_from_slice(batch);
        whole += u64::from(log.len() <= at);
    }
    let at = at.min(log.len());
    log.truncate(at);
    // Zeros at the cut are part of what was written or not: no one can tell.
    log.resize(at + usize::from(*zeros) * 64, 0);
    let (ending, last) = probe::log(&log);
    let lengths = batches.iter().map(Vec::len);
    let kept: usize = lengths.take(whole as usize).sum();
    let clean = log[kept..].iter().all(|b| *b == 0);
    let expected = if clean { Ending::Clean } else { Ending::Torn(kept as u64) };
    assert_eq!(ending, expected, "cut at {at}");
    assert_eq!(last, (whole > 0).then_some(Seq(whole * events as u64)));
}
