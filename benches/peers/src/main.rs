//! One peer, one run: `orrery-bench-peers sqlite|nats ROWS TICKS WHERE`.
//!
//! Prints `append=`, `replay=` (ticks a second), `bytes=` (a tick) and
//! `digest=` (of the fold), one to a line, for the bench of the journal.

use std::error::Error;

#[path = "../../journal/src/fold.rs"]
#[allow(dead_code)]
mod fold;
mod nats;
mod sqlite;
#[path = "../../journal/src/tick.rs"]
#[allow(dead_code)]
mod tick;

use tick::{ROW, Tick};

/// What one run gave.
pub struct Run {
    append: f64,
    replay: f64,
    bytes: Option<f64>,
    digest: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, peer, rows, count, place] = args.as_slice() else {
        return Err("usage: orrery-bench-peers sqlite|nats ROWS TICKS FOLDER|PORT".into());
    };
    let mut bytes = std::fs::read(rows)?;
    bytes.truncate(count.parse::<usize>()? * ROW);
    let ticks: Vec<Tick> = Tick::from_rows(&bytes).collect();
    drop(bytes);
    let run = match peer.as_str() {
        "sqlite" => sqlite::run(place.as_ref(), &ticks)?,
        "nats" => nats::run(place.parse()?, &ticks)?,
        other => return Err(format!("no peer is called {other}").into()),
    };
    println!("append={}\nreplay={}\ndigest={}", run.append, run.replay, run.digest);
    if let Some(bytes) = run.bytes {
        println!("bytes={bytes}");
    }
    Ok(())
}
