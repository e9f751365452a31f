//! Redis, in two ways: a stream of raw ticks, and the design of a state fabric
//! in Redis (a hash for each contract and a set of those that changed), which
//! keeps no tick; and both together, a consumer of the stream that keeps the state.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::fold::{Fold, PASS_NS};
use crate::measure::{Run, disk_bytes};
use crate::server::{Server, pump, redis};
use crate::tick::{CONTRACTS, ROW, Tick};
use crate::workload::ticker;

/// Ticks of a pipeline, and pipelines under way.
const BATCH: usize = 512;
const WINDOW: usize = 8;
/// Entries of one XRANGE.
const RANGE: usize = 5_000;
const DIRTY: &[u8] = b"epoch:1:heatmap:dirty_contracts";
const CONTRACT: &[u8] = b"epoch:1:heatmap:contract:";
const MODEL: &[u8] = b"massive:heatmap:model";
/// `appendfsync everysec` has written everything after this.
const SETTLE: Duration = Duration::from_millis(1_300);

/// One XADD per tick, ids given by the server; replay by XRANGE.
///
/// # Errors
/// When there is no server.
pub fn streams(dir: &Path, ticks: &[Tick]) -> Result<Run, String> {
    let server = redis(dir)?;
    let start = Instant::now();
    add(&server, ticks);
    let append = start.elapsed().as_secs_f64();
    std::thread::sleep(SETTLE);
    let bytes = disk_bytes(dir, &|_| true) as f64;
    let mut fold = Fold::default();
    let start = Instant::now();
    let count = ranges(&server, |ticks| {
        ticks.iter().for_each(|tick| fold.tick(tick));
        Ok(())
    });
    let count = count.map_err(|e| format!("XRANGE: {e}"))?;
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

/// One entry of the stream for each tick.
fn add(server: &Server, ticks: &[Tick]) {
    let batches = ticks.chunks(BATCH).map(|chunk| {
        let mut out = Vec::with_capacity(BATCH * 130);
        for tick in chunk {
            out.extend_from_slice(b"*5\r\n$4\r\nXADD\r\n$1\r\ns\r\n$1\r\n*\r\n$1\r\nd\r\n");
            argument(&mut out, &tick.row());
        }
        (out, chunk.len() * 2)
    });
    pump(server, batches, WINDOW);
}

/// The whole stream in order, some thousands of ticks at a time.
fn ranges(
    server: &Server,
    mut take: impl FnMut(&[Tick]) -> std::io::Result<()>,
) -> std::io::Result<usize> {
    let mut writer = server.connect()?;
    let mut reader = BufReader::with_capacity(1 << 20, writer.try_clone()?);
    let (mut from, mut line, mut count) = ("-".to_owned(), Vec::new(), 0);
    let mut ticks = Vec::with_capacity(RANGE);
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
                ticks.push(Tick::from_row(row));
            }
            count += 1;
        }
        take(&ticks)?;
        ticks.clear();
    }
}

/// A consumer of the stream in the same design: from each tick the state of its
/// contract in a hash, and every 250 ms of capture time the dirty contracts' hashes
/// read, a small model computed, stored and announced. The stream is there before.
///
/// # Errors
/// When there is no server, or it does not answer.
pub fn consumer(dir: &Path, ticks: &[Tick]) -> Result<Run, String> {
    let server = redis(dir)?;
    add(&server, ticks);
    let names: Vec<String> = (0..CONTRACTS as u32).map(ticker).collect();
    let start = Instant::now();
    let count = consume(&server, &names).map_err(|e| format!("the consumer: {e}"))?;
    let replay = start.elapsed().as_secs_f64();
    assert_eq!(count, ticks.len());
    Ok(Run { replay: Some(count as f64 / replay), ticks: count, ..Run::default() })
}

fn consume(server: &Server, names: &[String]) -> std::io::Result<usize> {
    let mut state = State::new(server.connect()?)?;
    let mut next = i64::MIN;
    let count = ranges(server, |ticks| {
        let mut left = ticks;
        while let Some(first) = left.first() {
            if first.recv >= next {
                if next > i64::MIN {
                    state.pass()?;
                }
                next = (first.recv / PASS_NS + 1) * PASS_NS;
            }
            let now = left.partition_point(|tick| tick.recv < next);
            state.take(&left[..now], names)?;
            left = &left[now..];
        }
        Ok(())
    })?;
    state.pass()?;
    Ok(count)
}

/// The connection over which the state is kept.
struct State {
    writer: TcpStream,
    reader: BufReader<TcpStream>,
    line: Vec<u8>,
}

impl State {
    fn new(writer: TcpStream) -> std::io::Result<State> {
        let reader = BufReader::with_capacity(1 << 20, writer.try_clone()?);
        Ok(State { writer, reader, line: Vec::new() })
    }

    /// A number, or the length of what follows.
    fn number(&mut self) -> std::io::Result<usize> {
        length(&mut self.reader, &mut self.line)
    }

    fn text(&mut self) -> std::io::Result<Vec<u8>> {
        let length = self.number()?;
        let mut text = vec![0; length + 2];
        self.reader.read_exact(&mut text)?;
        text.truncate(length);
        Ok(text)
    }

    /// A field's number; nothing where the contract has no such field.
    fn value(&mut self) -> std::io::Result<i64> {
        let length = self.number()?;
        if self.line.starts_with(b"$-") {
            return Ok(0);
        }
        let mut text = vec![0; length + 2];
        self.reader.read_exact(&mut text)?;
        let text = std::str::from_utf8(&text[..length]).ok();
        Ok(text.and_then(|text| text.parse().ok()).unwrap_or_default())
    }

    fn take(&mut self, ticks: &[Tick], names: &[String]) -> std::io::Result<()> {
        for some in ticks.chunks(BATCH) {
            let mut out = Vec::with_capacity(BATCH * 300);
            some.iter().for_each(|tick| put(&mut out, tick, &names[tick.contract as usize]));
            self.writer.write_all(&out)?;
            for _ in 0..some.len() * 2 {
                self.number()?;
            }
        }
        Ok(())
    }

    /// Takes what is dirty, reads it, computes, stores and announces.
    fn pass(&mut self) -> std::io::Result<()> {
        let mut out = b"*2\r\n$8\r\nSMEMBERS\r\n".to_vec();
        argument(&mut out, DIRTY);
        out.extend_from_slice(b"*2\r\n$3\r\nDEL\r\n");
        argument(&mut out, DIRTY);
        self.writer.write_all(&out)?;
        let dirty = self.number()?;
        let names: Vec<_> = (0..dirty).map(|_| self.text()).collect::<Result<_, _>>()?;
        self.number()?;
        let mut sum = 0i64;
        for some in names.chunks(BATCH) {
            out.clear();
            for name in some {
                out.extend_from_slice(b"*4\r\n$5\r\nHMGET\r\n");
                argument(&mut out, &[CONTRACT, name].concat());
                argument(&mut out, b"bid");
                argument(&mut out, b"last_price");
            }
            self.writer.write_all(&out)?;
            for _ in some {
                for _ in 0..self.number()? {
                    sum += self.value()?;
                }
            }
        }
        out.clear();
        out.extend_from_slice(b"*3\r\n$3\r\nSET\r\n");
        argument(&mut out, MODEL);
        argument(&mut out, sum.to_string().as_bytes());
        out.extend_from_slice(b"*3\r\n$7\r\nPUBLISH\r\n");
        argument(&mut out, MODEL);
        argument(&mut out, sum.to_string().as_bytes());
        self.writer.write_all(&out)?;
        self.number()?;
        self.number()?;
        Ok(())
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
        chunk.iter().for_each(|tick| put(&mut out, tick, &names[tick.contract as usize]));
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

/// HSET of a tick's contract and SADD to the changed ones.
fn put(out: &mut Vec<u8>, tick: &Tick, name: &str) {
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
    argument(out, &[CONTRACT, name.as_bytes()].concat());
    for (field, value) in fields {
        argument(out, field.as_bytes());
        argument(out, value.to_string().as_bytes());
    }
    out.extend_from_slice(b"*3\r\n$4\r\nSADD\r\n");
    argument(out, DIRTY);
    argument(out, name.as_bytes());
}

fn argument(out: &mut Vec<u8>, bytes: &[u8]) {
    // Writing into memory does not fail.
    let _ = write!(out, "${}\r\n", bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}
