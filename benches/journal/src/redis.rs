//! Redis, in two ways: a stream of raw ticks, and the design of a state fabric
//! in Redis (a hash for each contract and a set of those that changed), which
//! keeps no tick.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::fold::Fold;
use crate::measure::{Run, disk_bytes};
use crate::server::{Server, pump, redis};
use crate::tick::{CONTRACTS, ROW, Tick};
use crate::workload::ticker;

/// Ticks of a pipeline, and pipelines under way.
const BATCH: usize = 512;
const WINDOW: usize = 8;
/// Entries of one XRANGE.
const RANGE: usize = 5_000;
/// `appendfsync everysec` has written everything after this.
const SETTLE: Duration = Duration::from_millis(1_300);

/// One XADD per tick, ids given by the server; replay by XRANGE.
///
/// # Errors
/// When there is no server.
pub fn streams(dir: &Path, ticks: &[Tick]) -> Result<Run, String> {
    let server = redis(dir)?;
    let batches = ticks.chunks(BATCH).map(|chunk| {
        let mut out = Vec::with_capacity(BATCH * 130);
        for tick in chunk {
            out.extend_from_slice(b"*5\r\n$4\r\nXADD\r\n$1\r\ns\r\n$1\r\n*\r\n$1\r\nd\r\n");
            argument(&mut out, &tick.row());
        }
        (out, chunk.len() * 2)
    });
    let start = Instant::now();
    pump(&server, batches, WINDOW);
    let append = start.elapsed().as_secs_f64();
    std::thread::sleep(SETTLE);
    let bytes = disk_bytes(dir, &|_| true) as f64;
    let mut fold = Fold::default();
    let start = Instant::now();
    let count = ranges(&server, &mut fold).map_err(|e| format!("XRANGE: {e}"))?;
    let replay = start.elapsed().as_secs_f64();
    assert_eq!(count, ticks.len());
    let n = ticks.len() as f64;
    Ok(Run {
        append: Some(n / append),
        replay: Some(n / replay),
        bytes: Some(bytes / n),
        digest: Some(fold.digest()),
        ticks: ticks.len(),
    })
}

/// Folds the whole stream, some thousands of entries at a time.
fn ranges(server: &Server, fold: &mut Fold) -> std::io::Result<usize> {
    let mut writer = server.connect()?;
    let mut reader = BufReader::with_capacity(1 << 20, writer.try_clone()?);
    let (mut from, mut line, mut count) = ("-".to_owned(), Vec::new(), 0);
    loop {
        let mut request = Vec::new();
        request.extend_from_slice(b"*6\r\n$6\r\nXRANGE\r\n$1\r\ns\r\n");
        argument(&mut request, from.as_bytes());
        request.extend_from_slice(b"$1\r\n+\r\n$5\r\nCOUNT\r\n");
        argument(&mut request, RANGE.to_string().as_bytes());
        writer.write_all(&request)?;
        let entries = length(&mut reader, &mut line)?;
        if entries == 0 {
            return Ok(count);
        }
        for _ in 0..entries {
            // *2, the id; *2, the field's name and value.
            length(&mut reader, &mut line)?;
            let id = length(&mut reader, &mut line)?;
            line.resize(id + 2, 0);
            reader.read_exact(&mut line)?;
            from.clear();
            from.push('(');
            from.extend(line.iter().take(id).map(|b| char::from(*b)));
            for _ in 0..3 {
                length(&mut reader, &mut line)?;
            }
            // That was the name's length and its line; then the value's.
            length(&mut reader, &mut line)?;
            let mut value = [0; ROW + 2];
            reader.read_exact(&mut value)?;
            if let Some(row) = value.first_chunk() {
                fold.tick(&Tick::from_row(row));
            }
            count += 1;
        }
    }
}

/// The number in a line like `*12` or `$64`; of other lines 0.
fn length(reader: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<usize> {
    line.clear();
    reader.read_until(b'\n', line)?;
    let digits = line.get(1..).unwrap_or_default().trim_ascii();
    Ok(std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok()).unwrap_or_default())
}

/// HSET of the contract and SADD to the changed ones, for each tick. Replay is
/// not possible: only the last state is there.
///
/// # Errors
/// When there is no server.
pub fn contract_state(dir: &Path, ticks: &[Tick]) -> Result<Run, String> {
    let server = redis(dir)?;
    let names: Vec<String> = (0..CONTRACTS as u32).map(ticker).collect();
    let batches = ticks.chunks(BATCH).map(|chunk| {
        let mut out = Vec::with_capacity(BATCH * 300);
        for tick in chunk {
            let name = &names[tick.contract as usize];
            let fields: &[(&str, i64)] = if tick.trade {
                &[
                    ("last_price", tick.price),
                    ("last_trade_ts", tick.vendor),
                    ("flow", i64::from(tick.size)),
                ]
            } else {
                &[
                    ("bid", tick.price),
                    ("ask", tick.ask),
                    ("bid_size", i64::from(tick.size)),
                    ("ask_size", i64::from(tick.ask_size)),
                    ("ts", tick.vendor),
                ]
            };
            write!(out, "*{}\r\n$4\r\nHSET\r\n", 2 + 2 * fields.len()).unwrap();
            argument(&mut out, format!("epoch:1:heatmap:contract:{name}").as_bytes());
            for (field, value) in fields {
                argument(&mut out, field.as_bytes());
                argument(&mut out, value.to_string().as_bytes());
            }
            out.extend_from_slice(b"*3\r\n$4\r\nSADD\r\n");
            argument(&mut out, b"epoch:1:heatmap:dirty_contracts");
            argument(&mut out, name.as_bytes());
        }
        (out, chunk.len() * 2)
    });
    let start = Instant::now();
    pump(&server, batches, WINDOW);
    let append = start.elapsed().as_secs_f64();
    std::thread::sleep(SETTLE);
    let n = ticks.len() as f64;
    Ok(Run {
        append: Some(n / append),
        bytes: Some(disk_bytes(dir, &|_| true) as f64 / n),
        ticks: ticks.len(),
        ..Run::default()
    })
}

fn argument(out: &mut Vec<u8>, bytes: &[u8]) {
    // Writing into memory does not fail.
    let _ = write!(out, "${}\r\n", bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}
