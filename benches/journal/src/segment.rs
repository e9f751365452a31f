//! The lower bound of what a journal can cost: one file, written in advance,
//! that takes packed pages one after the other and is synced every 10 ms. No
//! index, no frames, no watermark, no acknowledgement, one thread.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use orrery_journal::parts::{Packer, Unpacker};
use orrery_journal::units::{Seq, TradingDay};

use crate::GROUP;
use crate::fold::Fold;
use crate::measure::Run;
use crate::ours::BATCH;
use crate::tick::{ROW, Tick};

/// The workload's day.
const DAY: TradingDay = TradingDay(20_430);
/// Room for a tick, generously.
const ROOM: usize = 16;

/// Packs every page; hands each to `each`, in order.
pub fn pack_all(ticks: &[Tick], mut each: impl FnMut(Vec<u8>)) {
    let (mut packer, mut rows) = (Packer::default(), Vec::with_capacity(BATCH * ROW));
    for (n, page) in ticks.chunks(BATCH).enumerate() {
        rows.clear();
        page.iter().for_each(|t| rows.extend_from_slice(&t.row()));
        each(packer.pack(first(n), DAY, page.len() as u32, &rows));
    }
}

fn first(page: usize) -> Seq {
    Seq((page * BATCH) as u64 + 1)
}

/// Append and replay.
pub fn run(dir: &Path, ticks: &[Tick]) -> Run {
    let path = dir.join("segment");
    prewrite(&path, ticks.len() * ROOM + (1 << 20));
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    let (mut at, mut synced) = (0u64, Instant::now());
    let start = Instant::now();
    pack_all(ticks, |page| {
        file.write_all_at(&(page.len() as u32).to_le_bytes(), at).unwrap();
        file.write_all_at(&page, at + 4).unwrap();
        at += 4 + page.len() as u64;
        if synced.elapsed() >= GROUP {
            file.sync_data().unwrap();
            synced = Instant::now();
        }
    });
    file.sync_data().unwrap();
    let append = start.elapsed().as_secs_f64();

    let mut fold = Fold::default();
    let start = Instant::now();
    let mut file = BufReader::with_capacity(1 << 20, File::open(&path).unwrap());
    let (mut unpacker, mut page) = (Unpacker::default(), Vec::new());
    for n in 0..ticks.len().div_ceil(BATCH) {
        let mut length = [0; 4];
        file.read_exact(&mut length).unwrap();
        page.resize(u32::from_le_bytes(length) as usize, 0);
        file.read_exact(&mut page).unwrap();
        Tick::from_rows(unpacker.unpack(&page, first(n)).unwrap()).for_each(|t| fold.tick(&t));
    }
    let replay = start.elapsed().as_secs_f64();
    let n = ticks.len() as f64;
    Run {
        append: Some(n / append),
        replay: Some(n / replay),
        bytes: Some(at as f64 / n),
        digest: Some(fold.digest()),
        ticks: ticks.len(),
    }
}

/// A file whose blocks are all there already, so that a sync has no metadata to
/// write.
fn prewrite(path: &Path, bytes: usize) {
    let mut file = File::create(path).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..bytes.div_ceil(zeros.len()) {
        file.write_all(&zeros).unwrap();
    }
    file.sync_all().unwrap();
}
