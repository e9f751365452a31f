//! Append and replay beside one key per tick in plain fjall, in the same run.
//!
//! `cargo bench` prints the rates and, more to the point, their ratios: absolute
//! rates depend on what else the machine does. Both sides make ticks durable
//! (fdatasync); the plain side syncs every 10 ms, ours acknowledges after each
//! group commit.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

use std::path::Path;
use std::time::{Duration, Instant};

use fjall::{CompressionType, Database, KeyspaceCreateOptions, PersistMode};
use orrery_journal::event::{self, Body, Draft, DraftBody, Event, InstrumentRef, Quote};
use orrery_journal::units::{InstrumentId, Price, RecvTime, Seq, SourceId, VendorTime};
use orrery_journal::{Journal, OpenOptions};

const TICKERS: u32 = 2_000;
const ROUNDS: usize = 5;

/// Xorshift: the same ticks in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }
}

/// `count` quotes that walk at random, tens of microseconds apart.
fn quotes(count: usize) -> Vec<(RecvTime, VendorTime, u32, Quote)> {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let cent = Price::SCALE / 100;
    let mut state: Vec<(i64, i64, u32, u32)> = (0..TICKERS)
        .map(|_| {
            let bid = (10 + random.below(4_000) as i64) * 5 * cent;
            (bid, bid + 5 * cent * (1 + random.below(8) as i64), 10, 10)
        })
        .collect();
    let mut now = 1_765_204_200_000_000_000i64;
    let mut vendor_seq = 844_090_872u64;
    (0..count)
        .map(|_| {
            now += 300 + random.below(90_000) as i64;
            vendor_seq += 1 + random.below(3);
            let id = random.below(u64::from(TICKERS)) as u32;
            let s = &mut state[id as usize];
            match random.below(3) {
                0 => {
                    let step = 5 * cent * (1 - 2 * random.below(2) as i64);
                    s.0 = (s.0 + step).max(5 * cent);
                    s.1 = (s.1 + step).max(s.0 + 5 * cent);
                }
                1 => s.2 = 1 + random.below(200) as u32,
                _ => s.3 = 1 + random.below(200) as u32,
            }
            let quote = Quote {
                bid: Some(Price(s.0)),
                ask: Some(Price(s.1)),
                bid_size: Some(s.2),
                ask_size: Some(s.3),
                vendor_seq: Some(vendor_seq),
                bid_exchange: Some(302),
                ask_exchange: Some(302),
                conditions: 0,
            };
            let vendor = (now - 200_000 - random.below(60_000) as i64) / 1_000_000 * 1_000_000;
            (RecvTime(now), VendorTime(vendor), id, quote)
        })
        .collect()
}

struct Rates {
    append: f64,
    replay: f64,
    bytes: f64,
}

fn orrery(dir: &Path, ticks: &[(RecvTime, VendorTime, u32, Quote)]) -> Rates {
    let journal = Journal::open(dir, &OpenOptions::default()).unwrap();
    let writer = journal.writer(|| RecvTime(0)).unwrap();
    let source = writer.define_source("{\"feed\":\"bench\"}").unwrap();
    let define: Vec<Draft> = (0..TICKERS)
        .map(|n| Draft {
            recv: Some(ticks[0].0),
            vendor_time: None,
            instrument: InstrumentRef::Ticker(format!("O:SPXW260320C{:08}", (n + 1) * 1000).into()),
            source,
            extension: None,
            body: DraftBody::Quote { quote: Quote::default(), conditions: Box::default() },
        })
        .collect();
    writer.append(define).unwrap().wait().unwrap();
    let ids: Vec<InstrumentId> = (0..TICKERS)
        .map(|n| journal.instrument(&format!("O:SPXW260320C{:08}", (n + 1) * 1000)).unwrap())
        .collect();
    let drafts: Vec<Vec<Draft>> = ticks
        .chunks(4_096)
        .map(|chunk| {
            chunk
                .iter()
                .map(|(recv, vendor, id, quote)| Draft {
                    recv: Some(*recv),
                    vendor_time: Some(*vendor),
                    instrument: InstrumentRef::Id(ids[*id as usize]),
                    source,
                    extension: None,
                    body: DraftBody::Quote { quote: *quote, conditions: Box::default() },
                })
                .collect()
        })
        .collect();
    let start = Instant::now();
    let tickets: Vec<_> = drafts.into_iter().map(|d| writer.append(d).unwrap()).collect();
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    let append = ticks.len() as f64 / start.elapsed().as_secs_f64();
    writer.close().unwrap();
    let start = Instant::now();
    let (mut events, mut sum) = (0u64, 0i64);
    for stretch in journal.read(Seq::FIRST, Seq::MAX) {
        for event in stretch.unwrap().events.iter() {
            events += 1;
            if let Body::Quote(q) = &event.body {
                sum = sum.wrapping_add(q.bid.map_or(0, |p| p.0));
            }
        }
    }
    let replay = events as f64 / start.elapsed().as_secs_f64();
    std::hint::black_box(sum);
    drop(journal);
    Rates { append, replay, bytes: disk_bytes(dir) / ticks.len() as f64 }
}

fn plain(dir: &Path, ticks: &[(RecvTime, VendorTime, u32, Quote)]) -> Rates {
    let rows: Vec<Vec<u8>> = ticks
        .iter()
        .map(|(recv, vendor, id, quote)| {
            let mut row = Vec::with_capacity(event::EVENT_BYTES_SHORT);
            event::encode(
                &Event {
                    recv: *recv,
                    vendor_time: Some(*vendor),
                    instrument: InstrumentId(id + 1),
                    source: SourceId(1),
                    extended: false,
                    body: Body::Quote(*quote),
                },
                &mut row,
            );
            row
        })
        .collect();
    let db = Database::builder(dir)
        .manual_journal_persist(true)
        .journal_compression(CompressionType::None)
        .open()
        .unwrap();
    let keyspace = db.keyspace("ticks", KeyspaceCreateOptions::default).unwrap();
    let start = Instant::now();
    let mut synced = Instant::now();
    for (n, chunk) in rows.chunks(512).enumerate() {
        let mut batch = db.batch();
        for (i, row) in chunk.iter().enumerate() {
            batch.insert(&keyspace, ((n * 512 + i) as u64).to_be_bytes(), row.as_slice());
        }
        batch.commit().unwrap();
        if synced.elapsed() >= Duration::from_millis(10) {
            db.persist(PersistMode::SyncData).unwrap();
            synced = Instant::now();
        }
    }
    db.persist(PersistMode::SyncData).unwrap();
    let append = ticks.len() as f64 / start.elapsed().as_secs_f64();
    let start = Instant::now();
    let (mut events, mut sum) = (0u64, 0i64);
    for guard in keyspace.iter() {
        // The bid's place in the canonical bytes; nothing is checked here.
        let (_, value) = guard.into_inner().unwrap();
        events += 1;
        sum = sum.wrapping_add(i64::from_le_bytes(value[24..32].try_into().unwrap()));
    }
    let replay = events as f64 / start.elapsed().as_secs_f64();
    std::hint::black_box(sum);
    drop(keyspace);
    drop(db);
    Rates { append, replay, bytes: disk_bytes(dir) / ticks.len() as f64 }
}

/// Allocated bytes below a folder (fjall preallocates sparse files).
fn disk_bytes(dir: &Path) -> f64 {
    use std::os::unix::fs::MetadataExt;
    let mut total = 0.0;
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let meta = entry.metadata().unwrap();
        total +=
            if meta.is_dir() { disk_bytes(&entry.path()) } else { (meta.blocks() * 512) as f64 };
    }
    total
}

fn median(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[0], values[values.len() - 1])
}

fn main() {
    // `cargo test --benches` passes --test: then one small round only.
    let smoke = std::env::args().any(|a| a == "--test");
    let (count, rounds) = if smoke { (20_000, 1) } else { (1_000_000, ROUNDS) };
    let ticks = quotes(count);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let dir = tempfile::tempdir().unwrap();
        ours.push(orrery(dir.path(), &ticks));
        let dir = tempfile::tempdir().unwrap();
        theirs.push(plain(dir.path(), &ticks));
    }
    println!(
        "{count} quotes of {TICKERS} contracts, {rounds} interleaved rounds, median [min..max]\n"
    );
    println!(
        "{:<34} {:>28} {:>28} {:>9}",
        "", "orrery journal", "fjall, one key per tick", "ratio"
    );
    type Column = fn(&Rates) -> f64;
    let rows: [(&str, f64, Column); 3] = [
        ("durable append, M ticks/s", 1e6, |r| r.append),
        ("replay (read, check, decode), M/s", 1e6, |r| r.replay),
        ("bytes on disk a tick", 1.0, |r| r.bytes),
    ];
    for (name, unit, column) in rows {
        let of = |side: &[Rates]| median(side.iter().map(|r| column(r) / unit).collect());
        let (a, a0, a1) = of(&ours);
        let (b, b0, b1) = of(&theirs);
        let ratio = if name.starts_with("bytes") { b / a } else { a / b };
        println!(
            "{name:<34} {:>28} {:>28} {ratio:>8.2}x",
            format!("{a:.2} [{a0:.2}..{a1:.2}]"),
            format!("{b:.2} [{b0:.2}..{b1:.2}]"),
        );
    }
}
