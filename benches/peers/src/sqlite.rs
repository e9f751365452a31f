//! SQLite, write-ahead log, `synchronous=FULL`: a row of columns per tick, a
//! transaction every 10 ms, so each is on disk when it is acknowledged.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use crate::Run;
use crate::fold::Fold;
use crate::tick::Tick;

const GROUP: Duration = Duration::from_millis(10);
/// Ticks between two looks at the clock.
const CHUNK: usize = 512;

/// Append and replay in a folder.
pub fn run(dir: &Path, ticks: &[Tick]) -> Result<Run, Box<dyn Error>> {
    let path = dir.join("ticks.sqlite");
    let db = Connection::open(&path)?;
    db.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=10000;
         PRAGMA cache_size=-65536;
         CREATE TABLE tick(seq INTEGER PRIMARY KEY, recv INT, vendor INT, vendor_seq INT,
             contract INT, trade INT, price INT, ask INT, size INT, ask_size INT, exchange INT,
             condition INT);",
    )?;
    let start = Instant::now();
    {
        let mut insert = db.prepare("INSERT INTO tick VALUES(?,?,?,?,?,?,?,?,?,?,?,?)")?;
        let mut began = Instant::now();
        db.execute_batch("BEGIN")?;
        for (n, chunk) in ticks.chunks(CHUNK).enumerate() {
            for (i, t) in chunk.iter().enumerate() {
                insert.execute(params![
                    (n * CHUNK + i) as i64,
                    t.recv,
                    t.vendor,
                    t.vendor_seq as i64,
                    t.contract,
                    t.trade,
                    t.price,
                    t.ask,
                    t.size,
                    t.ask_size,
                    t.exchange,
                    t.condition
                ])?;
            }
            if began.elapsed() >= GROUP {
                db.execute_batch("COMMIT; BEGIN")?;
                began = Instant::now();
            }
        }
        db.execute_batch("COMMIT")?;
    }
    let append = start.elapsed().as_secs_f64();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    let bytes = std::fs::metadata(&path)?.len() as f64;

    let mut fold = Fold::default();
    let start = Instant::now();
    let mut select = db.prepare(
        "SELECT recv, vendor, vendor_seq, contract, trade, price, ask, size, ask_size, exchange,
             condition FROM tick ORDER BY seq",
    )?;
    let mut rows = select.query([])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        fold.tick(&Tick {
            recv: row.get(0)?,
            vendor: row.get(1)?,
            vendor_seq: row.get::<_, i64>(2)? as u64,
            contract: row.get(3)?,
            trade: row.get(4)?,
            price: row.get(5)?,
            ask: row.get(6)?,
            size: row.get(7)?,
            ask_size: row.get(8)?,
            exchange: row.get(9)?,
            condition: row.get(10)?,
        });
        count += 1;
    }
    assert_eq!(count, ticks.len());
    let replay = start.elapsed().as_secs_f64();
    let n = ticks.len() as f64;
    Ok(Run {
        append: n / append,
        replay: n / replay,
        bytes: Some(bytes / n),
        digest: fold.digest(),
    })
}
