//! fjall with one key per tick: the obvious way to keep ticks in the engine
//! that the journal uses. Synced every 10 ms; nothing is checked in replay but
//! what the engine checks.

use std::path::Path;
use std::time::Instant;

use fjall::{CompressionType, Database, KeyspaceCreateOptions, PersistMode};

use crate::GROUP;
use crate::fold::Fold;
use crate::measure::Run;
use crate::ours::bytes_at_rest;
use crate::tick::Tick;

/// Ticks of a batch.
const BATCH: usize = 512;

/// Append and replay.
pub fn run(dir: &Path, ticks: &[Tick]) -> Run {
    let open = || {
        let db = Database::builder(dir)
            .manual_journal_persist(true)
            .journal_compression(CompressionType::None)
            .open()
            .unwrap();
        let keyspace = db.keyspace("ticks", KeyspaceCreateOptions::default).unwrap();
        (db, keyspace)
    };
    let (db, keyspace) = open();
    let start = Instant::now();
    let mut synced = Instant::now();
    for (n, chunk) in ticks.chunks(BATCH).enumerate() {
        let mut batch = db.batch();
        for (i, tick) in chunk.iter().enumerate() {
            batch.insert(&keyspace, ((n * BATCH + i) as u64).to_be_bytes(), tick.row());
        }
        batch.commit().unwrap();
        if synced.elapsed() >= GROUP {
            db.persist(PersistMode::SyncData).unwrap();
            synced = Instant::now();
        }
    }
    db.persist(PersistMode::SyncData).unwrap();
    let append = start.elapsed().as_secs_f64();
    drop(keyspace);
    drop(db);

    let (db, keyspace) = open();
    let mut fold = Fold::default();
    let start = Instant::now();
    for guard in keyspace.iter() {
        let value = guard.value().unwrap();
        fold.tick(&Tick::from_row(value.as_ref().try_into().unwrap()));
    }
    let replay = start.elapsed().as_secs_f64();
    drop(keyspace);
    drop(db);
    let n = ticks.len() as f64;
    Run {
        append: Some(n / append),
        replay: Some(n / replay),
        bytes: Some(bytes_at_rest(dir) / n),
        digest: Some(fold.digest()),
        ticks: ticks.len(),
    }
}
